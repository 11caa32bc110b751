//! Completions and the manual page, generated from the definition of the command line.

use std::process::ExitCode;

use clap::CommandFactory as _;

use super::args::{Cli, Format};
use super::printer::Printer;

/// Writes the completion script.
pub(super) fn completions(shell: clap_complete::Shell) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "lian-build", &mut script);
    document(&script)
}

/// Writes the manual page.
pub(super) fn man() -> ExitCode {
    let mut page = Vec::new();
    match clap_mangen::Man::new(Cli::command()).render(&mut page) {
        Ok(()) => document(&page),
        Err(error) => {
            Printer::new(Some(Format::Human)).message(&format!("error: the manual page cannot be written: {error}"));
            ExitCode::from(crate::exit::INFRASTRUCTURE)
        }
    }
}

fn document(bytes: &[u8]) -> ExitCode {
    Printer::new(Some(Format::Human)).result(&String::from_utf8_lossy(bytes));
    ExitCode::SUCCESS
}
