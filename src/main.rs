//! The `lian-build` command. Everything happens in the library.

use std::process::ExitCode;

use lian_build::inputs::nickel;

fn main() -> ExitCode {
    // The evaluator's child limits itself first thing: no runtime, no command line, no environment.
    if std::env::args_os().nth(1).is_some_and(|argument| argument == nickel::SUBCOMMAND) {
        return nickel::child_main();
    }
    lian_build::cli::main()
}
