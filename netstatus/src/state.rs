//! What a network namespace has now: links, addresses, routes.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, AsRawFd};

use ipnet::IpNet;
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressMessage, AddressProtocol, AddressScope,
};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkInfo, LinkMessage, Prop};
use netlink_packet_route::nsid::{NsidAttribute, NsidMessage};
use netlink_packet_route::route::{RouteFlags, RouteMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::netlink::Netlink;
use crate::netns::Netns;
use crate::route::{self, Interfaces, Lost, Route};

/// The links, addresses and routes of a namespace, each in the kernel's order.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub links: Vec<Link>,
    pub addresses: Vec<Address>,
    pub routes: Vec<Reported>,
}

/// The queue length that Ethernet devices have from the start (`DEFAULT_TX_QUEUE_LEN`).
const USUAL_QUEUE: u32 = 1000;

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
    /// What it has that no form holds, in the words of ip-link(8).
    pub unsaved: Vec<String>,
}

/// An address of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub index: u32,
    pub ipnet: IpNet,
    pub scope: AddressScope,
    pub flags: AddressFlags,
    /// The other end of a point-to-point link.
    pub peer: Option<IpAddr>,
    pub broadcast: Option<Ipv4Addr>,
    pub label: Option<String>,
    /// The metric of the prefix route.
    pub metric: u32,
    /// Who made it (`IFA_PROTO`, Linux 5.18).
    pub protocol: Option<AddressProtocol>,
}

/// A route of any table, as the kernel reported it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reported {
    pub route: Route,
    /// What the kernel reported in addition.
    pub lost: Lost,
    /// Made by the kernel itself, for an address or for a link that is up.
    pub automatic: bool,
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
        let mut messages = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut request = RouteMessage::default();
            request.header.address_family = family;
            for answer in netlink.dump(RouteNetlinkMessage::GetRoute(request))? {
                match answer {
                    // A kernel without IPv6 answers the question for it with all it has.
                    RouteNetlinkMessage::NewRoute(message) if message.header.address_family == family => {
                        messages.push(message);
                    }
                    _ => {}
                }
            }
        }
        let interfaces = state.interfaces();
        // A cloned route is the cache of another one: a learned path MTU, a redirect.
        let lasting = messages.into_iter().filter(|m| !m.header.flags.contains(RouteFlags::Cloned));
        let read = |message: RouteMessage| {
            let (route, lost) = route::read(&message, &interfaces);
            let automatic = route::automatic::is(&route, &state.addresses);
            Reported { route, lost, automatic, message }
        };
        state.routes = lasting.map(read).collect();
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

    /// The names of the links by index.
    pub fn interfaces(&self) -> Interfaces<'_> {
        self.links.iter().map(|link| (link.index, link.name.as_str())).collect()
    }

    /// The default routes of a link, best first.
    pub fn default_routes_of(&self, link: &Link) -> Vec<&Reported> {
        let of_link = |r: &&Reported| r.route.is_default() && r.route.uses(&link.name);
        let mut routes: Vec<&Reported> = self.routes.iter().filter(of_link).collect();
        routes.sort_by_key(|r| r.route.metric);
        routes
    }
}

impl Reported {
    /// The gateway, if there is one next hop, and one of the route's family.
    pub fn gateway(&self) -> Option<IpAddr> {
        let [hop] = self.route.hops.as_slice() else { return None };
        hop.gateway.filter(|gateway| gateway.is_ipv6() == self.route.ipv6)
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
    let flags = message.header.flags;
    for (is_set, word) in [
        (flags.contains(LinkFlags::Promisc), "promisc on"),
        (flags.contains(LinkFlags::Allmulti), "allmulticast on"),
        (flags.contains(LinkFlags::Noarp) && !flags.contains(LinkFlags::Pointopoint), "arp off"),
    ] {
        if is_set {
            link.unsaved.push(word.into());
        }
    }
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfAlias(alias) => link.unsaved.push(format!("alias {alias:?}")),
            LinkAttribute::PropList(names) => {
                link.unsaved.extend(names.iter().filter_map(|name| match name {
                    Prop::AltIfName(name) => Some(format!("altname {name}")),
                    _ => None,
                }));
            }
            LinkAttribute::TxQueueLen(n) if n != USUAL_QUEUE => link.unsaved.push(format!("txqueuelen {n}")),
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
    let mut address = Address {
        index: message.header.index,
        ipnet: IpNet::default(),
        scope: message.header.scope,
        flags: AddressFlags::from_bits_retain(u32::from(message.header.flags.bits())),
        peer: None,
        broadcast: None,
        label: None,
        metric: 0,
        protocol: None,
    };
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Address(address) => ip = Some(*address),
            AddressAttribute::Local(address) => local = Some(*address),
            AddressAttribute::Flags(all) => address.flags = *all,
            AddressAttribute::Broadcast(ip) => address.broadcast = Some(*ip),
            AddressAttribute::Label(label) => address.label = Some(label.clone()),
            AddressAttribute::RoutePriority(metric) => address.metric = *metric,
            AddressAttribute::Protocol(protocol) => address.protocol = Some(*protocol),
            _ => {}
        }
    }
    address.ipnet = IpNet::new(local.or(ip)?, message.header.prefix_len).ok()?;
    address.peer = ip.filter(|ip| local.is_some_and(|local| local != *ip));
    Some(address)
}
