//! Addition and removal of the addresses of an interface.

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressMessage, AddressScope};

use super::requests;
use super::transaction::{Side, Transaction};
use crate::kernel::address::Address;
use crate::kernel::link::Link;
use crate::model::desired::{self, DesiredInterface};
use crate::model::extension::Extension;

/// Sets the addresses of the status. With `flush`, also removes all other global addresses of
/// `link`.
///
/// # Errors
/// Returns an error if the kernel rejects an address.
pub fn set(
    link: &Link,
    desired: &DesiredInterface<'_>,
    extension: &Extension,
    flush: bool,
    transaction: &mut Transaction,
) -> anyhow::Result<()> {
    let ipnets = desired::addresses(desired.interface, extension);
    if flush {
        let before = transaction.inside()?;
        let foreign = |a: &&Address| a.scope == AddressScope::Universe && !ipnets.contains(&a.ipnet);
        for address in before.addresses_of(link).filter(foreign) {
            remove(link, address, transaction)?;
        }
    }
    // The addresses are read again, since removing a primary address also removes its secondary
    // addresses, unless the sysctl promote_secondaries is set.
    let mut now = transaction.inside()?;
    for ipnet in ipnets {
        let details = extension.details(ipnet);
        let there = now.addresses_of(link).find(|a| a.ipnet == ipnet);
        if let Some(address) = there {
            if details.is_none_or(|details| address.details(&link.name) == *details) {
                continue;
            }
            let address = address.clone();
            remove(link, &address, transaction)?;
            now = transaction.inside()?;
        }
        let message = match details {
            Some(details) => requests::detailed_address(link.index, details),
            None => requests::address(link.index, &ipnet),
        };
        add(&format!("address {ipnet}"), message, transaction)?;
    }
    Ok(())
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
    let message = requests::detailed_address(link.index, &address.details(&link.name));
    let undo = (RouteNetlinkMessage::NewAddress(message.clone()), NLM_F_CREATE);
    let what = format!("remove address {}", address.ipnet);
    transaction.change(Side::Inside, &what, RouteNetlinkMessage::DelAddress(message), 0, Some(undo))
}
