//! Changes that are taken back if a later one fails.

use std::io;

use anyhow::Context;
use netlink_packet_core::{NLM_F_APPEND, NLM_F_CREATE};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::AddressScope;

use super::request;
use crate::extension::AddressDetails;
use crate::netlink::{Netlink, errno};
use crate::state::{Address, Link, Reported, State};

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
    /// What was inside before the first change.
    before: State,
    undo: Vec<Undo>,
}

impl Transaction {
    /// # Errors
    /// When the container's namespace cannot be read.
    pub fn new(mut inside: Netlink, outside: Netlink) -> io::Result<Transaction> {
        let before = State::read(&mut inside)?;
        Ok(Transaction { inside, outside, before, undo: Vec::new() })
    }

    /// How many changes were made.
    pub fn len(&self) -> usize {
        self.undo.len()
    }

    /// What the container's namespace has now.
    ///
    /// # Errors
    /// The kernel's.
    pub fn inside(&mut self) -> io::Result<State> {
        State::read(&mut self.inside)
    }

    /// The links of the caller's namespace.
    ///
    /// # Errors
    /// The kernel's.
    pub fn outside(&mut self) -> io::Result<State> {
        State::read_links(&mut self.outside)
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

    /// Makes a change to a link inside, taking the link down for it where the kernel says it is busy: some drivers take
    /// a MAC only then, kernels before 6.2 a name. Going down costs a link its addresses and routes, so one that
    /// has any stays up.
    ///
    /// # Errors
    /// The kernel's, after `what`.
    pub fn change_even_down(
        &mut self,
        link: &Link,
        before: &State,
        what: &str,
        request: &RouteNetlinkMessage,
        undo: RouteNetlinkMessage,
    ) -> anyhow::Result<()> {
        let undo = Some((undo, 0));
        let Err(error) = self.change(Side::Inside, what, request.clone(), 0, undo.clone()) else {
            return Ok(());
        };
        let busy = error.downcast_ref::<io::Error>().and_then(errno) == Some(libc::EBUSY);
        if !busy || !link.up || before.addresses_of(link).any(|a| a.scope == AddressScope::Universe) {
            return Err(error);
        }
        let set = |up: bool| request::up(link.index, up);
        self.change(Side::Inside, "down", set(false), 0, Some((set(true), 0)))?;
        self.change(Side::Inside, what, request.clone(), 0, undo)?;
        self.change(Side::Inside, "up", set(true), 0, Some((set(false), 0)))
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
        failures.extend(self.put_back());
        failures
    }

    /// Puts back what the kernel took by itself: with the last address of a subnet go the routes through it, with a
    /// primary address its secondaries, with a link that goes down its IPv6 addresses.
    fn put_back(&mut self) -> Vec<String> {
        let now = match State::read(&mut self.inside) {
            Ok(now) => now,
            Err(e) => return vec![e.to_string()],
        };
        let mut failures = Vec::new();
        let lost = |a: &&Address| {
            a.scope == AddressScope::Universe
                && !now.addresses.iter().any(|b| (b.index, b.ipnet) == (a.index, a.ipnet))
        };
        for address in self.before.addresses.iter().filter(lost) {
            let details = AddressDetails::of(address, "");
            let message = request::detailed_address(address.index, &details);
            if let Err(e) = self.inside.change(RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE) {
                failures.push(format!("address {}: could not be put back: {e}", address.ipnet));
            }
        }
        let lost = |r: &&Reported| !r.automatic && !now.routes.iter().any(|n| n.route == r.route);
        for Reported { message, route, .. } in self.before.routes.iter().filter(lost) {
            let request = RouteNetlinkMessage::NewRoute(message.clone());
            if let Err(e) = self.inside.change(request, NLM_F_CREATE | NLM_F_APPEND) {
                failures.push(format!("route {route}: could not be put back: {e}"));
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
