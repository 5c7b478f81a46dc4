//! The network status of a container: saved before a checkpoint, set up again before a restore.
//!
//! `args` holds the command line, and `commands` holds one module for each subcommand. `input`
//! reads JSON documents, `model` describes the network that a status requires, and `kernel` reads
//! and changes network namespaces.
//!
//! netstatus is a library so that its parsers can be fuzzed.

#![deny(unsafe_code)]

mod args;
mod commands;
mod input;
mod kernel;
mod model;

use std::process::ExitCode;

use args::{Args, HABITS, Verb};
use checkpoint::Member;
use checkpoint::stream::failed_stream;
use cli::{Exit, Producer, Session, Tool};
use tartree::FileKind;

use commands::{apply, check, hold, restore, save, show};

pub use commands::restore::line_formats;
pub use model::status::ValidStatus;

/// Runs the program.
pub fn main() -> ExitCode {
    let record = |reason: &str| failed_stream("netstatus", Some(&Member::NetworkStatus), reason);
    Tool::new(job).producer(Producer { verb: "save", record }).habits(HABITS).run()
}

fn job(args: Args, session: &Session) -> anyhow::Result<Exit> {
    let done = match args.verb {
        Verb::Save(args) => save::run(&args, session),
        Verb::Restore(args) => restore::run(&args, session),
        Verb::Apply(args) => apply::run(&args, session),
        Verb::Check(args) => check::run(&args, session),
        Verb::Show(args) => show::run(&args, session),
        Verb::Hold(args) => hold::run(&args, session),
        Verb::Release(args) => hold::release(&args, session),
    };
    done.map_err(explained)
}

/// Adds a hint if the input is a file of another kind.
fn explained(e: anyhow::Error) -> anyhow::Error {
    let is_archive = |found: &FileKind| found.is_tar() || found.is_compressed();
    let hint = match checkpoint::found_in(e.chain()) {
        Some(found) if is_archive(found) => Some(
            "unpack a checkpoint archive first: ckpt-unpack --bundle DIR FILE; then read DIR/network.status",
        ),
        found => found.and_then(FileKind::hint),
    };
    match hint {
        Some(hint) => cli::Hint::on(e, hint),
        None => e,
    }
}
