//! What a network namespace has now: links, addresses, routes.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd};

use ipnet::IpNet;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use netlink_packet_route::nsid::{NsidAttribute, NsidMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::netlink::Netlink;
use crate::netns::Netns;

/// The links, addresses and main routes of a namespace, each in the kernel's order.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub links: Vec<Link>,
    pub addresses: Vec<Address>,
    pub routes: Vec<Route>,
}

/// An interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    pub index: u32,
    pub name: String,
    pub mac: Vec<u8>,
    pub mtu: u32,
    pub up: bool,
    pub loopback: bool,
    /// `veth`, `macvlan`, …; none for hardware.
    pub kind: Option<String>,
    /// The peer of a veth, the parent of a macvlan: its index, which counts in another namespace if there is an id.
    pub other_end: Option<u32>,
    pub other_netnsid: Option<i32>,
    /// The bridge it is a port of.
    pub controller: Option<u32>,
}

/// An address of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub index: u32,
    pub ipnet: IpNet,
    pub scope: AddressScope,
    pub flags: AddressFlags,
}

/// A unicast route of the main table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub index: Option<u32>,
    /// None is the default route.
    pub destination: Option<IpNet>,
    pub family: AddressFamily,
    pub gateway: Option<IpAddr>,
    pub metric: u32,
    pub onlink: bool,
    /// Made by the kernel itself, for an address.
    pub by_kernel: bool,
    /// The message as the kernel gave it, to put the route back.
    pub message: RouteMessage,
}

impl Link {
    /// Whether it has the MAC of its parent and takes no other.
    pub fn shares_mac(&self) -> bool {
        self.kind.as_deref() == Some("ipvlan")
    }
}

impl State {
    /// Reads the namespace.
    ///
    /// # Errors
    /// The kernel's.
    pub fn read(netlink: &mut Netlink) -> io::Result<State> {
        let mut state = State::read_links(netlink)?;
        for answer in netlink.dump(RouteNetlinkMessage::GetAddress(AddressMessage::default()))? {
            if let RouteNetlinkMessage::NewAddress(message) = answer {
                state.addresses.extend(address(&message));
            }
        }
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut request = RouteMessage::default();
            request.header.address_family = family;
            for answer in netlink.dump(RouteNetlinkMessage::GetRoute(request))? {
                match answer {
                    // A kernel without IPv6 answers the question for it with all it has.
                    RouteNetlinkMessage::NewRoute(message) if message.header.address_family == family => {
                        state.routes.extend(route(message));
                    }
                    _ => {}
                }
            }
        }
        Ok(state)
    }

    /// Reads the links alone: of a host with its many routes nothing else is of interest.
    ///
    /// # Errors
    /// The kernel's.
    pub fn read_links(netlink: &mut Netlink) -> io::Result<State> {
        let mut state = State::default();
        for answer in netlink.dump(RouteNetlinkMessage::GetLink(LinkMessage::default()))? {
            if let RouteNetlinkMessage::NewLink(message) = answer {
                state.links.push(link(message));
            }
        }
        Ok(state)
    }

    /// The link called `name`.
    pub fn link(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|link| link.name == name)
    }

    /// The link with this index.
    pub fn link_at(&self, index: u32) -> Option<&Link> {
        self.links.iter().find(|link| link.index == index)
    }

    /// The addresses of a link.
    pub fn addresses_of(&self, link: &Link) -> impl Iterator<Item = &Address> {
        self.addresses.iter().filter(move |address| address.index == link.index)
    }

    /// The default routes of a link, best first.
    pub fn default_routes_of(&self, link: &Link) -> Vec<&Route> {
        let of_link = |route: &&Route| route.index == Some(link.index) && route.destination.is_none();
        let mut routes: Vec<&Route> = self.routes.iter().filter(of_link).collect();
        routes.sort_by_key(|route| route.metric);
        routes
    }
}

/// The id `netlink`'s namespace has for `other`, if it has one.
///
/// # Errors
/// The kernel's.
pub fn netnsid(netlink: &mut Netlink, other: &Netns) -> io::Result<Option<i32>> {
    let mut request = NsidMessage::default();
    let fd = u32::try_from(other.as_fd().as_raw_fd()).map_err(io::Error::other)?;
    request.attributes.push(NsidAttribute::Fd(fd));
    for answer in netlink.get(RouteNetlinkMessage::GetNsId(request))? {
        if let RouteNetlinkMessage::NewNsId(message) = answer {
            let id = message
                .attributes
                .iter()
                .find_map(|a| if let NsidAttribute::Id(id) = a { Some(*id) } else { None });
            return Ok(id.filter(|id| *id >= 0));
        }
    }
    Ok(None)
}

fn link(message: LinkMessage) -> Link {
    let mut link = Link {
        index: message.header.index,
        up: message.header.flags.contains(LinkFlags::Up),
        loopback: message.header.flags.contains(LinkFlags::Loopback),
        ..Link::default()
    };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::Address(mac) => link.mac = mac,
            LinkAttribute::Mtu(mtu) => link.mtu = mtu,
            LinkAttribute::Link(index) => link.other_end = Some(index),
            LinkAttribute::LinkNetNsId(id) => link.other_netnsid = Some(id),
            LinkAttribute::Controller(index) => link.controller = Some(index),
            LinkAttribute::LinkInfo(infos) => {
                let kind =
                    infos.iter().find_map(|i| if let LinkInfo::Kind(kind) = i { Some(kind) } else { None });
                link.kind = kind.map(ToString::to_string);
            }
            _ => {}
        }
    }
    link
}

fn address(message: &AddressMessage) -> Option<Address> {
    // IFA_LOCAL is the own address; IFA_ADDRESS is the peer's on a point-to-point link, else the same.
    let (mut ip, mut local) = (None, None);
    let mut flags = AddressFlags::from_bits_retain(u32::from(message.header.flags.bits()));
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Address(address) => ip = Some(*address),
            AddressAttribute::Local(address) => local = Some(*address),
            AddressAttribute::Flags(all) => flags = *all,
            _ => {}
        }
    }
    let ipnet = IpNet::new(local.or(ip)?, message.header.prefix_len).ok()?;
    Some(Address { index: message.header.index, ipnet, scope: message.header.scope, flags })
}

fn route(message: RouteMessage) -> Option<Route> {
    let mut table = u32::from(message.header.table);
    let mut route = Route {
        index: None,
        destination: None,
        family: message.header.address_family,
        gateway: None,
        metric: 0,
        onlink: message.header.flags.contains(RouteFlags::Onlink),
        by_kernel: message.header.protocol == RouteProtocol::Kernel,
        message: message.clone(),
    };
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Table(id) => table = *id,
            RouteAttribute::Oif(index) => route.index = Some(*index),
            RouteAttribute::Priority(metric) => route.metric = *metric,
            RouteAttribute::Gateway(gateway) => route.gateway = ip(gateway),
            RouteAttribute::Destination(destination) => {
                route.destination =
                    IpNet::new(ip(destination)?, message.header.destination_prefix_length).ok();
            }
            _ => {}
        }
    }
    if table != u32::from(RouteHeader::RT_TABLE_MAIN) || message.header.kind != RouteType::Unicast {
        return None;
    }
    if route.destination.is_none() && message.header.destination_prefix_length != 0 {
        // An IPv4 dump leaves out a destination of all zero bits, whatever its length.
        let zero: IpAddr = match route.family {
            AddressFamily::Inet => Ipv4Addr::UNSPECIFIED.into(),
            _ => Ipv6Addr::UNSPECIFIED.into(),
        };
        route.destination = IpNet::new(zero, message.header.destination_prefix_length).ok();
    }
    Some(route)
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(ip) => Some((*ip).into()),
        RouteAddress::Inet6(ip) => Some((*ip).into()),
        _ => None,
    }
}
