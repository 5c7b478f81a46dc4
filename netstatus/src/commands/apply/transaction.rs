//! Changes that are rolled back if a later change fails.

use std::io;

use anyhow::Context;
use netlink_packet_core::{NLM_F_APPEND, NLM_F_CREATE};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::AddressScope;

use super::requests;
use crate::kernel::address::Address;
use crate::kernel::link::Link;
use crate::kernel::netlink::{Netlink, errno};
use crate::kernel::state::{ReportedRoute, State};

/// The namespace in which a change is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The namespace of the container.
    Inside,
    /// The namespace of the caller.
    Outside,
}

struct Undo {
    side: Side,
    what: String,
    request: RouteNetlinkMessage,
    flags: u16,
}

/// The changes made so far, each with the request that reverts it.
pub struct Transaction {
    inside: Netlink,
    outside: Netlink,
    /// The container's namespace before the first change.
    before: State,
    undo: Vec<Undo>,
}

impl Transaction {
    /// Starts a transaction on the namespaces of the container and of the caller.
    ///
    /// # Errors
    /// Returns an error if the container's namespace cannot be read.
    pub fn new(mut inside: Netlink, outside: Netlink) -> io::Result<Transaction> {
        let before = State::read(&mut inside)?;
        Ok(Transaction { inside, outside, before, undo: Vec::new() })
    }

    /// Returns the number of changes made.
    pub fn len(&self) -> usize {
        self.undo.len()
    }

    /// Reads the container's namespace.
    ///
    /// # Errors
    /// Returns an error if the kernel rejects a request.
    pub fn inside(&mut self) -> io::Result<State> {
        State::read(&mut self.inside)
    }

    /// Reads the links of the caller's namespace.
    ///
    /// # Errors
    /// Returns an error if the kernel rejects a request.
    pub fn outside(&mut self) -> io::Result<State> {
        State::read_links(&mut self.outside)
    }

    /// Makes a change and records the request that reverts it.
    ///
    /// # Errors
    /// Returns an error that starts with `what` if the kernel rejects the change.
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

    /// Makes a change to a link of the container, and takes the link down for the change if
    /// necessary.
    ///
    /// Some drivers can change the MAC only of a link that is down, and kernels before 6.2 can
    /// rename only such a link. A link with global addresses is not taken down, since it would lose
    /// addresses and routes.
    ///
    /// # Errors
    /// Returns an error that starts with `what` if the kernel rejects the change.
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
        let set = |up: bool| requests::up(link.index, up);
        self.change(Side::Inside, "down", set(false), 0, Some((set(true), 0)))?;
        self.change(Side::Inside, what, request.clone(), 0, undo)?;
        self.change(Side::Inside, "up", set(true), 0, Some((set(false), 0)))
    }

    /// Records the request that reverts a change that has already been made.
    pub fn push_undo(&mut self, side: Side, what: &str, request: RouteNetlinkMessage) {
        self.undo.push(Undo { side, what: what.to_owned(), request, flags: 0 });
    }

    /// Reverts all changes, starting with the last change. Returns a message for each failure.
    pub fn roll_back(mut self) -> Vec<String> {
        let mut failures = Vec::new();
        while let Some(Undo { side, what, request, flags }) = self.undo.pop() {
            match self.netlink(side).change(request, flags) {
                // An earlier step of the rollback has already removed the link, address or route.
                Err(e) if matches!(errno(&e), Some(libc::ENODEV | libc::EADDRNOTAVAIL | libc::ESRCH)) => {}
                Err(e) => failures.push(format!("{what}: could not be reverted: {e}")),
                Ok(()) => {}
            }
        }
        failures.extend(self.put_back());
        failures
    }

    /// Restores the routes and addresses that the kernel itself removed during the changes.
    ///
    /// The kernel removes the routes through a subnet with its last address, secondary addresses
    /// with their primary address, and IPv6 addresses when a link goes down.
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
            let details = address.details("");
            let message = requests::detailed_address(address.index, &details);
            if let Err(e) = self.inside.change(RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE) {
                failures.push(format!("address {}: could not be put back: {e}", address.ipnet));
            }
        }
        let lost = |r: &&ReportedRoute| !r.automatic && !now.routes.iter().any(|n| n.route == r.route);
        for ReportedRoute { message, route, .. } in self.before.routes.iter().filter(lost) {
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
