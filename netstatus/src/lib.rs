//! The network status of a container: saved before a checkpoint, set up again before a restore.
//!
//! A library so that its parsers can be fuzzed.

#![deny(unsafe_code)]

mod announce;
mod apply;
mod args;
mod check;
mod desired;
mod document;
mod extension;
mod firewall;
mod frame;
mod hold;
mod netlink;
mod netns;
mod network_info;
mod nftables;
mod packet;
mod probe;
pub mod restore;
mod route;
mod save;
mod show;
mod state;
pub mod validate;

use std::process::ExitCode;

use args::{Args, Verb};
use checkpoint::Member;
use checkpoint::stream::failed_stream;
use cli::{Exit, Producer, Session};

/// The program.
pub fn main() -> ExitCode {
    let record = |reason: &str| failed_stream("netstatus", Some(&Member::NetworkStatus), reason);
    cli::run_producer(job, &Producer { verb: "save", record })
}

fn job(args: Args, session: &Session) -> anyhow::Result<Exit> {
    let done = match args.verb {
        Verb::Save(args) => save::run(&args, session),
        Verb::Restore(args) => restore::run(&args, session),
        Verb::Apply(args) => apply::run(&args, session),
        Verb::Check(args) => check::run(&args, session),
        Verb::Show(args) => show::run(&args, session),
        Verb::Hold(args) => hold::run(&args, session),
        Verb::Release(args) => hold::release(&args, session),
    };
    done.map_err(|e| match checkpoint::hint_in(e.chain()) {
        Some(hint) => cli::Hint::on(e, hint),
        None => e,
    })
}
