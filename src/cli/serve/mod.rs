//! `serve`: the vm-pool API, and the tokens of those who may use it.

mod args;
mod start;
mod token;

use std::process::ExitCode;

use super::printer::Printer;
use crate::cli::args::Format;
use crate::env_vars::Environment;
use crate::error::Error;

pub use args::ServeArgs;
use args::ServeCommand;

/// Runs `serve`.
pub(super) fn main(args: ServeArgs, environment: Environment) -> ExitCode {
    match args.command {
        Some(ServeCommand::Token(command)) => token::main(command),
        None => start::main(&args, environment),
    }
}

/// The result of a command of this name that was refused. The server itself writes no result.
pub(super) fn refuse(name: Option<&str>, printer: Printer, error: &Error) -> ExitCode {
    match name {
        Some("token") => token::refuse(printer, error),
        _ => ExitCode::from(crate::exit::code(error.kind())),
    }
}

/// A printer for what is no document.
fn for_people() -> Printer {
    Printer::new(Some(Format::Human))
}
