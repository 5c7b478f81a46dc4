//! Routes in the terms of ip-route(8).
//!
//! The kernel's routes, saved routes and desired routes share the type [`Route`], so that they can
//! be compared.

mod display;
pub mod json;
pub mod path_attributes;

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_route::route::{RouteHeader, RouteScope, RouteType};

/// The routing protocol `boot`, which `ip route add` uses without `proto`.
pub const BOOT: u8 = 3;
/// The metric that the kernel assigns to an IPv6 route without a metric.
const IPV6_METRIC: u32 = 1024;
/// The number of the table `main`.
pub const MAIN: u32 = RouteHeader::RT_TABLE_MAIN as u32;

/// A route of any table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub ipv6: bool,
    pub kind: RouteType,
    /// The destination prefix; `None` for a default route.
    pub destination: Option<IpNet>,
    /// The prefix of source addresses to which the route applies (IPv6 only).
    pub source: Option<IpNet>,
    pub tos: u8,
    pub table: u32,
    pub metric: u32,
    pub protocol: u8,
    pub scope: u8,
    pub preferred_source: Option<IpAddr>,
    /// The preference from a router advertisement; 0 means medium.
    pub preference: u8,
    /// Path attributes (`RTAX_*`) by their names in ip-route(8), in the units of the kernel.
    pub attributes: BTreeMap<&'static str, u32>,
    pub congestion_control: Option<String>,
    /// The next hops: several for a multipath route, none for a route without a device
    /// (`blackhole`).
    pub hops: Vec<Hop>,
}

/// A next hop of a route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hop {
    /// The interface; `None` if no interface of the namespace has the index that the kernel
    /// reported.
    pub interface: Option<String>,
    /// The gateway; an IPv4 route may have an IPv6 gateway.
    pub gateway: Option<IpAddr>,
    pub onlink: bool,
    /// The relative share of the traffic minus one, as the kernel stores it.
    pub weight: u8,
    pub realm: Option<u32>,
}

impl Route {
    /// Returns the unicast route of the main table that `ip route add` makes for a destination and
    /// a next hop.
    pub fn plain(ipv6: bool, destination: Option<IpNet>, metric: u32, hop: Hop) -> Route {
        let mut route = Route {
            ipv6,
            kind: RouteType::Unicast,
            destination,
            source: None,
            tos: 0,
            table: MAIN,
            metric: 0,
            protocol: BOOT,
            scope: 0,
            preferred_source: None,
            preference: 0,
            attributes: BTreeMap::new(),
            congestion_control: None,
            hops: vec![hop],
        };
        route.set_metric(metric);
        route.scope = route.usual_scope();
        route
    }

    fn set_metric(&mut self, metric: u32) {
        self.metric = if self.ipv6 && metric == 0 { IPV6_METRIC } else { metric };
    }

    /// Returns the scope that ip-route(8) assigns by default to a route of this type.
    fn usual_scope(&self) -> u8 {
        let gateway = self.hops.iter().any(|hop| hop.gateway.is_some()) || self.hops.len() > 1;
        let scope = match self.kind {
            RouteType::Local | RouteType::Nat => RouteScope::Host,
            RouteType::Unicast | RouteType::Broadcast | RouteType::Multicast | RouteType::Anycast
                if !gateway =>
            {
                RouteScope::Link
            }
            _ => RouteScope::Universe,
        };
        if self.ipv6 { 0 } else { scope.into() }
    }

    /// Returns whether the route is a default route of the main table.
    pub fn is_default(&self) -> bool {
        let for_all = (self.destination, self.source, self.tos) == (None, None, 0);
        for_all && self.table == MAIN && self.kind == RouteType::Unicast
    }

    /// Returns whether the route is a default route with only a gateway, which podman's format can
    /// express.
    pub fn is_gateway_only(&self) -> bool {
        let [hop] = self.hops.as_slice() else { return false };
        let mut plain = Route::plain(self.ipv6, None, self.metric, hop.clone());
        plain.protocol = self.protocol;
        // The preference only ranks several routers, and the next router advertisement sets it
        // again.
        plain.preference = self.preference;
        self.is_default() && hop.gateway.is_some() && plain == *self
    }

    /// Returns whether the routes have the same key: destination, source, table, TOS and metric.
    ///
    /// `ip route replace` replaces a route that has the same key.
    pub fn same_key(&self, other: &Route) -> bool {
        let key = |r: &Route| (r.ipv6, r.destination, r.source, r.tos, r.table, r.metric);
        key(self) == key(other)
    }

    /// Returns whether a next hop uses `interface`.
    pub fn uses(&self, interface: &str) -> bool {
        self.hops.iter().any(|hop| hop.interface.as_deref() == Some(interface))
    }

    /// Returns the destination as ip-route(8) writes it.
    pub fn to(&self) -> String {
        self.destination.map_or_else(|| "default".into(), |net| net.to_string())
    }

    /// Returns the name of the type in ip-route(8).
    pub fn kind_name(&self) -> &'static str {
        kind_names().iter().find(|(kind, _)| *kind == self.kind).map_or("unknown", |(_, name)| name)
    }
}

/// Returns the types of routes with their names in ip-route(8).
pub fn kind_names() -> &'static [(RouteType, &'static str)] {
    &[
        (RouteType::Unicast, "unicast"),
        (RouteType::Local, "local"),
        (RouteType::Broadcast, "broadcast"),
        (RouteType::Anycast, "anycast"),
        (RouteType::Multicast, "multicast"),
        (RouteType::BlackHole, "blackhole"),
        (RouteType::Unreachable, "unreachable"),
        (RouteType::Prohibit, "prohibit"),
        (RouteType::Throw, "throw"),
    ]
}

/// Returns whether routes of this type have no next hop: they discard packets or end the lookup in
/// their table.
pub fn has_no_hop(kind: RouteType) -> bool {
    matches!(kind, RouteType::BlackHole | RouteType::Unreachable | RouteType::Prohibit | RouteType::Throw)
}

#[cfg(test)]
mod tests;
