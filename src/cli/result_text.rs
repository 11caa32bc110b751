//! Results and errors as people read them.

use std::fmt::Write as _;

use crate::error::Error;
use crate::report::envelope::{Envelope, ErrorInfo, Status};
use crate::sanitise;

/// The result on stdout: a line with the status, then where things are.
pub(super) fn human(envelope: &Envelope) -> String {
    let mut text = headline(envelope);
    text.push('\n');
    if let Some(image) = &envelope.image {
        for name in &image.references {
            let _ = writeln!(text, "  image   {}", sanitise::line(name));
        }
        let _ = writeln!(text, "  digest  {}{}", image.digest, if image.pushed { " (in the registry)" } else { "" });
    }
    for output in &envelope.outputs {
        let _ = writeln!(text, "  result  {}", sanitise::line(output));
    }
    text
}

/// One line that says how the run ended.
pub(super) fn headline(envelope: &Envelope) -> String {
    let what = envelope.workspace.as_ref().map_or_else(String::new, |workspace| format!(" {workspace}"));
    let error = envelope.error.as_ref().map(|error| first_line(&error.message)).unwrap_or_default();
    match envelope.status {
        Some(Status::Succeeded) => format!("built{what}"),
        Some(Status::UpToDate) => format!("up to date:{what}"),
        Some(Status::Refused) => format!("refused: {error}"),
        Some(Status::Cancelled) => format!("cancelled: {error}"),
        Some(Status::Failed) | None => format!("failed: {error}"),
    }
}

/// An error with its hints, for stderr.
pub(super) fn error(error: &Error) -> String {
    error_info(&ErrorInfo::from(error))
}

/// As [`error`], from an envelope.
pub(super) fn error_info(error: &ErrorInfo) -> String {
    format!("error: {}\n{}", sanitise::lines(&error.message), hints(&error.hints))
}

/// One line for each hint.
pub(super) fn hints(hints: &[String]) -> String {
    hints.iter().fold(String::new(), |mut text, hint| {
        let _ = writeln!(text, "hint: {}", sanitise::lines(hint));
        text
    })
}

/// One line that says how a command ended that did not do all it was asked for.
pub(super) fn outcome(status: Status, error: &ErrorInfo) -> String {
    let what = match status {
        Status::Refused => "refused",
        Status::Cancelled => "cancelled",
        _ => "failed",
    };
    format!("{what}: {}\n", first_line(&error.message))
}

fn first_line(text: &str) -> String {
    sanitise::line(text.lines().next().unwrap_or_default())
}
