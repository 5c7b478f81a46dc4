//! Writes a container's `config.json` from a spec, a container config, an image config or flags.
//!
//! The data flows in one direction. [`args`] parses the command line with the [`notation`] of each
//! flag, [`input`] reads the documents, the [`rules`] change the [`runtime_spec`], and [`output`]
//! writes the result. [`actions`] lists what the host needs in addition.
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

use cli::Tool;

pub use input::{container, image_config, passwd};
pub use rules::{cdi, hooks};

/// Parses the command line and runs the command.
pub fn main() -> ExitCode {
    // `lookup-user` is a subcommand, while spec-gen itself is a filter that reports any other word
    // as a mistake. Only flags of both may precede it.
    let mut args = std::env::args_os().skip(1);
    let first = args.find(|arg| arg != "-q" && arg != "--quiet" && arg != "--verbose");
    if first.is_some_and(|arg| arg == "lookup-user") {
        return cli::run(lookup_user::run);
    }
    Tool::new(run::run).completed(args::completed).habits(args::HABITS).run()
}
