//! `rootfs-diff`: what changed in a container's root file system.

mod apply;
mod args;
mod create;
mod list;
mod oci_layer;
mod patch;

use std::process::ExitCode;

use args::{Args, Verb};
use checkpoint::Member;
use checkpoint::stream::failed_stream;
use cli::args::Bounds;
use cli::{Exit, Producer, Session};
use rootfs_diff::{Options, Source};
use tartree::{Exceeded, Limit, Notice};

fn main() -> ExitCode {
    let record = |reason: &str| failed_stream("rootfs-diff", Some(&Member::RootfsDiff), reason);
    cli::run_producer(run, &Producer { verb: "create", record })
}

fn run(args: Args, session: &Session) -> anyhow::Result<Exit> {
    match args.verb {
        Verb::Create(args) => create::run(&args, session),
        Verb::List(args) => list::run(&args, session),
        Verb::Apply(args) => apply::run(&args, session).map_err(explain),
    }
}

fn explain(error: anyhow::Error) -> anyhow::Error {
    if let Some(hint) = checkpoint::hint_in(error.chain()).or_else(|| tartree::hint(error.as_ref())) {
        return cli::Hint::on(error, hint);
    }
    Bounds::explain(error, Exceeded::in_error, Limit::Entries, Limit::ContentBytes)
}

/// What the user has not asked for is a warning; what he has, a note.
fn tell(session: &Session, notice: &Notice) {
    match notice {
        Notice::LeftOut { .. } => session.note(notice),
        _ => session.warn(notice),
    }
}

/// Warns of every `--exclude` that has left nothing out: a typing error there lets out what was to stay.
fn warn_unmatched(session: &Session, options: &Options, source: &mut Source) {
    for (pattern, path) in options.exclude.unmatched() {
        // A file without a change need not have been compared.
        if !path.is_some_and(|path| source.has(path)) {
            session.warn(format_args!("--exclude {pattern}: matches nothing, so it has left nothing out"));
        }
    }
    for pattern in options.exclude.kept_deeper() {
        session.warn(format_args!(
            "--exclude {pattern}: names that end so deeper in the tree are not left out, --exclude '*/{pattern}' does"
        ));
    }
}
