//! A route in the terms of ip-route(8): the same value is read from the kernel, saved, compared and set.

pub mod automatic;
pub mod json;
mod netlink;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_route::route::{RouteHeader, RouteScope, RouteType};

pub use netlink::{Interfaces, Lost, delete, read, request};

/// The routing protocol `boot`: a route that `ip route add` makes without `proto`.
pub const BOOT: u8 = 3;
/// The metric that the kernel gives to an IPv6 route without one.
const IPV6_METRIC: u32 = 1024;
/// The number of the table `main`.
pub const MAIN: u32 = RouteHeader::RT_TABLE_MAIN as u32;

/// A route of any table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub ipv6: bool,
    pub kind: RouteType,
    /// None is the default route.
    pub destination: Option<IpNet>,
    /// The prefix of source addresses the route is for (IPv6 only).
    pub source: Option<IpNet>,
    pub tos: u8,
    pub table: u32,
    pub metric: u32,
    pub protocol: u8,
    pub scope: u8,
    pub preferred_source: Option<IpAddr>,
    /// The preference of a router advertisement: 0 is medium.
    pub preference: u8,
    /// Path attributes (`RTAX_*`) by name, in the kernel's units.
    pub attributes: BTreeMap<&'static str, u32>,
    pub congestion_control: Option<String>,
    /// The next hops; several are a multipath route, none is a route without a device (`blackhole`).
    pub hops: Vec<Hop>,
}

/// A next hop of a route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hop {
    /// The interface; none if the kernel reported an index without a name.
    pub interface: Option<String>,
    /// The gateway; an IPv4 route may have an IPv6 one.
    pub gateway: Option<IpAddr>,
    pub onlink: bool,
    /// Its share of the traffic, less one.
    pub weight: u8,
    pub realm: Option<u32>,
}

impl Route {
    /// A unicast route of the main table with no more than a destination, as `ip route add` makes it.
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

    /// The scope that ip-route(8) gives to such a route.
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

    /// Whether traffic without a better route takes this one.
    pub fn is_default(&self) -> bool {
        let for_all = (self.destination, self.source, self.tos) == (None, None, 0);
        for_all && self.table == MAIN && self.kind == RouteType::Unicast
    }

    /// Whether a default route has nothing but its gateway, as podman's form says it.
    pub fn is_gateway_only(&self) -> bool {
        let [hop] = self.hops.as_slice() else { return false };
        let mut plain = Route::plain(self.ipv6, None, self.metric, hop.clone());
        plain.protocol = self.protocol;
        // A router's preference counts among several routers only, and the next advertisement has it again.
        plain.preference = self.preference;
        self.is_default() && hop.gateway.is_some() && plain == *self
    }

    /// Whether the kernel keeps only one of the two: same destination, table, TOS and metric.
    pub fn same_key(&self, other: &Route) -> bool {
        let key = |r: &Route| (r.ipv6, r.destination, r.source, r.tos, r.table, r.metric);
        key(self) == key(other)
    }

    /// Whether a next hop leaves through `interface`.
    pub fn uses(&self, interface: &str) -> bool {
        self.hops.iter().any(|hop| hop.interface.as_deref() == Some(interface))
    }

    /// The words that name the destination.
    pub fn to(&self) -> String {
        self.destination.map_or_else(|| "default".into(), |net| net.to_string())
    }

    /// The word of ip-route(8) for the type.
    pub fn kind_name(&self) -> &'static str {
        kind_names().iter().find(|(kind, _)| *kind == self.kind).map_or("unknown", |(_, name)| name)
    }
}

/// The types of route and their words in ip-route(8).
fn kind_names() -> &'static [(RouteType, &'static str)] {
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

/// Whether such a route discards its packets or leaves the table, and so has no next hop.
fn has_no_hop(kind: RouteType) -> bool {
    matches!(kind, RouteType::BlackHole | RouteType::Unreachable | RouteType::Prohibit | RouteType::Throw)
}

/// Writes the route as the arguments of `ip route add`.
impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind != RouteType::Unicast {
            write!(f, "{} ", self.kind_name())?;
        }
        // Without a gateway of its own family ip-route(8) would take `default` for IPv4, or for that of the gateway.
        let clear = self.hops.iter().any(|hop| hop.gateway.is_some_and(|ip| ip.is_ipv6() == self.ipv6));
        match (self.destination, self.ipv6) {
            (None, _) if clear => f.write_str("default")?,
            (None, true) => f.write_str("::/0")?,
            (None, false) => f.write_str("0.0.0.0/0")?,
            (Some(net), _) => write!(f, "{net}")?,
        }
        if let Some(source) = self.source {
            write!(f, " from {source}")?;
        }
        if self.tos != 0 {
            write!(f, " tos {:#x}", self.tos)?;
        }
        let [only] = self.hops.as_slice() else {
            self.common(f)?;
            return self.hops.iter().try_for_each(|hop| {
                f.write_str(" nexthop")?;
                hop.write(self.ipv6, f)?;
                write!(f, " weight {}", u32::from(hop.weight) + 1)
            });
        };
        only.write(self.ipv6, f)?;
        self.common(f)
    }
}

impl Route {
    fn common(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.table != MAIN {
            write!(f, " table {}", self.table)?;
        }
        if self.protocol != BOOT {
            write!(f, " proto {}", self.protocol)?;
        }
        if self.scope != self.usual_scope() {
            write!(f, " scope {}", self.scope)?;
        }
        if let Some(source) = self.preferred_source {
            write!(f, " src {source}")?;
        }
        if self.metric != 0 {
            write!(f, " metric {}", self.metric)?;
        }
        let lock = self.attributes.get("lock").copied().unwrap_or(0);
        for (name, value) in self.attributes.iter().filter(|(name, _)| **name != "lock") {
            // ip-route(8) locks rto_min itself, and rejects the word there.
            let takes_lock = !matches!(*name, "rto_min" | "quickack" | "fastopen_no_cookie");
            let locked = takes_lock && netlink::number(name).is_some_and(|number| lock & (1 << number) != 0);
            let word = if locked { " lock" } else { "" };
            match *name {
                "features" => f.write_str(if value & 1 == 1 { " features ecn" } else { "" })?,
                _ => write!(f, " {name}{word} {value}")?,
            }
        }
        if let Some(name) = &self.congestion_control {
            write!(f, " congctl {name}")?;
        }
        match self.preference {
            1 => f.write_str(" pref high"),
            3 => f.write_str(" pref low"),
            _ => Ok(()),
        }
    }
}

impl Hop {
    fn write(&self, ipv6: bool, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(gateway) = self.gateway {
            let family = if gateway.is_ipv6() != ipv6 { "inet6 " } else { "" };
            write!(f, " via {family}{gateway}")?;
        }
        if let Some(interface) = &self.interface {
            write!(f, " dev {interface}")?;
        }
        if self.onlink {
            f.write_str(" onlink")?;
        }
        match self.realm {
            Some(realm) if realm >> 16 != 0 => write!(f, " realm {}/{}", realm >> 16, realm & 0xffff),
            Some(realm) => write!(f, " realm {realm}"),
            None => Ok(()),
        }
    }
}
