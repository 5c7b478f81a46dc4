//! Setting the addresses of an interface.

use checkpoint::network_status::NetInterface;
use ipnet::IpNet;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressMessage, AddressScope};

use super::request;
use super::transaction::{Side, Transaction};
use crate::extension::{AddressDetails, Extension};
use crate::restore::ip::Link as Wanted;
use crate::state::{Address, Link};

/// Gives `link` the addresses of the status; with `flush` its other global ones are removed.
///
/// # Errors
/// Returns an error if the kernel rejects an address.
pub fn set(
    link: &Link,
    wanted: &Wanted<'_>,
    extension: &Extension,
    flush: bool,
    transaction: &mut Transaction,
) -> anyhow::Result<()> {
    let ipnets = all(wanted.interface, extension);
    if flush {
        let before = transaction.inside()?;
        let foreign = |a: &&Address| a.scope == AddressScope::Universe && !ipnets.contains(&a.ipnet);
        for address in before.addresses_of(link).filter(foreign) {
            remove(link, address, transaction)?;
        }
    }
    // With a primary address its secondaries go, if the kernel is so configured: read again what is there.
    let mut now = transaction.inside()?;
    for ipnet in ipnets {
        let details = extension.details(ipnet);
        let there = now.addresses_of(link).find(|a| a.ipnet == ipnet);
        if let Some(address) = there {
            if details.is_none_or(|details| AddressDetails::of(address, &link.name) == *details) {
                continue;
            }
            let address = address.clone();
            remove(link, &address, transaction)?;
            now = transaction.inside()?;
        }
        let message = match details {
            Some(details) => request::detailed_address(link.index, details),
            None => request::address(link.index, &ipnet),
        };
        add(&format!("address {ipnet}"), message, transaction)?;
    }
    Ok(())
}

/// Lists the addresses of the status in the order in which they must be added: those of podman's form, and those of
/// another scope than global.
///
/// The kernel lists the newest IPv6 address first and prefers the first of its list as source, so what was read from a
/// live namespace is added from the end.
pub fn all(interface: &NetInterface, extension: &Extension) -> Vec<IpNet> {
    let global = interface.subnets.iter().map(|a| a.ipnet);
    let others = extension.addresses.iter().filter(|a| a.scope != AddressScope::Universe);
    let ipnets = global.chain(others.map(|a| a.ipnet));
    if extension.addresses.is_empty() {
        return ipnets.collect();
    }
    let (mut ordered, ipv6): (Vec<IpNet>, Vec<IpNet>) = ipnets.partition(|ipnet| ipnet.addr().is_ipv4());
    ordered.extend(ipv6.into_iter().rev());
    ordered
}

fn add(what: &str, message: AddressMessage, transaction: &mut Transaction) -> anyhow::Result<()> {
    let undo = (RouteNetlinkMessage::DelAddress(message.clone()), 0);
    transaction.change(
        Side::Inside,
        what,
        RouteNetlinkMessage::NewAddress(message),
        NLM_F_CREATE | NLM_F_EXCL,
        Some(undo),
    )
}

fn remove(link: &Link, address: &Address, transaction: &mut Transaction) -> anyhow::Result<()> {
    let message = request::detailed_address(link.index, &AddressDetails::of(address, &link.name));
    let undo = (RouteNetlinkMessage::NewAddress(message.clone()), NLM_F_CREATE);
    let what = format!("removing address {}", address.ipnet);
    transaction.change(Side::Inside, &what, RouteNetlinkMessage::DelAddress(message), 0, Some(undo))
}
