//! Which routes of a namespace are saved, and which are named as left out.

use std::collections::BTreeMap;

use checkpoint::network_status::NetworkStatus;
use serde_json::Value;

use crate::network_info::NetworkInfos;
use crate::restore::ip::{default_routes, links};
use crate::state::{Link, Reported, State};

/// Takes the routes of the saved links, by the name of the link they are saved with.
///
/// A route over several links goes to the first of them, one without a link (`blackhole`) to the first link of all.
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

/// The link that a route is saved with.
fn holder<'a>(reported: &Reported, inside: &State, saved: &[&'a Link]) -> Result<&'a str, String> {
    let route = &reported.route;
    if let Some(lost) = reported.lost.essential.first() {
        return Err(format!("the status has no place for {lost}"));
    }
    for hop in &route.hops {
        let Some(name) = &hop.interface else { return Err("its interface is not in this namespace".into()) };
        let loopback = inside.link(name).is_some_and(|link| link.loopback);
        if !loopback && !saved.iter().any(|link| link.name == *name) {
            return Err(format!("interface {name} is not saved"));
        }
    }
    let used = saved.iter().find(|link| route.uses(&link.name)).or(saved.first());
    used.map(|link| link.name.as_str()).ok_or_else(|| "no interface is saved".into())
}

/// Names the routes that podman's form cannot hold: it has a gateway for each address, and nothing else.
pub fn plain(inside: &State, status: &NetworkStatus, infos: &NetworkInfos) -> Vec<String> {
    let links = links(status, infos);
    let held = default_routes(&links);
    let mut lost = Vec::new();
    for route in inside.routes.iter().filter(|r| !r.automatic).map(|r| &r.route) {
        let same = held.iter().find(|held| {
            let [hop] = route.hops.as_slice() else { return false };
            hop.gateway == Some(held.gateway) && hop.interface.as_deref() == Some(held.interface)
        });
        let several = held.iter().filter(|h| h.gateway.is_ipv6() == route.ipv6).count() > 1;
        match same {
            Some(held) if route.is_gateway_only() && (!several || held.metric == route.metric) => {}
            _ => lost.push(format!("route {route}")),
        }
    }
    lost
}
