//! `init`: writes what a project needs to be built here, and says what was chosen.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::args::Format;
use super::command_result::print;
use super::printer::Printer;
use super::{result_text, runtime};
use crate::env_vars::Environment;
use crate::error::{Error, Result};
use crate::init::{self, Prepared};
use crate::new_files::{NewFiles, Outcome};
use crate::report::CommandDocument;
use crate::report::init::{Init, InitAction, InitFile};
use crate::sanitise;

#[derive(Debug, Args)]
pub struct InitArgs {
    /// The project's directory [default: the current directory]
    #[arg(value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    pub directory: Option<PathBuf>,

    /// What is built; owns history and cache [default: the git remote's or directory's name]
    #[arg(long, value_name = "NAME")]
    pub workspace: Option<String>,

    /// Print what would be written, and write nothing
    #[arg(long)]
    pub dry_run: bool,

    /// How the result is written
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "human")]
    pub format: Format,
}

/// Runs `init`.
pub(super) fn main(args: &InitArgs, environment: &Environment) -> ExitCode {
    let printer = Printer::new(Some(args.format));
    let document = init(args, environment).unwrap_or_else(|error| CommandDocument::refused(&error));
    for warning in &document.warnings {
        printer.message(&format!("warning: {}", sanitise::lines(warning)));
    }
    if let Some(error) = &document.error {
        printer.message(&result_text::error_info(error));
    }
    print(printer, &document, text)
}

/// The result of an `init` whose arguments were refused.
pub(super) fn refuse(printer: Printer, error: &Error) -> ExitCode {
    print(printer, &CommandDocument::<Init>::refused(error), |_| String::new())
}

fn init(args: &InitArgs, environment: &Environment) -> Result<CommandDocument<Init>> {
    let directory = args.directory.as_deref().unwrap_or(Path::new("."));
    let workspace = args.workspace.as_deref().map(str::parse).transpose()?;
    let prepared = runtime()?.block_on(init::prepare(directory, workspace, environment))?;
    let target = NewFiles::open(directory)?;
    let mut files = Vec::new();
    let written = add_files(&prepared, &target, args.dry_run, &mut files);
    let body = Init {
        dry_run: args.dry_run,
        directory: directory.display().to_string(),
        project: Some(prepared.project),
        choices: prepared.choices,
        files,
        missing: prepared.missing,
        next: prepared.next,
    };
    let document = CommandDocument::done(body, prepared.warnings).about(prepared.workspace);
    Ok(match written {
        Ok(()) => document,
        // What was written before stays, and is said.
        Err(error) => document.because(&error),
    })
}

fn add_files(prepared: &Prepared, target: &NewFiles, dry_run: bool, files: &mut Vec<InitFile>) -> Result<()> {
    for wanted in &prepared.files {
        let (action, text) = match dry_run {
            true if target.has(wanted.path)? => (InitAction::Left, None),
            true => (InitAction::WouldWrite, Some(wanted.text.clone())),
            false => match target.write(wanted.path, &wanted.text)? {
                Outcome::Written => (InitAction::Written, None),
                Outcome::Left => (InitAction::Left, None),
            },
        };
        files.push(InitFile { path: wanted.path.to_owned(), action, text });
    }
    Ok(())
}

fn text(init: &Init) -> String {
    let mut text = String::new();
    if let Some(project) = &init.project {
        let _ = writeln!(text, "{}: {}", project.description, sanitise::line(&project.evidence));
    }
    for choice in &init.choices {
        let value = choice.value.as_deref().unwrap_or("none");
        let _ = writeln!(text, "  {:<10}  {}: {}", choice.name, sanitise::line(value), sanitise::line(&choice.reason));
    }
    for file in &init.files {
        let _ = match file.action {
            InitAction::Written => writeln!(text, "wrote {}", file.path),
            InitAction::WouldWrite => writeln!(text, "would write {}", file.path),
            InitAction::Left => writeln!(text, "left {}: it is there already", file.path),
        };
        for line in file.text.iter().flat_map(|text| text.lines()) {
            let _ = writeln!(text, "    {}", sanitise::line(line));
        }
    }
    for missing in &init.missing {
        let _ = writeln!(text, "missing: {}", sanitise::line(missing));
    }
    for next in &init.next {
        let _ = writeln!(text, "next: {}", sanitise::line(next));
    }
    text
}
