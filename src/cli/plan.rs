//! `plan`: the same inputs as `build`, no side effect.

use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;

use super::args::{Format, PlanArgs};
use super::printer::Printer;
use super::until_signal::until_a_signal;
use super::{plan_document, result_text, services, settings};
use crate::env_vars::Environment;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::ids::RunId;
use crate::plan::against::{self, Outline};
use crate::report::plan_document::PlanDocument;
use crate::run;

/// Runs `plan`.
pub(super) fn main(args: PlanArgs, environment: Environment) -> ExitCode {
    let printer = Printer::new(Some(args.build.format.unwrap_or(Format::Human)));
    let explain = args.explain;
    match plan(args, environment) {
        Ok(document) => {
            if let Some(error) = &document.error {
                printer.message(&result_text::error_info(error));
            }
            print(printer, &document, explain)
        }
        Err(error) => {
            printer.message(&result_text::error(&error));
            refuse(printer, &error)
        }
    }
}

/// The result of a plan that cannot be made.
pub(super) fn refuse(printer: Printer, error: &Error) -> ExitCode {
    print(printer, &PlanDocument::refused(RunId::new(), error), false)
}

fn plan(args: PlanArgs, environment: Environment) -> Result<PlanDocument> {
    until_a_signal(document(args, environment))
}

async fn document(args: PlanArgs, environment: Environment) -> Result<PlanDocument> {
    let run_id = RunId::new();
    // What cannot be read is said before anything else is done.
    let earlier = args.against.as_deref().map(earlier_plan).transpose()?;
    let request = settings::resolve(args.build, &environment).await?;
    let services = services(environment)?;
    let prepared = run::prepare(&request, &services).await?;
    let checked = run::check(run_id, &prepared, &request, &services).await?;
    let document = plan_document::document(run_id, &prepared, &checked, args.explain)?;
    match earlier {
        Some((name, earlier)) => compared(document, &name, &earlier),
        None => Ok(document),
    }
}

/// The largest document that is read: many times what a plan has.
const MAX_DOCUMENT: u64 = 16 << 20;

/// The plan's document in `file`, with the file's name.
fn earlier_plan(file: &Path) -> Result<(String, Outline)> {
    let name = file.display().to_string();
    let mut text = Vec::new();
    let opened = std::fs::File::open(file).and_then(|opened| opened.take(MAX_DOCUMENT).read_to_end(&mut text));
    opened.context(ErrorKind::Usage, || format!("the earlier plan `{name}` cannot be read"))?;
    let earlier = Outline::read(&name, &text)?;
    Ok((name, earlier))
}

/// Both plans are read from their documents, so that nothing can be compared that does not stand there.
fn compared(document: PlanDocument, name: &str, earlier: &Outline) -> Result<PlanDocument> {
    let unreadable = || "the plan cannot be written".to_owned();
    let text = serde_json::to_vec(&document).context(ErrorKind::State, unreadable)?;
    let now = Outline::read("the plan", &text)?;
    Ok(document.compared(against::compare(name, earlier, &now)))
}

fn print(printer: Printer, document: &PlanDocument, explain: bool) -> ExitCode {
    let code = match printer.format() {
        Format::Json => printer.json(document, document.exit_code, |error| {
            let refused = PlanDocument::refused(document.run_id, error);
            (refused.exit_code, refused)
        }),
        Format::Human => {
            printer.result(&plan_document::text(document, explain));
            document.exit_code
        }
    };
    ExitCode::from(code)
}
