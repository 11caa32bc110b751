//! The command line: reads arguments, calls `run`, prints exactly one result.

mod args;
mod build;
mod check;
mod command_result;
mod documents;
mod init;
mod plan;
mod plan_document;
mod printer;
mod result_text;
mod runners;
mod schema;
mod serve;
mod settings;
mod until_signal;

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use clap::error::ErrorKind as ClapErrorKind;
use clap::{CommandFactory as _, Parser as _};

use crate::clock::SystemClock;
use crate::custody;
use crate::dirs::Dirs;
use crate::env_vars::{self, Environment};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::inputs::nickel;
use crate::record::SqliteStore;
use crate::run::Services;

use args::{Cli, Command, Format};
use printer::Printer;

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    // The guarded child comes before everything: it must not read, print or start anything else.
    if arguments.get(1).is_some_and(|argument| argument == nickel::SUBCOMMAND) {
        return nickel::child_main();
    }
    // Nor must the process that outlives a build.
    if arguments.get(1).is_some_and(|argument| argument == custody::REAPER_SUBCOMMAND) {
        return custody::reaper_main();
    }
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return bad_usage(&arguments, &error),
    };
    let environment = Environment::from_process();
    // Nobody watches a server: what goes wrong has to be found in its log.
    let quiet = if matches!(cli.command, Command::Serve(_)) { "lian_build=warn" } else { "off" };
    start_diagnostics(cli.verbose, quiet, &environment);
    crate::failpoint::arm(&environment);
    // Two TLS providers are in the graph of features; without a choice the first connection would panic.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match cli.command {
        Command::Build(arguments) => build::main(*arguments, environment),
        Command::Plan(arguments) => plan::main(*arguments, environment),
        Command::Init(arguments) => init::main(&arguments, &environment),
        Command::Check(arguments) => check::main(&arguments, &environment),
        Command::Runners(arguments) => runners::main(arguments, environment),
        Command::Schema(arguments) => schema::main(arguments),
        Command::Serve(arguments) => serve::main(*arguments, environment),
        Command::Completions { shell } => documents::completions(shell),
        Command::Man => documents::man(),
    }
}

/// The runtime: two workers are plenty, the work is done elsewhere.
fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(8)
        .enable_all()
        .build()
        .context(ErrorKind::State, || "cannot start the runtime".to_owned())
}

fn services(environment: Environment) -> Result<Services> {
    let dirs = Dirs::from_environment(&environment)?;
    let store = Arc::new(SqliteStore::new(&dirs.state));
    Ok(Services { environment, dirs, clock: Arc::new(SystemClock), store })
}

/// Diagnostics for developers; off unless asked for.
fn start_diagnostics(verbose: u8, quiet: &str, environment: &Environment) {
    use tracing_subscriber::EnvFilter;
    let default = match verbose {
        0 => quiet,
        1 => "lian_build=debug",
        _ => "debug",
    };
    let filter = environment
        .text(env_vars::LIAN_LOG)
        .and_then(|filter| EnvFilter::try_new(filter).ok())
        .unwrap_or_else(|| EnvFilter::new(default));
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
}

/// Help and version are documents; anything else is a refusal, which is a result too.
fn bad_usage(arguments: &[OsString], error: &clap::Error) -> ExitCode {
    let text = error.render().to_string();
    if matches!(error.kind(), ClapErrorKind::DisplayHelp | ClapErrorKind::DisplayVersion) {
        Printer::new(Some(Format::Human)).result(&text);
        return ExitCode::SUCCESS;
    }
    let format = asked_format(arguments);
    let nothing_said = matches!(
        error.kind(),
        ClapErrorKind::MissingSubcommand | ClapErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    );
    let cli = Cli::command();
    let mut words = arguments.iter().skip(1).filter_map(|word| word.to_str());
    let command = asked_command(&cli, &mut words);
    let refusal = if nothing_said && let Some(group) = command.map(clap::Command::get_name) {
        Error::usage(format!("`{group}` needs a command")).hint(format!("`lian-build {group} --help` lists them"))
    } else if nothing_said {
        Error::usage("no command was given").hint("`lian-build build .` builds; `lian-build --help` lists the commands")
    } else {
        let mut lines = text.lines();
        let mut message = lines.next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        if message.ends_with(':') {
            // What is missing is listed below.
            let listed: Vec<&str> = lines.take_while(|line| !line.is_empty()).map(str::trim).collect();
            message = format!("{message} {}", listed.join(", "));
        }
        let tips = text.lines().filter_map(|line| line.trim().strip_prefix("tip: "));
        tips.fold(Error::usage(message), Error::hint)
    };
    let said = if nothing_said { result_text::error(&refusal) } else { text.clone() };
    let for_people = Printer::new(Some(format.unwrap_or(Format::Human)));
    match command.map(clap::Command::get_name) {
        Some("plan") => {
            for_people.message(&said);
            plan::refuse(for_people, &refusal)
        }
        Some("init") => {
            for_people.message(&said);
            init::refuse(for_people, &refusal)
        }
        Some("schema") => {
            for_people.message(&said);
            let asked = command.and_then(|schema| asked_command(schema, &mut words));
            schema::refuse(asked.map(clap::Command::get_name), for_people, &refusal)
        }
        Some("serve") => {
            for_people.message(&said);
            let asked = command.and_then(|serve| asked_command(serve, &mut words));
            serve::refuse(asked.map(clap::Command::get_name), for_people, &refusal)
        }
        Some("check") => {
            for_people.message(&said);
            check::refuse(for_people, &refusal)
        }
        Some("runners") => {
            for_people.message(&said);
            let asked = command.and_then(|runners| asked_command(runners, &mut words));
            runners::refuse(asked.map(clap::Command::get_name), for_people, &refusal)
        }
        _ => {
            let printer = Printer::new(format);
            printer.message(&said);
            build::refuse(printer, &refusal)
        }
    }
}

/// The command of `parent` as far as it can be told from arguments that could not be parsed: the first of the words that
/// is one. No flag before a command takes a value, so the first such word is no value.
fn asked_command<'a, 'w>(
    parent: &'a clap::Command,
    words: &mut impl Iterator<Item = &'w str>,
) -> Option<&'a clap::Command> {
    words.find_map(|word| parent.find_subcommand(word))
}

/// `--format` as far as it can be told from arguments that could not be parsed.
fn asked_format(arguments: &[OsString]) -> Option<Format> {
    let words: Vec<&str> = arguments.iter().filter_map(|argument| argument.to_str()).collect();
    let value = words.iter().enumerate().find_map(|(position, word)| match *word {
        "--format" => words.get(position + 1).copied(),
        _ => word.strip_prefix("--format="),
    })?;
    match value {
        "json" => Some(Format::Json),
        "human" => Some(Format::Human),
        _ => None,
    }
}
