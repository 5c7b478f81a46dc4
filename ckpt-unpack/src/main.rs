//! `ckpt-unpack`: a checkpoint archive to a bundle, a root file system and volumes, or to what it tells of itself.

mod args;
mod host;
mod list;
mod place;
mod runtime;
mod show;
mod source;
mod staging;
mod targets;
mod unpack;
mod userns;
mod verify;
mod verify_images;

use std::process::ExitCode;

use args::Args;
use cli::args::Bounds;
use cli::{Exit, Hint, Session};
use tartree::{Exceeded, Limit};

fn main() -> ExitCode {
    cli::run(run)
}

fn run(args: Args, session: &Session) -> anyhow::Result<Exit> {
    args.reject_without_effect()?;
    let verb = &args.verb;
    let done = match &verb.bundle {
        _ if verb.look.list => list::run(&args, session),
        _ if verb.look.verify => verify::run(&args, session),
        _ if verb.look.show => show::run(&args, session),
        _ if verb.look.check => host::check(&args.host, session),
        Some(bundle) if verb.cleanup => {
            if args.output.print_stats {
                host::print_stats(bundle)?;
            }
            host::cleanup(bundle, session)
        }
        Some(bundle) => unpack::run(&args, bundle, session),
        // clap demands one of them.
        None => Ok(Exit::Usage),
    };
    done.map_err(explain)
}

/// Adds what helps to an error of reading an archive.
fn explain(error: anyhow::Error) -> anyhow::Error {
    if let Some(hint) = tartree::hint(error.as_ref()) {
        return Hint::on(error, hint);
    }
    if Exceeded::in_error(error.as_ref()) == Some(Limit::Memory) {
        return Hint::on(error, "if you trust it: --max-memory SIZE");
    }
    Bounds::explain(source::explain(error))
}
