//! The netlink requests of `apply`.

use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, CacheInfo,
};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::model::extension::AddressDetails;

fn family(ip: IpAddr) -> AddressFamily {
    if ip.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

fn link(index: u32, attributes: Vec<LinkAttribute>) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes = attributes;
    message
}

/// Returns a request that brings a link up or down.
pub fn up(index: u32, up: bool) -> RouteNetlinkMessage {
    let mut message = link(index, Vec::new());
    message.header.change_mask = LinkFlags::Up;
    message.header.flags = if up { LinkFlags::Up } else { LinkFlags::empty() };
    RouteNetlinkMessage::SetLink(message)
}

/// Returns a request that sets the MAC of a link.
pub fn mac(index: u32, bytes: &[u8]) -> RouteNetlinkMessage {
    RouteNetlinkMessage::SetLink(link(index, vec![LinkAttribute::Address(bytes.to_vec())]))
}

/// Returns a request that renames a link.
pub fn name(index: u32, name: &str) -> RouteNetlinkMessage {
    RouteNetlinkMessage::SetLink(link(index, vec![LinkAttribute::IfName(name.to_owned())]))
}

/// Returns a request that sets the MTU of a link.
pub fn mtu(index: u32, mtu: u32) -> RouteNetlinkMessage {
    RouteNetlinkMessage::SetLink(link(index, vec![LinkAttribute::Mtu(mtu)]))
}

/// Returns an address with the usual attributes.
///
/// An IPv6 address skips duplicate address detection, since a restored socket cannot bind to a
/// tentative address.
pub fn address(index: u32, ipnet: &IpNet) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = family(ipnet.addr());
    message.header.prefix_len = ipnet.prefix_len();
    message.header.index = index;
    message.attributes = vec![AddressAttribute::Local(ipnet.addr()), AddressAttribute::Address(ipnet.addr())];
    match ipnet {
        IpNet::V4(net) if net.prefix_len() < 31 => {
            message.attributes.push(AddressAttribute::Broadcast(net.broadcast()))
        }
        IpNet::V4(_) => {}
        IpNet::V6(_) => {
            message.header.flags = AddressHeaderFlags::from_bits_retain(AddressFlags::Nodad.bits() as u8);
            message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
        }
    }
    message
}

/// Returns an address with all its saved attributes.
pub fn detailed_address(index: u32, details: &AddressDetails) -> AddressMessage {
    let mut message = address(index, &details.ipnet);
    message.header.scope = details.scope;
    let peer = details.peer.unwrap_or(details.ipnet.addr());
    message.attributes = vec![AddressAttribute::Local(details.ipnet.addr()), AddressAttribute::Address(peer)];
    let attributes = &mut message.attributes;
    attributes.extend(details.broadcast.map(AddressAttribute::Broadcast));
    attributes.extend(details.label.clone().map(AddressAttribute::Label));
    if details.metric != 0 {
        attributes.push(AddressAttribute::RoutePriority(details.metric));
    }
    let mut flags = details.flags - AddressFlags::Deprecated;
    if details.ipnet.addr().is_ipv6() {
        flags |= AddressFlags::Nodad;
    }
    attributes.push(AddressAttribute::Flags(flags));
    if details.flags.contains(AddressFlags::Deprecated) {
        let mut lifetime = CacheInfo::default();
        lifetime.ifa_valid = u32::MAX;
        attributes.push(AddressAttribute::CacheInfo(lifetime));
    }
    message
}
