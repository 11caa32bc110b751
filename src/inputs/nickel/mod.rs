//! Nickel evaluation in a guarded child.

use std::process::ExitCode;

/// The hidden subcommand in which the child runs: `lian-build __eval`.
pub const SUBCOMMAND: &str = "__eval";

/// Runs the child: a request as JSON on standard input, the answer as JSON on standard output.
pub fn child_main() -> ExitCode {
    ExitCode::FAILURE
}
