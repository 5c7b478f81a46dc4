//! `spec-gen`: a container's `config.json` from a spec, a container config, an image config or flags.
//!
//! The data flows one way. [`args`] parses the command line with the [`notation`] of each flag,
//! [`input`] reads the documents, the [`rules`] change the [`runtime_spec`], and [`output`] writes
//! the result. What has to be done on the host besides is a list of [`actions`].
//!
//! spec-gen is a library so that its parsers can be fuzzed.

#![forbid(unsafe_code)]

mod actions;
mod args;
mod directory_walk;
mod input;
mod job;
mod json_fields;
mod lookup_user;
mod notation;
mod output;
mod path;
mod rules;
mod run;
pub mod runtime_spec;
mod selinux;

use std::process::ExitCode;

pub use input::{container, image_config, passwd};
pub use rules::{cdi, hooks};

/// The program.
pub fn main() -> ExitCode {
    // A verb of its own and not of the filter: to that, any other word is a mistake it can explain. Before it may stand what
    // both take.
    let mut args = std::env::args_os().skip(1);
    let first = args.find(|arg| arg != "-q" && arg != "--quiet" && arg != "--verbose");
    if first.is_some_and(|arg| arg == "lookup-user") {
        return cli::run(lookup_user::run);
    }
    cli::run_completed(run::run, args::completed)
}
