//! The binary: nothing but a call of the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    wellspring::cli::main()
}
