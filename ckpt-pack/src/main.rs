//! `ckpt-pack`: one checkpoint archive from a CRIU image directory, the files of a bundle and member streams.

mod args;
mod bundle;
mod check;
mod documents;
mod expect;
mod images;
mod operands;
mod pack;
mod prepare;
mod streams;
mod target;

use std::path::Path;
use std::process::ExitCode;

use args::Args;
use bundle::Bundle;
use cli::{Exit, Session};

fn main() -> ExitCode {
    cli::run(run)
}

fn run(args: Args, session: &Session) -> anyhow::Result<Exit> {
    args.reject_without_effect()?;
    if args.verb.check {
        return check::run(&args.check, args.container.runtime.as_deref(), session);
    }
    // clap demands it for all but --check.
    let bundle = Bundle::open(args.input.bundle.as_deref().unwrap_or(Path::new(".")))?;
    if args.verb.prepare {
        prepare::prepare(&bundle, args.check.mount_label.as_deref())
    } else if args.verb.cleanup {
        prepare::cleanup(&bundle, session)
    } else {
        pack::run(&args, &bundle, session).map_err(explain)
    }
}

/// Adds what helps when an input is of another kind.
fn explain(error: anyhow::Error) -> anyhow::Error {
    match checkpoint::hint_in(error.chain()) {
        Some(hint) => cli::Hint::on(error, hint),
        None => error,
    }
}
