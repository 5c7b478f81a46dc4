//! The current links, addresses and routes of a network namespace.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd};

use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::LinkMessage;
use netlink_packet_route::nsid::{NsidAttribute, NsidMessage};
use netlink_packet_route::route::{RouteFlags, RouteMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::address::Address;
use super::automatic_routes;
use super::link::Link;
use super::netlink::Netlink;
use super::netns::Netns;
use super::route::{self, InterfaceNames, Lost};
use crate::model::route::Route;

/// The links, addresses and routes of a namespace, each in the order of the kernel.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub links: Vec<Link>,
    pub addresses: Vec<Address>,
    pub routes: Vec<ReportedRoute>,
}

/// A route of any table, as the kernel reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportedRoute {
    pub route: Route,
    /// The attributes that `route` cannot hold.
    pub lost: Lost,
    /// Whether the kernel itself added the route, for an address or for a link that is up.
    pub automatic: bool,
    /// The kernel's message, from which the route can be restored.
    pub message: RouteMessage,
}

impl State {
    /// Reads links, addresses and routes.
    ///
    /// # Errors
    /// Returns an error if the kernel rejects a request.
    pub fn read(netlink: &mut Netlink) -> io::Result<State> {
        let mut state = State::read_links(netlink)?;
        for answer in netlink.dump(RouteNetlinkMessage::GetAddress(AddressMessage::default()))? {
            if let RouteNetlinkMessage::NewAddress(message) = answer {
                state.addresses.extend(Address::from_message(&message));
            }
        }
        let mut messages = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut request = RouteMessage::default();
            request.header.address_family = family;
            for answer in netlink.dump(RouteNetlinkMessage::GetRoute(request))? {
                match answer {
                    // A kernel without IPv6 answers a request for IPv6 routes with the routes of
                    // all families.
                    RouteNetlinkMessage::NewRoute(message) if message.header.address_family == family => {
                        messages.push(message);
                    }
                    _ => {}
                }
            }
        }
        let names = state.interface_names();
        // A cloned route caches a property of another route, such as a learned path MTU or a
        // redirect.
        let lasting = messages.into_iter().filter(|m| !m.header.flags.contains(RouteFlags::Cloned));
        let read = |message: RouteMessage| {
            let (route, lost) = route::from_message(&message, &names);
            let automatic = automatic_routes::is_automatic(&route, &state.addresses);
            ReportedRoute { route, lost, automatic, message }
        };
        state.routes = lasting.map(read).collect();
        Ok(state)
    }

    /// Reads only the links, which avoids reading the many routes of a host.
    ///
    /// # Errors
    /// Returns an error if the kernel rejects the request.
    pub fn read_links(netlink: &mut Netlink) -> io::Result<State> {
        let mut state = State::default();
        for answer in netlink.dump(RouteNetlinkMessage::GetLink(LinkMessage::default()))? {
            if let RouteNetlinkMessage::NewLink(message) = answer {
                state.links.push(Link::from_message(message));
            }
        }
        Ok(state)
    }

    /// Returns the link called `name`.
    pub fn link(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|link| link.name == name)
    }

    /// Returns the link with this index.
    pub fn link_at(&self, index: u32) -> Option<&Link> {
        self.links.iter().find(|link| link.index == index)
    }

    /// Returns the addresses of a link.
    pub fn addresses_of(&self, link: &Link) -> impl Iterator<Item = &Address> {
        self.addresses.iter().filter(move |address| address.index == link.index)
    }

    /// Returns the names of the links by index.
    pub fn interface_names(&self) -> InterfaceNames<'_> {
        self.links.iter().map(|link| (link.index, link.name.as_str())).collect()
    }

    /// Returns the default routes of a link, starting with the lowest metric.
    pub fn default_routes_of(&self, link: &Link) -> Vec<&ReportedRoute> {
        let of_link = |r: &&ReportedRoute| r.route.is_default() && r.route.uses(&link.name);
        let mut routes: Vec<&ReportedRoute> = self.routes.iter().filter(of_link).collect();
        routes.sort_by_key(|r| r.route.metric);
        routes
    }
}

impl ReportedRoute {
    /// Returns the gateway of a route with a single next hop, if the gateway belongs to the family
    /// of the route.
    pub fn gateway(&self) -> Option<IpAddr> {
        let [hop] = self.route.hops.as_slice() else { return None };
        hop.gateway.filter(|gateway| gateway.is_ipv6() == self.route.ipv6)
    }
}

/// Returns the ID that the namespace of `netlink` has for the namespace `other`. Returns `None` if
/// there is no such ID.
///
/// # Errors
/// Returns an error if the kernel rejects the request.
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
