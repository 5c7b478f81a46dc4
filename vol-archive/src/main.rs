//! `vol-archive`: archives the directories of volumes and of `/dev/shm`, and extracts them.

mod args;
mod create;
mod extract;
mod list;
mod volume;

use std::process::ExitCode;

use args::{Args, Verb};
use checkpoint::stream::failed_stream;
use cli::args::Bounds;
use cli::{Exit, Producer, Session};

fn main() -> ExitCode {
    let record = |reason: &str| failed_stream("vol-archive", None, reason);
    cli::run_producer(run, &Producer { verb: "create", record })
}

fn run(args: Args, session: &Session) -> anyhow::Result<Exit> {
    match args.verb {
        Verb::Create(args) => create::run(&args, session),
        Verb::Extract(args) => extract::run(&args, session).map_err(explain),
        Verb::List(args) => list::run(&args, session).map_err(explain),
    }
}

/// Adds a hint to an error that occurred while reading a tar.
fn explain(error: anyhow::Error) -> anyhow::Error {
    match checkpoint::hint_in(error.chain()).or_else(|| tartree::hint(error.as_ref())) {
        Some(hint) => cli::Hint::on(error, hint),
        None => Bounds::explain(error),
    }
}
