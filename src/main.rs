//! The binary: nothing but a call of the library.

use std::process::ExitCode;

/// A read is a few hundred small pieces of memory and one large answer: with the system's allocator on Linux they take
/// more time than what is done with them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    wellspring::cli::main()
}
