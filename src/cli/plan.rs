//! `plan`: the same inputs as `build`, no side effect.

use std::process::ExitCode;

use super::args::{Format, PlanArgs};
use super::plan_document::PlanDocument;
use super::printer::Printer;
use super::{result_text, runtime, services, settings};
use crate::env_vars::Environment;
use crate::error::{Error, Result};
use crate::run;

/// Runs `plan`.
pub(super) fn main(args: PlanArgs, environment: Environment) -> ExitCode {
    let printer = Printer::new(Some(args.build.format.unwrap_or(Format::Human)));
    match plan(args, environment) {
        Ok(document) => print(printer, &document),
        Err(error) => {
            printer.message(&result_text::error(&error));
            refuse(printer, &error)
        }
    }
}

/// The result of a plan that cannot be made.
pub(super) fn refuse(printer: Printer, error: &Error) -> ExitCode {
    print(printer, &PlanDocument::refused(error))
}

fn plan(args: PlanArgs, environment: Environment) -> Result<PlanDocument> {
    let request = settings::resolve(args.build, &environment)?;
    let services = services(environment)?;
    let runtime = runtime()?;
    let prepared = runtime.block_on(run::prepare(&request, &services))?;
    PlanDocument::planned(&prepared)
}

fn print(printer: Printer, document: &PlanDocument) -> ExitCode {
    match printer.format() {
        Format::Json => printer.result(&serde_json::to_string(document).unwrap_or_default()),
        Format::Human => printer.result(&document.to_text()),
    }
    ExitCode::from(document.exit_code)
}
