//! The `spec-gen` program; see the library.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    spec_gen::main()
}
