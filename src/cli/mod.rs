//! The command line: reads arguments, calls `run`, prints exactly one result.

mod args;
mod build;
mod documents;
mod plan;
mod plan_document;
mod printer;
mod result_text;
mod settings;

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser as _;
use clap::error::ErrorKind as ClapErrorKind;

use crate::clock::SystemClock;
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
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return bad_usage(&arguments, &error),
    };
    let environment = Environment::from_process();
    start_diagnostics(cli.verbose, &environment);
    // Two TLS providers are in the graph of features; without a choice the first connection would panic.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match cli.command {
        Command::Build(arguments) => build::main(*arguments, environment),
        Command::Plan(arguments) => plan::main(*arguments, environment),
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
fn start_diagnostics(verbose: u8, environment: &Environment) {
    use tracing_subscriber::EnvFilter;
    let default = match verbose {
        0 => "off",
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
    let printer = Printer::new(asked_format(arguments));
    printer.message(&text);
    let message = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
    let mut refusal = Error::usage(message);
    for line in text.lines().map(str::trim) {
        if let Some(tip) = line.strip_prefix("tip: ") {
            refusal = refusal.hint(tip);
        }
    }
    let command = arguments.get(1).and_then(|word| word.to_str()).unwrap_or_default();
    if command == "plan" { plan::refuse(printer, &refusal) } else { build::refuse(printer, &refusal) }
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
