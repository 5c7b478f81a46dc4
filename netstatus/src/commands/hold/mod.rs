//! `netstatus hold` and `netstatus release`.
//!
//! Once the addresses are up and until CRIU has restored the sockets, the kernel answers a
//! retransmission of a peer with RST. The connection is then lost, although every program exits
//! with 0. CRIU's own network lock comes too late, since CRIU sets it after forking the process
//! tree. The namespace is therefore held while it is still empty, and released after the restore.
//!
//! A namespace that is held silently can be set up while the old host still uses the addresses,
//! which shortens the downtime.

mod announce;

use cli::{Exit, Session};

use crate::args::{Hold, Release};
use crate::kernel::firewall::{self, Neighbors, Released};
use crate::kernel::netns::Netns;

pub fn run(args: &Hold, session: &Session) -> anyhow::Result<Exit> {
    let netns = Netns::open(&args.netns)?;
    reject_own_namespace(&netns)?;
    firewall::hold(&netns, if args.silent { Neighbors::Silent } else { Neighbors::Answered })?;
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
        let (name, locks) = (netns.name(), locks.join(", "));
        session.warn_with_hint(
            format_args!("{name}: CRIU's network lock is still present ({locks})"),
            format_args!("after a failed restore, run: netstatus release --netns {name} --remove-criu-lock"),
        );
    }
    if args.announce {
        let announced = announce::announce(&netns)?;
        session.note(format_args!("{}: {announced} addresses announced", netns.name()));
    }
    Ok(Exit::Done)
}

/// Rejects the namespace of the caller, since holding the host would cut off the caller's own
/// connection.
fn reject_own_namespace(netns: &Netns) -> anyhow::Result<()> {
    if netns.is(&Netns::own()?)? {
        anyhow::bail!("{}: cannot hold the namespace in which this command runs", netns.name());
    }
    Ok(())
}
