//! Selection of the routes that are saved.

use std::collections::BTreeMap;
use std::net::IpAddr;

use checkpoint::network_status::NetworkStatus;
use serde_json::Value;

use super::interface::is_restored;
use crate::kernel::link::Link;
use crate::kernel::state::{ReportedRoute, State};
use crate::model::desired::{gateway_routes, interfaces};
use crate::model::network_info::NetworkInfos;

/// Returns the routes for the extensions of the saved links, by the name of the link. Warns about
/// all other routes.
///
/// A route over several links is saved with the first of these links, and a route without a link
/// (`blackhole`) with the first saved link.
pub fn extended(
    inside: &State,
    saved: &[&Link],
    warn: &mut dyn FnMut(String),
) -> BTreeMap<String, Vec<Value>> {
    let mut routes: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for reported in inside.routes.iter().filter(|r| !r.automatic) {
        let route = &reported.route;
        match holder(reported, inside, saved) {
            Ok(name) => {
                if !reported.lost.incidental.is_empty() {
                    warn(format!("route {route}: saved without {}", reported.lost.incidental.join(", ")));
                }
                routes.entry(name.to_owned()).or_default().push(route.to_json(name));
            }
            Err(why) => warn(format!("route {route}: left out: {why}")),
        }
    }
    routes
}

/// Returns the name of the link with which a route is saved, or the reason why it cannot be saved.
fn holder<'a>(reported: &ReportedRoute, inside: &State, saved: &[&'a Link]) -> Result<&'a str, String> {
    let route = &reported.route;
    if let Some(lost) = reported.lost.essential.first() {
        return Err(format!("a status cannot express {lost}"));
    }
    for hop in &route.hops {
        let Some(name) = &hop.interface else { return Err("its interface is not in this namespace".into()) };
        let loopback = inside.link(name).is_some_and(|link| link.loopback);
        if !loopback && !saved.iter().any(|link| link.name == *name) {
            return Err(format!("interface {name} is not saved"));
        }
    }
    if let Some(source) = route.preferred_source.filter(|ip| !is_local_after_restore(*ip, inside, saved)) {
        return Err(format!("its source address {source} is not saved"));
    }
    let used = saved.iter().find(|link| route.uses(&link.name)).or(saved.first());
    used.map(|link| link.name.as_str()).ok_or_else(|| "no interface is saved".into())
}

/// Returns whether a restored namespace has the local address `ip`.
///
/// The kernel rejects a route whose source is not a local address. An address that no interface has
/// is local because of a `local` route, which is saved as well.
fn is_local_after_restore(ip: IpAddr, inside: &State, saved: &[&Link]) -> bool {
    let is_saved = |index: u32| saved.iter().any(|link| link.index == index);
    let mut addresses = inside.addresses.iter().filter(|a| a.ipnet.addr() == ip).peekable();
    ip.is_loopback() || addresses.peek().is_none() || addresses.any(|a| is_saved(a.index) && is_restored(a))
}

/// Lists the routes that podman's format cannot express. The format contains only a gateway for
/// each address.
pub fn beyond_podman(inside: &State, status: &NetworkStatus, infos: &NetworkInfos) -> Vec<String> {
    let expressed = gateway_routes(&interfaces(status, infos));
    let mut lost = Vec::new();
    for route in inside.routes.iter().filter(|r| !r.automatic).map(|r| &r.route) {
        let same = expressed.iter().find(|expressed| match route.hops.as_slice() {
            [hop] => expressed.leads_through(hop),
            _ => false,
        });
        let several = expressed.iter().filter(|e| e.gateway.is_ipv6() == route.ipv6).count() > 1;
        match same {
            Some(same) if route.is_gateway_only() && (!several || same.metric == route.metric) => {}
            _ => lost.push(format!("route {route}")),
        }
    }
    lost
}
