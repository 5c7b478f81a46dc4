//! `ckpt-unpack`: unpacks a checkpoint archive into a bundle, a root file system and volumes, or
//! reports what the archive contains.

mod archive_input;
mod args;
mod base;
mod cat;
mod check;
mod compare;
mod destination;
mod effects;
mod extract;
mod host;
mod inspection_args;
mod list;
mod memory;
mod pod;
mod root_mode;
mod rounds;
mod runtime;
mod show;
mod staging;
mod unpack;
mod userns;
mod verify;
mod verify_images;
mod xor;

use std::process::ExitCode;

use args::{Args, HABITS, completed};
use cli::{Exit, Session, Tool};

fn main() -> ExitCode {
    Tool::new(run).completed(completed).habits(HABITS).run()
}

fn run(args: Args, session: &Session) -> anyhow::Result<Exit> {
    args.reject_without_effect()?;
    let verb = &args.verb;
    let done = match &verb.bundle {
        _ if verb.inspection.list => list::run(&args, session),
        _ if verb.inspection.verify => verify::run(&args, session),
        _ if verb.inspection.show => show::run(&args, session),
        _ if verb.inspection.search.is_some() => memory::search::run(&args, session),
        _ if verb.inspection.dump_memory.is_some() => memory::dump::run(&args, session),
        _ if !verb.inspection.compare.is_empty() => compare::run(&args, session),
        _ if !verb.inspection.cat.is_empty() => cat::run(&args, session),
        _ if verb.check => check::run(&args, session),
        Some(bundle) if verb.cleanup => {
            if args.output.print_stats {
                host::print_stats(bundle)?;
            }
            host::cleanup(bundle, session)
        }
        Some(bundle) => unpack::run(&args, bundle, session),
        // clap requires one of these flags.
        None => Ok(Exit::Usage),
    };
    done.map_err(archive_input::explain)
}
