//! The interfaces and addresses that a status requires.

use std::collections::BTreeMap;

use checkpoint::network_status::{NetInterface, NetworkStatus};
use ipnet::IpNet;
use netlink_packet_route::address::AddressScope;

use crate::model::extension::Extension;
use crate::model::network_info::NetworkInfos;

/// An interface of a status together with its network.
pub struct DesiredInterface<'a> {
    pub network: &'a str,
    pub interface: &'a NetInterface,
    /// Whether the network is isolated: its gateway serves DNS only and gets no default route.
    pub internal: bool,
}

/// Interfaces of a status by name.
pub type DesiredInterfaces<'a> = BTreeMap<&'a str, DesiredInterface<'a>>;

/// Returns all interfaces of the status.
pub fn interfaces<'a>(status: &'a NetworkStatus, infos: &NetworkInfos) -> DesiredInterfaces<'a> {
    let mut interfaces = BTreeMap::new();
    for (network, block) in &status.networks {
        let internal = infos.get(network).is_some_and(|info| info.internal);
        for (name, interface) in &block.interfaces {
            interfaces.insert(name.as_str(), DesiredInterface { network, interface, internal });
        }
    }
    interfaces
}

/// Lists the addresses of an interface in the order in which they must be added.
///
/// The list contains the addresses in podman's format, which have global scope, and the addresses
/// of another scope in the extension.
///
/// The kernel lists the newest IPv6 address first and prefers the first of its list as source
/// address. The IPv6 addresses of a live namespace are therefore added in reverse order.
pub fn addresses(interface: &NetInterface, extension: &Extension) -> Vec<IpNet> {
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
