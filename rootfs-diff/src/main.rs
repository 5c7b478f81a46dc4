//! `rootfs-diff`: what changed in a container's root file system.

mod apply;
mod args;
mod create;
mod list;
mod oci_layer;
mod patch;

use std::process::ExitCode;

use args::{Args, Verb};
use cli::args::Bounds;
use cli::{Exit, Session};
use tartree::{Exceeded, Limit, Notice};

fn main() -> ExitCode {
    cli::run(run)
}

fn run(args: Args, session: &Session) -> anyhow::Result<Exit> {
    match args.verb {
        Verb::Create(args) => create::run(&args, session),
        Verb::List(args) => list::run(&args, session),
        Verb::Apply(args) => apply::run(&args, session).map_err(explain),
    }
}

fn explain(error: anyhow::Error) -> anyhow::Error {
    Bounds::explain(error, Exceeded::in_error, Limit::Entries, Limit::ContentBytes)
}

/// What the user has not asked for is a warning; what he has, a note.
fn tell(session: &Session, notice: &Notice) {
    match notice {
        Notice::LeftOut { .. } => session.note(notice),
        _ => session.warn(notice),
    }
}
