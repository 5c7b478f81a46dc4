//! Lines for `ip -n NETNS -batch -`; a second run changes nothing.

use std::collections::BTreeMap;

use checkpoint::network_status::{Malformed, NetInterface, NetworkStatus};

use netlink_packet_route::address::AddressFlags;

use super::plain;
use crate::apply::addresses::all;
use crate::desired::{Desired, routes};
use crate::extension::{AddressDetails, Extension, KEPT};
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
        let extension = Extension::of(name, interface).map_err(|e| e.within(format!("interface {name}")))?;
        if let Some(mtu) = extension.mtu {
            out.push_str(&format!("link set dev {name} mtu {mtu}\n"));
        }
        out.push_str(&format!("link set dev {name} up\n"));
        for ipnet in all(interface, &extension) {
            let nodad = if ipnet.addr().is_ipv6() { " nodad" } else { "" };
            let details = extension.details(ipnet).map(words).transpose()?.unwrap_or_default();
            match extension.details(ipnet).and_then(|details| details.peer) {
                Some(peer) => {
                    let (ip, prefix) = (ipnet.addr(), ipnet.prefix_len());
                    out.push_str(&format!(
                        "addr replace {ip} peer {peer}/{prefix} dev {name}{details}{nodad}\n"
                    ));
                }
                None => out.push_str(&format!("addr replace {ipnet} dev {name}{details}{nodad}\n")),
            }
        }
    }
    let mut saved: Vec<Desired<'_>> = routes(&links)?.into_iter().filter(|route| route.saved).collect();
    // Linux accepts a gateway only if a route without one leads to it.
    saved.sort_by_key(|d| d.route.hops.iter().any(|hop| hop.gateway.is_some()));
    for (n, Desired { route, .. }) in saved.iter().enumerate() {
        for name in route.hops.iter().filter_map(|hop| hop.interface.as_deref()) {
            plain(name, "interface")?;
        }
        let before = saved.iter().take(n).any(|earlier| earlier.route.same_key(route));
        out.push_str(&format!("route {} {route}\n", if before { "append" } else { "replace" }));
    }
    let held = |r: &DefaultRoute<'_>| saved.iter().any(|d| d.holds(r));
    for route in default_routes(&links).into_iter().filter(|route| !held(route)) {
        // The family is that of the gateway; an option such as -6 cannot stand in a batch.
        let onlink = if route.onlink { " onlink" } else { "" };
        let DefaultRoute { gateway, interface, metric, .. } = route;
        out.push_str(&format!(
            "route replace default via {gateway} dev {interface} metric {metric}{onlink}\n"
        ));
    }
    Ok(out)
}

/// The words of ip-address(8) for the details of an address.
fn words(details: &AddressDetails) -> Result<String, Malformed> {
    let mut words = String::new();
    if let Some(broadcast) = details.broadcast {
        words.push_str(&format!(" broadcast {broadcast}"));
    }
    if let Some(label) = &details.label {
        // A colon stands before the number of an alias: eth0:1.
        plain(&label.replace(':', ""), "label")?;
        words.push_str(&format!(" label {label}"));
    }
    for (word, value) in [("scope", u32::from(u8::from(details.scope))), ("metric", details.metric)] {
        if value != 0 {
            words.push_str(&format!(" {word} {value}"));
        }
    }
    for (flag, word) in KEPT.iter().filter(|(flag, _)| details.flags.contains(*flag)) {
        let word = if *flag == AddressFlags::Deprecated { "preferred_lft 0" } else { word };
        words.push_str(&format!(" {word}"));
    }
    Ok(words)
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
