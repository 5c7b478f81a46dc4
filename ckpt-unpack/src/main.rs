//! `ckpt-unpack`: a checkpoint archive to a bundle, a root file system and volumes, or to what it tells of itself.

mod args;
mod list;
mod place;
mod source;
mod staging;
mod targets;
mod unpack;
mod verify;

use std::process::ExitCode;

use args::Args;
use cli::{Exit, Session};

fn main() -> ExitCode {
    cli::run(run)
}

fn run(args: Args, session: &Session) -> anyhow::Result<Exit> {
    if args.verb.list {
        list::run(&args, session)
    } else if args.verb.verify {
        verify::run(&args, session)
    } else {
        unpack::run(&args, session)
    }
}
