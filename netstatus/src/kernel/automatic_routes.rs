//! Routes that the kernel itself adds, for an address or for an interface that is up, so that they
//! need not be saved.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv6Net};
use netlink_packet_route::address::AddressFlags;
use netlink_packet_route::route::{RouteProtocol, RouteType};

use super::address::Address;
use crate::model::route::{MAIN, Route};

/// The number of the table `local`.
const LOCAL: u32 = 255;

/// Returns whether the kernel adds `route` itself, given the `addresses` of the namespace.
///
/// `proto kernel` alone does not prove this, since NetworkManager adds prefix routes with that
/// protocol for addresses that have `noprefixroute`.
pub fn is_automatic(route: &Route, addresses: &[Address]) -> bool {
    if route.protocol != u8::from(RouteProtocol::Kernel) {
        return false;
    }
    let made_for_link = match route.destination {
        Some(IpNet::V6(net)) => net == link_local() || net.addr().is_multicast(),
        // Without any IPv6 address, the kernel adds `unreachable default dev lo`.
        None => route.kind == RouteType::Unreachable,
        Some(IpNet::V4(_)) => false,
    };
    let made_for_address = |address: &Address| {
        let prefix_route = !address.flags.contains(AddressFlags::Noprefixroute);
        // The prefix route of a point-to-point address leads to the peer.
        let net = IpNet::new(address.peer.unwrap_or(address.ipnet.addr()), address.ipnet.prefix_len());
        let host = |ip: IpAddr| route.destination == Some(IpNet::from(ip));
        host(address.ipnet.addr())
            || prefix_route && net.is_ok_and(|net| route.destination == Some(net.trunc()))
    };
    route.table == LOCAL || made_for_link || route.table == MAIN && addresses.iter().any(made_for_address)
}

fn link_local() -> Ipv6Net {
    Ipv6Net::new_assert(std::net::Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 64)
}
