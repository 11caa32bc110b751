//! [`Printer`]: the one owner of stdout and stderr. stdout gets exactly one result; everything else is stderr.

use std::io::{IsTerminal as _, Write as _};

use super::args::Format;

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

    /// Writes lines for people to stderr.
    pub fn message(self, text: &str) {
        let mut err = std::io::stderr().lock();
        let _ = err.write_all(text.as_bytes());
        if !text.ends_with('\n') {
            let _ = err.write_all(b"\n");
        }
    }
}
