//! The `lian-build` command. Everything happens in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    lian_build::cli::main()
}
