//! Differences between a status and a namespace.

use checkpoint::network_status::Mac;
use netlink_packet_route::address::AddressFlags;

use crate::kernel::address::Address;
use crate::kernel::link::Link;
use crate::kernel::state::{ReportedRoute, State};
use crate::model::desired::{self, DesiredInterface, DesiredInterfaces, DesiredRoute};
use crate::model::extension::Extension;

/// Lists the settings of the status that the namespace lacks, and its additional default routes.
///
/// # Errors
/// Returns an error if an extension is malformed.
pub fn differences(interfaces: &DesiredInterfaces<'_>, state: &State) -> anyhow::Result<Vec<String>> {
    let mut differences = Vec::new();
    for (name, desired) in interfaces {
        match state.link(name) {
            None => differences.push(format!("interface {name}: not in the namespace")),
            Some(link) => {
                let of_link = of_interface(link, desired, state)?;
                differences.extend(of_link.into_iter().map(|text| format!("interface {name}: {text}")));
            }
        }
    }
    let desired = desired::routes(interfaces)?;
    let is_missing = |d: &&DesiredRoute<'_>| !state.routes.iter().any(|live| d.matches(&live.route));
    for DesiredRoute { interface, route, .. } in desired.iter().filter(is_missing) {
        if state.link(interface).is_none() {
            continue;
        }
        let gateway = route.hops.first().and_then(|hop| hop.gateway).filter(|_| route.hops.len() == 1);
        let same = |live: &&ReportedRoute| live.route.same_key(route) && !live.automatic;
        differences.push(match (gateway, state.routes.iter().find(same)) {
            (_, Some(live)) => {
                format!("interface {interface}: the route is {}, expected {route}", live.route)
            }
            (Some(gateway), None) if route.is_default() => {
                format!("interface {interface}: no default route via {gateway}")
            }
            (_, None) => format!("interface {interface}: no route {route}"),
        });
    }
    // An additional default route may be preferred over the saved routes.
    let has_saved_routes = |name: &str| desired.iter().any(|d| d.exact && d.interface == name);
    for live in state.routes.iter().filter(|live| live.route.is_default() && !live.automatic) {
        let of_status = interfaces.keys().find(|name| live.route.uses(name) && has_saved_routes(name));
        if let Some(name) = of_status.filter(|_| !desired.iter().any(|d| d.matches(&live.route))) {
            differences.push(format!("interface {name}: the status does not have the route {}", live.route));
        }
    }
    Ok(differences)
}

fn of_interface(link: &Link, desired: &DesiredInterface<'_>, state: &State) -> anyhow::Result<Vec<String>> {
    let mut differences = Vec::new();
    let extension = Extension::of(&link.name, desired.interface)?;
    if let Some(mtu) = extension.mtu.filter(|mtu| *mtu != link.mtu) {
        differences.push(format!("MTU is {}, expected {mtu}", link.mtu));
    }
    if !link.up {
        differences.push("is down".to_owned());
    }
    let mac = desired.interface.mac_address.as_ref().filter(|_| !link.shares_mac());
    if let Some(mac) = mac.filter(|mac| mac.bytes() != link.mac) {
        let is = Mac::from_bytes(&link.mac).map_or("none".into(), |mac| mac.to_string());
        differences.push(format!("MAC is {is}, expected {mac}"));
    }
    for ipnet in desired::addresses(desired.interface, &extension) {
        let same_ip = |a: &&Address| a.ipnet.addr() == ipnet.addr();
        match state.addresses_of(link).find(same_ip) {
            None => differences.push(format!("no address {ipnet}")),
            Some(there) if there.ipnet != ipnet => {
                differences.push(format!("address is {}, expected {ipnet}", there.ipnet))
            }
            Some(there) if there.flags.contains(AddressFlags::Dadfailed) => {
                differences.push(format!(
                    "address {ipnet}: duplicate address detection found another host that uses this address"
                ));
            }
            Some(there) if there.flags.contains(AddressFlags::Tentative) => {
                differences.push(format!("address {ipnet} is tentative: sockets cannot bind to it yet"));
            }
            Some(there) => {
                let is = there.details(&link.name);
                if let Some(details) = extension.details(ipnet).filter(|details| **details != is) {
                    differences.push(format!(
                        "address {ipnet} is {}, expected {}",
                        is.to_json(),
                        details.to_json()
                    ));
                }
            }
        }
    }
    Ok(differences)
}
