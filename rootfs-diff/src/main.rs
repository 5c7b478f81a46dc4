//! `rootfs-diff`: finds, lists and applies the changes in a container's root file system.

mod apply;
mod args;
mod create;
mod deletion_lists;
mod list;
mod notices;

use std::error::Error;
use std::process::ExitCode;

use args::{Args, HABITS, Verb};
use checkpoint::Member;
use checkpoint::stream::failed_stream;
use cli::args::Bounds;
use cli::{Exit, Producer, Session, Tool};

fn main() -> ExitCode {
    let record = |reason: &str| failed_stream("rootfs-diff", Some(&Member::RootfsDiff), reason);
    Tool::new(run).producer(Producer { verb: "create", record }).habits(HABITS).run()
}

fn run(args: Args, session: &Session) -> anyhow::Result<Exit> {
    match args.verb {
        Verb::Create(args) => create::run(&args, session),
        Verb::List(args) => list::run(&args, session),
        Verb::Apply(args) => apply::run(&args, session).map_err(explain),
    }
}

/// Adds a hint to an error of `apply`.
fn explain(error: anyhow::Error) -> anyhow::Error {
    let unknown =
        |e: &(dyn Error + 'static)| matches!(e.downcast_ref(), Some(checkpoint::Error::UnknownMember { .. }));
    if error.chain().any(unknown) {
        return cli::Hint::on(error, "leave out --members if the input is the tar of a diff");
    }
    if let Some(hint) = checkpoint::hint_in(error.chain()).or_else(|| tartree::hint(error.as_ref())) {
        return cli::Hint::on(error, hint);
    }
    Bounds::explain(error)
}
