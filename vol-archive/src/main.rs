//! `vol-archive`: archives the directories of volumes and of `/dev/shm`, and extracts them.

mod args;
mod create;
mod extract;
mod list;
mod volume;

use std::error::Error;
use std::process::ExitCode;

use args::{Args, HABITS, Verb};
use checkpoint::stream::failed_stream;
use cli::args::Bounds;
use cli::{Exit, Producer, Session, Tool};

fn main() -> ExitCode {
    let record = |reason: &str| failed_stream("vol-archive", None, reason);
    Tool::new(run).producer(Producer { verb: "create", record }).habits(HABITS).run()
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
    let unknown =
        |e: &(dyn Error + 'static)| matches!(e.downcast_ref(), Some(checkpoint::Error::UnknownMember { .. }));
    if error.chain().any(unknown) {
        return cli::Hint::on(error, "leave out --members if the input is the tar of one volume");
    }
    match checkpoint::hint_in(error.chain()).or_else(|| tartree::hint(error.as_ref())) {
        Some(hint) => cli::Hint::on(error, hint),
        None => Bounds::explain(error),
    }
}
