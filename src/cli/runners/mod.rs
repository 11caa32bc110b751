//! `runners`: the runners there are, and what is left of them.

mod args;

use std::process::ExitCode;

pub(super) use args::RunnersArgs;
use args::RunnersCommand;

use super::args::Format;
use super::printer::Printer;
use super::result_text;
use crate::env_vars::Environment;
use crate::error::Error;
use crate::report::RunnersDocument;
use crate::report::runners_document::{NoBody, RunnersBody};

/// Runs a command of the group.
pub(super) fn main(args: RunnersArgs, environment: Environment) -> ExitCode {
    let _ = environment;
    let (name, format) = match args.command {
        RunnersCommand::List(args) => ("list", args.common.format),
        RunnersCommand::Gc(args) => ("gc", args.common.format),
        RunnersCommand::Release(args) => ("release", args.common.format),
        RunnersCommand::Ssh(_) => ("ssh", Format::Human),
    };
    let error = Error::usage(format!("`runners {name}` is not part of this version"));
    let printer = Printer::new(Some(format));
    printer.message(&result_text::error(&error));
    refuse(Some(name), printer, &error)
}

/// The result of a command of this name that was refused before it began.
pub(super) fn refuse(name: Option<&str>, printer: Printer, error: &Error) -> ExitCode {
    match name {
        // What the command on the runner says is all that comes on stdout.
        Some("ssh") => ExitCode::from(crate::exit::code(error.kind())),
        _ => print(printer, &RunnersDocument::<NoBody>::refused(error), |_| String::new()),
    }
}

/// Writes the one result.
fn print<B: RunnersBody>(printer: Printer, document: &RunnersDocument<B>, text: impl FnOnce(&B) -> String) -> ExitCode {
    let code = match printer.format() {
        Format::Json => printer.json(document, document.exit_code, |error| {
            let refused = RunnersDocument::refused(error);
            (refused.exit_code, refused)
        }),
        Format::Human => {
            let mut lines = text(&document.body);
            if let Some(error) = &document.error {
                lines.push_str(&result_text::outcome(document.status, error));
            }
            printer.result(&lines);
            document.exit_code
        }
    };
    ExitCode::from(code)
}
