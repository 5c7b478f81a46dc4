//! Lines for `ip -n NETNS -batch -`. Running the lines a second time changes nothing.

use checkpoint::network_status::{Malformed, NetworkStatus};
use ipnet::IpNet;
use netlink_packet_route::address::AddressFlags;

use crate::model::desired::{
    DesiredInterface, DesiredRoute, GatewayRoute, addresses, gateway_routes, interfaces, routes,
};
use crate::model::extension::{AddressDetails, Extension, USER_FLAGS};
use crate::model::names::check_unquoted;
use crate::model::network_info::NetworkInfos;

/// Returns the batch that sets MACs, MTUs, addresses and routes.
///
/// # Errors
/// Returns an error if `ip` would misread the name of an interface.
pub fn batch(status: &NetworkStatus, infos: &NetworkInfos) -> Result<String, Malformed> {
    let mut out = String::from("link set dev lo up\n");
    let interfaces = interfaces(status, infos);
    for (name, DesiredInterface { network, interface, .. }) in &interfaces {
        check_unquoted(name, "interface").map_err(|e| e.within(format!("network {network}")))?;
        if let Some(mac) = &interface.mac_address {
            out.push_str(&format!("link set dev {name} address {mac}\n"));
        }
        let extension = Extension::of(name, interface).map_err(|e| e.within(format!("interface {name}")))?;
        if let Some(mtu) = extension.mtu {
            out.push_str(&format!("link set dev {name} mtu {mtu}\n"));
        }
        // The kernel rejects routes through a link that is down.
        out.push_str(&format!("link set dev {name} up\n"));
        for ipnet in addresses(interface, &extension) {
            out.push_str(&address_line(name, ipnet, extension.details(ipnet))?);
        }
    }
    let mut saved: Vec<DesiredRoute<'_>> =
        routes(&interfaces)?.into_iter().filter(|route| route.saved).collect();
    // Linux accepts a gateway only if a route without a gateway leads to it.
    saved.sort_by_key(|d| d.route.hops.iter().any(|hop| hop.gateway.is_some()));
    for (n, DesiredRoute { route, .. }) in saved.iter().enumerate() {
        for name in route.hops.iter().filter_map(|hop| hop.interface.as_deref()) {
            check_unquoted(name, "interface")?;
        }
        let has_same_key = saved.iter().take(n).any(|earlier| earlier.route.same_key(route));
        out.push_str(&format!("route {} {route}\n", if has_same_key { "append" } else { "replace" }));
    }
    let is_saved = |implied: &GatewayRoute<'_>| saved.iter().any(|d| d.covers(implied));
    for implied in gateway_routes(&interfaces).into_iter().filter(|implied| !is_saved(implied)) {
        // ip(8) derives the family from the gateway; a batch cannot contain an option such as -6.
        let onlink = if implied.onlink { " onlink" } else { "" };
        let GatewayRoute { gateway, interface, metric, .. } = implied;
        out.push_str(&format!(
            "route replace default via {gateway} dev {interface} metric {metric}{onlink}\n"
        ));
    }
    Ok(out)
}

fn address_line(name: &str, ipnet: IpNet, details: Option<&AddressDetails>) -> Result<String, Malformed> {
    // A restored socket cannot bind to a tentative address, so duplicate address detection is off.
    let nodad = if ipnet.addr().is_ipv6() { " nodad" } else { "" };
    let attributes = details.map(attributes).transpose()?.unwrap_or_default();
    let address = match details.and_then(|details| details.peer) {
        Some(peer) => format!("{} peer {peer}/{}", ipnet.addr(), ipnet.prefix_len()),
        None => ipnet.to_string(),
    };
    Ok(format!("addr replace {address} dev {name}{attributes}{nodad}\n"))
}

/// Returns the attributes of an address as ip-address(8) writes them.
fn attributes(details: &AddressDetails) -> Result<String, Malformed> {
    let mut words = String::new();
    if let Some(broadcast) = details.broadcast {
        words.push_str(&format!(" broadcast {broadcast}"));
    }
    if let Some(label) = &details.label {
        // The label of an alias contains a colon: eth0:1.
        check_unquoted(&label.replace(':', ""), "label")?;
        words.push_str(&format!(" label {label}"));
    }
    for (word, value) in [("scope", u32::from(u8::from(details.scope))), ("metric", details.metric)] {
        if value != 0 {
            words.push_str(&format!(" {word} {value}"));
        }
    }
    for (flag, word) in USER_FLAGS.iter().filter(|(flag, _)| details.flags.contains(*flag)) {
        let word = if *flag == AddressFlags::Deprecated { "preferred_lft 0" } else { word };
        words.push_str(&format!(" {word}"));
    }
    Ok(words)
}
