//! [`Printer`]: the one owner of stdout and stderr. stdout gets exactly one result; everything else is stderr.

use std::io::{IsTerminal as _, Write as _};

use serde::Serialize;

use super::args::Format;
use super::result_text;
use crate::error::{Context as _, Error, ErrorKind};

/// Decides what goes where.
#[derive(Debug, Clone, Copy)]
pub struct Printer {
    format: Format,
}

impl Printer {
    /// A printer for results in `format`; without one, JSON where stdout is not a terminal.
    pub fn new(format: Option<Format>) -> Self {
        let default = if std::io::stdout().is_terminal() { Format::Human } else { Format::Json };
        Self { format: format.unwrap_or(default) }
    }

    /// How results are written.
    pub fn format(self) -> Format {
        self.format
    }

    /// Writes the result. A closed stdout is not worth a panic: the exit code still tells.
    pub fn result(self, text: &str) {
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(text.as_bytes());
        if !text.ends_with('\n') {
            let _ = out.write_all(b"\n");
        }
        let _ = out.flush();
    }

    /// Writes `document` as one line of JSON and yields `exit_code`. When it cannot be written, stdout still gets
    /// exactly one result: what `refuse` makes of the error, with its exit code.
    pub fn json<T: Serialize>(self, document: &T, exit_code: u8, refuse: impl FnOnce(&Error) -> (u8, T)) -> u8 {
        let (exit_code, text, fault) = encode_or_refuse(document, exit_code, refuse);
        if let Some(error) = fault {
            self.message(&result_text::error(&error));
        }
        self.result(&text);
        exit_code
    }

    /// Writes lines for people to stderr.
    pub fn message(self, text: &str) {
        let mut err = std::io::stderr().lock();
        let _ = err.write_all(text.as_bytes());
        if !text.ends_with('\n') {
            let _ = err.write_all(b"\n");
        }
    }
}

/// The document's text, or that of its refusal with the reason.
fn encode_or_refuse<T: Serialize>(
    document: &T,
    exit_code: u8,
    refuse: impl FnOnce(&Error) -> (u8, T),
) -> (u8, String, Option<Error>) {
    let encoded = serde_json::to_string(document);
    match encoded.context(ErrorKind::State, || "the result cannot be written as JSON".to_owned()) {
        Ok(text) => (exit_code, text, None),
        Err(error) => {
            let (exit_code, refusal) = refuse(&error);
            // A refusal is made of plain text and numbers only, so this is not expected to fail as well.
            let text = serde_json::to_string(&refusal).unwrap_or_else(|_| format!("{{\"exit_code\":{exit_code}}}"));
            (exit_code, text, Some(error))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn a_document_that_is_no_json_is_a_refusal_and_not_an_empty_line() {
        let path = PathBuf::from(OsStr::from_bytes(b"caf\xe9"));
        let (code, text, fault) = encode_or_refuse(&path, 0, |_| (5, PathBuf::from("refused")));
        assert_eq!((code, text.as_str()), (5, "\"refused\""));
        assert!(fault.unwrap().message().contains("cannot be written as JSON"));
        let (code, text, _) = encode_or_refuse(&path, 0, |_| (5, path.clone()));
        assert_eq!((code, text.as_str()), (5, "{\"exit_code\":5}"));
        assert_eq!(encode_or_refuse(&7, 0, |_| (5, 0)).1, "7");
    }
}
