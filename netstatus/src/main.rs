//! The network status of a container: saved before a checkpoint, set up again before a restore.

mod args;
mod document;
mod netlink;
mod netns;
mod network_info;
mod network_status;
mod restore;
mod save;
mod state;
mod validate;

use std::process::ExitCode;

use args::{Args, Verb};
use cli::{Exit, Session};

fn main() -> ExitCode {
    cli::run(job)
}

fn job(args: Args, session: &Session) -> anyhow::Result<Exit> {
    match args.verb {
        Verb::Save(args) => save::run(&args, session),
        Verb::Restore(args) => restore::run(&args, session),
    }
}
