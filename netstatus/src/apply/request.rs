//! The netlink messages of `apply`.

use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

fn family(ip: IpAddr) -> AddressFamily {
    if ip.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

fn link(index: u32, attributes: Vec<LinkAttribute>) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes = attributes;
    message
}

/// Sets a link up or down.
pub fn up(index: u32, up: bool) -> RouteNetlinkMessage {
    let mut message = link(index, Vec::new());
    message.header.change_mask = LinkFlags::Up;
    message.header.flags = if up { LinkFlags::Up } else { LinkFlags::empty() };
    RouteNetlinkMessage::SetLink(message)
}

/// Sets the hardware address.
pub fn mac(index: u32, bytes: &[u8]) -> RouteNetlinkMessage {
    RouteNetlinkMessage::SetLink(link(index, vec![LinkAttribute::Address(bytes.to_vec())]))
}

/// Sets the name.
pub fn name(index: u32, name: &str) -> RouteNetlinkMessage {
    RouteNetlinkMessage::SetLink(link(index, vec![LinkAttribute::IfName(name.to_owned())]))
}

/// Sets the MTU.
pub fn mtu(index: u32, mtu: u32) -> RouteNetlinkMessage {
    RouteNetlinkMessage::SetLink(link(index, vec![LinkAttribute::Mtu(mtu)]))
}

/// An address. Without duplicate address detection: a restored socket cannot bind to a tentative one.
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

/// A route of the main table; no destination is the default route.
pub fn route(
    index: u32,
    destination: Option<IpNet>,
    gateway: Option<IpAddr>,
    metric: u32,
    onlink: bool,
) -> RouteMessage {
    let mut message = RouteMessage::default();
    let header = &mut message.header;
    header.table = RouteHeader::RT_TABLE_MAIN;
    header.protocol = RouteProtocol::Boot;
    header.scope = if gateway.is_some() { RouteScope::Universe } else { RouteScope::Link };
    header.kind = RouteType::Unicast;
    if onlink {
        header.flags = RouteFlags::Onlink;
    }
    let any = destination.map(|net| net.addr()).or(gateway);
    header.address_family = any.map_or(AddressFamily::Inet, family);
    if let Some(net) = destination {
        header.destination_prefix_length = net.prefix_len();
        message.attributes.push(RouteAttribute::Destination(RouteAddress::from(net.network())));
    }
    if let Some(gateway) = gateway {
        message.attributes.push(RouteAttribute::Gateway(RouteAddress::from(gateway)));
    }
    message.attributes.push(RouteAttribute::Oif(index));
    message.attributes.push(RouteAttribute::Priority(metric));
    message
}
