//! Conversion of an interface of a live namespace to an interface of a status.

use std::net::IpAddr;

use checkpoint::network_status::{Mac, NetAddress, NetInterface};
use netlink_packet_route::address::{AddressFlags, AddressProtocol, AddressScope};
use serde_json::{Value, json};

use crate::kernel::address::Address;
use crate::kernel::link::Link;
use crate::kernel::state::State;

/// Returns the MAC, the global addresses and the gateways of `link`, and warns about each address
/// that it omits.
pub fn interface(link: &Link, inside: &State, extended: bool, warn: &mut dyn FnMut(String)) -> NetInterface {
    let routes = inside.default_routes_of(link);
    let mut interface = NetInterface { mac_address: Mac::from_bytes(&link.mac), ..NetInterface::default() };
    for address in inside.addresses_of(link) {
        let (ip, flags) = (address.ipnet.addr(), address.flags);
        if is_automatic(address, link) {
            continue;
        }
        if is_temporary(address) {
            warn(format!("interface {}: {} is left out: it is temporary", link.name, address.ipnet));
            continue;
        }
        let details = address.details(&link.name);
        if !extended && details.is_beyond_podman() {
            let (name, details) = (&link.name, details.to_json());
            warn(format!("interface {name}: address {details}: left out; --extended saves it"));
        }
        if address.scope != AddressScope::Universe {
            continue;
        }
        if is_unsettled(address) {
            warn(format!(
                "interface {}: {} is left out: duplicate address detection has not succeeded",
                link.name, address.ipnet
            ));
            continue;
        }
        if !flags.contains(AddressFlags::Permanent) {
            warn(format!(
                "interface {}: {} is from DHCP or a router advertisement and may expire",
                link.name, address.ipnet
            ));
        }
        let same_family = |gateway: &IpAddr| gateway.is_ipv4() == ip.is_ipv4();
        let gateway = routes.iter().find_map(|r| r.gateway().filter(same_family));
        let reachable = gateway.filter(|gateway| address.ipnet.contains(gateway));
        interface.subnets.push(NetAddress::new(address.ipnet, reachable));
    }
    // A gateway outside every prefix is assigned to the first address of its family.
    for gateway in routes.iter().filter_map(|route| route.gateway()) {
        let family = |a: &NetAddress| a.ipnet.addr().is_ipv4() == gateway.is_ipv4();
        if !interface.subnets.iter().any(|a| family(a) && a.gateway.is_some()) {
            if let Some(address) = interface.subnets.iter_mut().find(|a| family(a)) {
                address.gateway = Some(gateway);
            }
        }
    }
    interface
}

/// Returns the extension of `link`, with everything that podman's format cannot express.
///
/// `parent` is the bridge or the parent interface on the host.
pub fn extension(link: &Link, parent: Option<&Link>, inside: &State, routes: Vec<Value>) -> Value {
    let addresses = inside.addresses_of(link).filter(|a| !is_temporary(a) && !is_automatic(a, link));
    let addresses: Vec<Value> = addresses.map(|a| a.details(&link.name).to_json()).collect();
    json!({
        "mtu": link.mtu,
        "kind": link.kind,
        "parent": parent.map(|parent| &parent.name),
        "routes": routes,
        "addresses": addresses,
    })
}

/// Returns whether `save` saves the address, or the kernel adds it again.
pub fn is_restored(address: &Address) -> bool {
    !is_temporary(address) && !is_unsettled(address)
}

/// Returns whether duplicate address detection of a global address has not succeeded.
fn is_unsettled(address: &Address) -> bool {
    address.scope == AddressScope::Universe
        && address.flags.intersects(AddressFlags::Tentative | AddressFlags::Dadfailed)
}

/// Returns whether the address is temporary: the kernel regularly replaces a temporary address by a
/// new address (RFC 8981).
fn is_temporary(address: &Address) -> bool {
    address.ipnet.addr().is_ipv6() && address.flags.contains(AddressFlags::Secondary)
}

/// Returns whether the kernel itself assigns the link-local address when the link comes up.
fn is_automatic(address: &Address, link: &Link) -> bool {
    let IpAddr::V6(ip) = address.ipnet.addr() else { return false };
    let [_, _, _, _, _, _, _, _, host @ ..] = ip.octets();
    let eui64 = match link.mac.as_slice() {
        [a, b, c, d, e, f] => host == [a ^ 2, *b, *c, 0xff, 0xfe, *d, *e, *f],
        _ => false,
    };
    let private = address.flags.contains(AddressFlags::StablePrivacy);
    ip.is_unicast_link_local() && (eui64 || private || address.protocol == Some(AddressProtocol::LinkLocal))
}
