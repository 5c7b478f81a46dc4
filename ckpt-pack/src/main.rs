//! `ckpt-pack`: one checkpoint archive from a CRIU image directory, the files of a bundle and member streams.

mod args;
mod bundle;
mod documents;
mod expect;
mod images;
mod pack;
mod streams;

use std::process::ExitCode;

use args::Args;
use cli::{Exit, Session};

fn main() -> ExitCode {
    cli::run(run)
}

fn run(args: Args, session: &Session) -> anyhow::Result<Exit> {
    pack::run(&args, session)
}
