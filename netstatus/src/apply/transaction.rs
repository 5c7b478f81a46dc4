//! Changes that are taken back if a later one fails.

use std::io;

use anyhow::Context;
use netlink_packet_route::RouteNetlinkMessage;

use crate::netlink::{Netlink, errno};
use crate::state::State;

/// Where a change is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// In the container's namespace.
    Inside,
    /// In the caller's.
    Outside,
}

struct Undo {
    side: Side,
    what: String,
    request: RouteNetlinkMessage,
    flags: u16,
}

/// The changes made so far, each with what takes it back.
pub struct Transaction {
    inside: Netlink,
    outside: Netlink,
    undo: Vec<Undo>,
}

impl Transaction {
    pub fn new(inside: Netlink, outside: Netlink) -> Transaction {
        Transaction { inside, outside, undo: Vec::new() }
    }

    /// How many changes were made.
    pub fn len(&self) -> usize {
        self.undo.len()
    }

    /// What a side has now.
    ///
    /// # Errors
    /// The kernel's.
    pub fn state(&mut self, side: Side) -> io::Result<State> {
        State::read(self.netlink(side))
    }

    /// Makes a change and remembers how to take it back.
    ///
    /// # Errors
    /// The kernel's, after `what`; the change is then not made.
    pub fn change(
        &mut self,
        side: Side,
        what: &str,
        request: RouteNetlinkMessage,
        flags: u16,
        undo: Option<(RouteNetlinkMessage, u16)>,
    ) -> anyhow::Result<()> {
        self.netlink(side).change(request, flags).with_context(|| what.to_owned())?;
        if let Some((request, flags)) = undo {
            self.undo.push(Undo { side, what: what.to_owned(), request, flags });
        }
        Ok(())
    }

    /// Remembers how to take back a change that was made already.
    pub fn remember(&mut self, side: Side, what: &str, request: RouteNetlinkMessage) {
        self.undo.push(Undo { side, what: what.to_owned(), request, flags: 0 });
    }

    /// Takes everything back, last first; what could not be taken back is returned.
    pub fn take_back(mut self) -> Vec<String> {
        let mut failures = Vec::new();
        while let Some(Undo { side, what, request, flags }) = self.undo.pop() {
            match self.netlink(side).change(request, flags) {
                // Gone already, together with something that was taken back before.
                Err(e) if matches!(errno(&e), Some(libc::ENODEV | libc::EADDRNOTAVAIL | libc::ESRCH)) => {}
                Err(e) => failures.push(format!("{what}: could not be taken back: {e}")),
                Ok(()) => {}
            }
        }
        failures
    }

    fn netlink(&mut self, side: Side) -> &mut Netlink {
        match side {
            Side::Inside => &mut self.inside,
            Side::Outside => &mut self.outside,
        }
    }
}
