//! Writes the result of a command that builds nothing.

use std::process::ExitCode;

use super::args::Format;
use super::printer::Printer;
use super::result_text;
use crate::report::{CommandBody, CommandDocument};

/// Writes the one result: the document, or for people what `text` says of its body and how it ended.
pub(super) fn print<B: CommandBody>(
    printer: Printer,
    document: &CommandDocument<B>,
    text: impl FnOnce(&B) -> String,
) -> ExitCode {
    let code = match printer.format() {
        Format::Json => printer.json(document, document.exit_code, |error| {
            let refused = CommandDocument::refused(error);
            (refused.exit_code, refused)
        }),
        Format::Human => {
            // Nothing is said of what was not done.
            let body = if document.body == B::default() && document.error.is_some() {
                String::new()
            } else {
                text(&document.body)
            };
            let ending = document.error.as_ref().map(|error| result_text::outcome(document.status, error));
            let lines = body + &ending.unwrap_or_default();
            printer.result(&lines);
            document.exit_code
        }
    };
    ExitCode::from(code)
}
