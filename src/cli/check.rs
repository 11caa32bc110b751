//! `check`: tells everything that is wrong with specs, directives, policies and tiers files.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::args::Format;
use super::command_result::print;
use super::printer::Printer;
use super::result_text;
use super::until_signal::until_a_signal;
use crate::check::{self, CheckedFile, Kind, Target};
use crate::dirs::Dirs;
use crate::env_vars::Environment;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::inputs::nickel::{Diagnostic, Evaluator};
use crate::report::CommandDocument;
use crate::report::check::{Check, CheckFile};
use crate::{sanitise, units};

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Files, and directories of projects [default: what the current project has, and the policies of this machine]
    #[arg(value_name = "FILE|DIR", value_hint = clap::ValueHint::AnyPath)]
    pub files: Vec<PathBuf>,

    /// What the files are meant to say [default: told from their names]
    #[arg(long, value_enum, value_name = "KIND")]
    pub kind: Option<Kind>,

    /// File with other tiers than the built-in ones, in Nickel
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub tiers: Option<PathBuf>,

    /// How the result is written
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "human")]
    pub format: Format,
}

/// Runs `check`.
pub(super) fn main(args: &CheckArgs, environment: &Environment) -> ExitCode {
    let printer = Printer::new(Some(args.format));
    let document = check(args, environment).unwrap_or_else(|error| {
        printer.message(&result_text::error(&error));
        CommandDocument::refused(&error)
    });
    print(printer, &document, text)
}

/// The result of a `check` whose arguments were refused.
pub(super) fn refuse(printer: Printer, error: &Error) -> ExitCode {
    print(printer, &CommandDocument::<Check>::refused(error), |_| String::new())
}

fn check(args: &CheckArgs, environment: &Environment) -> Result<CommandDocument<Check>> {
    let evaluator = Evaluator::of_this_program()?;
    let files = until_a_signal(async {
        let targets = targets(args, environment).await?;
        check::check(&evaluator, &targets, args.tiers.as_deref()).await
    });
    let files: Vec<CheckFile> = files?.into_iter().map(reported).collect();
    let invalid: Vec<&str> = files.iter().filter(|file| !file.valid).map(|file| file.file.as_str()).collect();
    let error = (!invalid.is_empty()).then(|| {
        let what = if invalid.len() == 1 { "is not valid" } else { "are not valid" };
        Error::new(ErrorKind::Spec, format!("`{}` {what}", invalid.join("`, `")))
    });
    let document = CommandDocument::done(Check { files }, Vec::new());
    Ok(match error {
        Some(error) => document.because(&error),
        None => document,
    })
}

/// What is checked.
async fn targets(args: &CheckArgs, environment: &Environment) -> Result<Vec<Target>> {
    let current =
        std::env::current_dir().context(ErrorKind::Usage, || "the current directory cannot be told".to_owned())?;
    if !args.files.is_empty() {
        return Ok(check::named(&args.files, args.kind, &current, environment).await);
    }
    let mut targets = check::of_the_project(None, args.kind, &current, environment).await;
    if args.kind.is_none_or(|kind| kind == Kind::Policy) {
        targets.extend(check::policies_of_this_machine(&Dirs::from_environment(environment)?)?);
    }
    if targets.is_empty() {
        return Err(Error::usage("there is nothing to check here")
            .hint("name files or directories, or go to a project: `lian-build check ci/directives.ncl`")
            .hint("catalogs are not part of this version"));
    }
    Ok(targets)
}

fn reported(file: CheckedFile) -> CheckFile {
    let CheckedFile { file, kind, diagnostics, warnings } = file;
    CheckFile { file, kind, valid: diagnostics.is_empty(), diagnostics, warnings }
}

fn text(check: &Check) -> String {
    let mut text = String::new();
    for file in &check.files {
        for diagnostic in &file.diagnostics {
            let _ = writeln!(text, "{}\n", fault(diagnostic));
        }
        for warning in &file.warnings {
            let _ = writeln!(text, "warning: {}: {}\n", sanitise::line(&file.file), sanitise::lines(warning));
        }
    }
    for file in &check.files {
        let state = match file.diagnostics.len() {
            0 => "valid".to_owned(),
            faults => units::count(faults as u64, "fault"),
        };
        let _ = writeln!(text, "{} ({}): {state}", sanitise::line(&file.file), file.kind.words());
    }
    text
}

/// One fault for people: with the lines of the source, or with its place.
fn fault(diagnostic: &Diagnostic) -> String {
    if !diagnostic.excerpt.is_empty() {
        return format!("error[{}]: {}", diagnostic.rule.name(), sanitise::lines(&diagnostic.excerpt));
    }
    let Diagnostic { file, line, column, message, .. } = diagnostic;
    let mut text = format!(
        "error[{}]: {}\n  ┌─ {}:{line}:{column}",
        diagnostic.rule.name(),
        sanitise::lines(message),
        sanitise::line(file)
    );
    if let Some(hint) = &diagnostic.hint {
        let _ = write!(text, "\n  = {}", sanitise::lines(hint));
    }
    text
}
