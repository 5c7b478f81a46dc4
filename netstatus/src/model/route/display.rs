//! Routes as the arguments of `ip route add`.

use std::fmt;

use netlink_packet_route::route::RouteType;

use super::{BOOT, Hop, MAIN, Route, path_attributes};

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind != RouteType::Unicast {
            write!(f, "{} ", self.kind_name())?;
        }
        // ip-route(8) reads `default` as a route of the gateway's family, or of IPv4 if there is no
        // gateway.
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
            self.write_attributes(f)?;
            return self.hops.iter().try_for_each(|hop| {
                f.write_str(" nexthop")?;
                hop.write(self.ipv6, f)?;
                write!(f, " weight {}", u32::from(hop.weight) + 1)
            });
        };
        only.write(self.ipv6, f)?;
        self.write_attributes(f)
    }
}

impl Route {
    /// Writes the arguments that follow the next hop.
    fn write_attributes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
            // ip-route(8) rejects `lock` for these attributes, and always locks rto_min.
            let takes_lock = !matches!(*name, "rto_min" | "quickack" | "fastopen_no_cookie");
            let locked =
                takes_lock && path_attributes::number(name).is_some_and(|number| lock & (1 << number) != 0);
            let lock_word = if locked { " lock" } else { "" };
            match *name {
                "features" => f.write_str(if value & 1 == 1 { " features ecn" } else { "" })?,
                _ => write!(f, " {name}{lock_word} {value}")?,
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
