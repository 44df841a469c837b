//! The program.

use std::process::ExitCode;

fn main() -> ExitCode {
    fetchd::cli::main()
}
