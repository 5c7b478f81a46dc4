//! `netstatus hold` and `netstatus release`.
//!
//! Between "the address is up" and "CRIU has its sockets back" the kernel answers a peer's retransmission with RST:
//! the connection is dead while every program ends with 0. CRIU's own lock comes too late, after it has forked the
//! tree. So the still empty namespace is held before anything is set up in it, and released after the restore.
//! Held silently, it can be set up even while the old host has the addresses: that time is then no downtime.

use cli::{Exit, Session};

use crate::announce;
use crate::args::{Hold, Release};
use crate::firewall::{self, Neighbours, Released};
use crate::netns::Netns;

pub fn run(args: &Hold, session: &Session) -> anyhow::Result<Exit> {
    let netns = Netns::open(&args.netns)?;
    not_the_callers(&netns)?;
    firewall::hold(&netns, if args.silent { Neighbours::Silent } else { Neighbours::Answered })?;
    session.note(format_args!("{}: held", netns.name()));
    Ok(Exit::Done)
}

pub fn release(args: &Release, session: &Session) -> anyhow::Result<Exit> {
    let netns = Netns::open(&args.netns)?;
    let Released { held, locks } = firewall::release(&netns, args.remove_criu_lock)?;
    if !held {
        session.note(format_args!("{}: was not held", netns.name()));
    }
    if !locks.is_empty() && !args.remove_criu_lock {
        session.warn(format_args!(
            "{}: CRIU's network lock is still there ({})",
            netns.name(),
            locks.join(", ")
        ));
        let again = format!("netstatus release --netns {} --remove-criu-lock", netns.name());
        session.hint(format_args!("after a failed restore: {again}"));
    }
    if args.announce {
        let announced = announce::announce(&netns)?;
        session.note(format_args!("{}: {announced} addresses announced", netns.name()));
    }
    Ok(Exit::Done)
}

/// Holding the host would cut off whoever types the command.
fn not_the_callers(netns: &Netns) -> anyhow::Result<()> {
    if netns.is(&Netns::own()?)? {
        anyhow::bail!("{}: is the namespace this command runs in", netns.name());
    }
    Ok(())
}
