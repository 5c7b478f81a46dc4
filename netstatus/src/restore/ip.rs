//! Lines for `ip -n NETNS -batch -`; a second run changes nothing.

use std::collections::BTreeMap;

use checkpoint::network_status::{Malformed, NetInterface, NetworkStatus};

use super::plain;
use crate::network_info::NetworkInfos;
use crate::validate::gateway_is_onlink;

/// The metric of the first default route, as netavark sets it.
pub const METRIC: u32 = 100;

/// An interface with what its network says of its default route.
pub struct Link<'a> {
    pub network: &'a str,
    pub interface: &'a NetInterface,
    /// A network without a way out has a gateway for DNS only.
    pub internal: bool,
}

/// All interfaces of the container by name.
pub fn links<'a>(status: &'a NetworkStatus, infos: &NetworkInfos) -> BTreeMap<&'a str, Link<'a>> {
    let mut links = BTreeMap::new();
    for (network, block) in &status.networks {
        let internal = infos.get(network).is_some_and(|info| info.internal);
        for (name, interface) in &block.interfaces {
            links.insert(name.as_str(), Link { network, interface, internal });
        }
    }
    links
}

/// Makes the batch.
///
/// # Errors
/// When an interface has a name that `ip` would take for something else.
pub fn batch(status: &NetworkStatus, infos: &NetworkInfos) -> Result<String, Malformed> {
    let mut out = String::from("link set dev lo up\n");
    let links = links(status, infos);
    for (name, Link { network, interface, .. }) in &links {
        plain(name, "interface").map_err(|e| e.within(format!("network {network}")))?;
        if let Some(mac) = &interface.mac_address {
            out.push_str(&format!("link set dev {name} address {mac}\n"));
        }
        // Addresses and routes need a link that is up; a bound IPv6 address must not be tentative: nodad.
        out.push_str(&format!("link set dev {name} up\n"));
        for address in &interface.subnets {
            let nodad = if address.ipnet.addr().is_ipv6() { " nodad" } else { "" };
            out.push_str(&format!("addr replace {} dev {name}{nodad}\n", address.ipnet));
        }
    }
    for route in default_routes(&links) {
        // The family is that of the gateway; an option such as -6 cannot stand in a batch.
        let onlink = if route.onlink { " onlink" } else { "" };
        let DefaultRoute { gateway, interface, metric, .. } = route;
        out.push_str(&format!(
            "route replace default via {gateway} dev {interface} metric {metric}{onlink}\n"
        ));
    }
    Ok(out)
}

/// A default route a container had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefaultRoute<'a> {
    pub interface: &'a str,
    pub gateway: std::net::IpAddr,
    pub metric: u32,
    pub onlink: bool,
}

/// The default routes: one for each gateway. A second one gets a higher metric, else it would replace the first.
pub fn default_routes<'a>(links: &BTreeMap<&'a str, Link<'a>>) -> Vec<DefaultRoute<'a>> {
    let mut routes: Vec<DefaultRoute<'a>> = Vec::new();
    for (name, link) in links.iter().filter(|(_, link)| !link.internal) {
        for address in &link.interface.subnets {
            let Some(gateway) = address.gateway else { continue };
            if let Some(known) = routes.iter_mut().find(|r| r.interface == *name && r.gateway == gateway) {
                known.onlink &= gateway_is_onlink(address);
                continue;
            }
            let earlier = routes.iter().filter(|r| r.gateway.is_ipv4() == gateway.is_ipv4()).count();
            routes.push(DefaultRoute {
                interface: name,
                gateway,
                metric: METRIC.saturating_add(u32::try_from(earlier).unwrap_or(u32::MAX)),
                onlink: gateway_is_onlink(address),
            });
        }
    }
    routes
}
