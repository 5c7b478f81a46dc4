//! Routes that need no saving, because the kernel makes them for an address or for an interface that is up.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv6Net};
use netlink_packet_route::address::AddressFlags;
use netlink_packet_route::route::{RouteProtocol, RouteType};

use super::{MAIN, Route};
use crate::state::Address;

/// The number of the table `local`.
const LOCAL: u32 = 255;

/// Whether the kernel makes `route` itself, given the `addresses` of the namespace.
///
/// `proto kernel` alone does not say so: NetworkManager adds prefix routes of that protocol itself, for an address that
/// has `noprefixroute`.
pub fn is(route: &Route, addresses: &[Address]) -> bool {
    if route.protocol != u8::from(RouteProtocol::Kernel) {
        return false;
    }
    let made_for_link = match route.destination {
        Some(IpNet::V6(net)) => net == link_local() || net.addr().is_multicast(),
        // IPv6 without any address has `unreachable default dev lo`.
        None => route.kind == RouteType::Unreachable,
        Some(IpNet::V4(_)) => false,
    };
    let made_for_address = |address: &Address| {
        let prefix_route = !address.flags.contains(AddressFlags::Noprefixroute);
        // For a peer the route goes to the peer.
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
