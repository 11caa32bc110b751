//! `plan`: the same inputs as `build`, no side effect.

use std::process::ExitCode;

use super::args::{Format, PlanArgs};
use super::printer::Printer;
use super::{plan_document, result_text, runtime, services, settings};
use crate::env_vars::Environment;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::RunId;
use crate::inputs::request::BuildRequest;
use crate::report::plan_document::PlanDocument;
use crate::run::{self, Services, Signals};

/// Runs `plan`.
pub(super) fn main(args: PlanArgs, environment: Environment) -> ExitCode {
    let printer = Printer::new(Some(args.build.format.unwrap_or(Format::Human)));
    match plan(args, environment) {
        Ok(document) => {
            if let Some(error) = &document.error {
                printer.message(&result_text::error_info(error));
            }
            print(printer, &document)
        }
        Err(error) => {
            printer.message(&result_text::error(&error));
            refuse(printer, &error)
        }
    }
}

/// The result of a plan that cannot be made.
pub(super) fn refuse(printer: Printer, error: &Error) -> ExitCode {
    print(printer, &PlanDocument::refused(RunId::new(), error))
}

fn plan(args: PlanArgs, environment: Environment) -> Result<PlanDocument> {
    let request = settings::resolve(args.build, &environment)?;
    let services = services(environment)?;
    let runtime = runtime()?;
    let document = runtime.block_on(drive(&request, &services));
    // A thread that still reads a slow disk must not hold up the end.
    runtime.shutdown_background();
    document
}

/// Plans until a signal comes. Nothing is there to be released, so the first one ends it.
async fn drive(request: &BuildRequest, services: &Services) -> Result<PlanDocument> {
    let signals = Signals::listen(|_| {})?;
    tokio::select! {
        biased;
        () = signals.token().cancelled() => Err(match signals.received() {
            Some(signal) => Error::new(ErrorKind::Cancelled(signal), format!("ended by {signal}")),
            None => Error::new(ErrorKind::State, "the plan was cancelled"),
        }),
        document = document(request, services) => document,
    }
}

async fn document(request: &BuildRequest, services: &Services) -> Result<PlanDocument> {
    let run_id = RunId::new();
    let prepared = run::prepare(request, services).await?;
    let checked = run::check(run_id, &prepared, request, services).await?;
    plan_document::document(run_id, &prepared, &checked)
}

fn print(printer: Printer, document: &PlanDocument) -> ExitCode {
    let code = match printer.format() {
        Format::Json => printer.json(document, document.exit_code, |error| {
            let refused = PlanDocument::refused(document.run_id, error);
            (refused.exit_code, refused)
        }),
        Format::Human => {
            printer.result(&plan_document::text(document));
            document.exit_code
        }
    };
    ExitCode::from(code)
}
