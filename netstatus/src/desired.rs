//! The routes a status asks for, which `apply` sets and `check` compares.

use std::collections::BTreeMap;

use checkpoint::network_status::Malformed;

use crate::extension::Extension;
use crate::restore::ip::{DefaultRoute, Link, default_routes};
use crate::route::{Hop, Route};
use crate::state::Reported;
use crate::validate::gateway_is_onlink;

/// A route of a status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired<'a> {
    /// The interface of the status that the route is saved with.
    pub interface: &'a str,
    pub route: Route,
    /// Whether every attribute was saved. Otherwise only destination, interface and gateway count.
    pub exact: bool,
    /// False for a default route that only the gateway of an address asks for.
    pub saved: bool,
}

impl Desired<'_> {
    /// Whether `live` is this route.
    pub fn is(&self, live: &Reported) -> bool {
        let live = &live.route;
        if self.exact {
            return comparable(&self.route) == comparable(live);
        }
        let hops = |route: &Route| -> Vec<_> {
            route.hops.iter().map(|hop| (hop.interface.clone(), hop.gateway)).collect()
        };
        let key = |r: &Route| (r.ipv6, r.destination, r.kind, r.table);
        key(&self.route) == key(live) && hops(&self.route) == hops(live)
    }
}

impl Desired<'_> {
    /// Whether this is the default route that the gateway of an address asks for.
    pub fn holds(&self, plain: &DefaultRoute<'_>) -> bool {
        let through = |hop: &Hop| {
            (hop.gateway, hop.interface.as_deref()) == (Some(plain.gateway), Some(plain.interface))
        };
        self.route.is_default()
            && self.route.ipv6 == plain.gateway.is_ipv6()
            && self.route.hops.iter().any(through)
    }
}

/// The route with its next hops in a fixed order: the kernel reports them in its own.
fn comparable(route: &Route) -> Route {
    let mut route = route.clone();
    route.hops.sort_by(|a, b| (&a.interface, a.gateway).cmp(&(&b.interface, b.gateway)));
    route
}

/// The routes of all interfaces: those saved under `x-netstatus`, and for each other gateway a default route.
///
/// # Errors
/// Returns an error if an extension is malformed.
pub fn routes<'a>(links: &BTreeMap<&'a str, Link<'a>>) -> Result<Vec<Desired<'a>>, Malformed> {
    let mut desired = Vec::new();
    for (name, link) in links {
        let within = |e: Malformed| e.within(format!("interface {name}"));
        for mut saved in Extension::of(name, link.interface).map_err(within)?.routes {
            if link.internal && saved.route.is_default() {
                continue;
            }
            if !saved.exact {
                let onlink = |gateway| {
                    let mut of_gateway =
                        link.interface.subnets.iter().filter(|a| a.gateway == gateway).peekable();
                    of_gateway.peek().is_some() && of_gateway.all(gateway_is_onlink)
                };
                for hop in &mut saved.route.hops {
                    hop.onlink = hop.gateway.is_some() && onlink(hop.gateway);
                }
            }
            desired.push(Desired { interface: name, route: saved.route, exact: saved.exact, saved: true });
        }
    }
    for plain in default_routes(links) {
        let DefaultRoute { interface, gateway, metric, onlink } = plain;
        let through = |hop: &Hop| hop.gateway == Some(gateway) && hop.interface.as_deref() == Some(interface);
        if desired.iter().any(|d| d.route.is_default() && d.route.hops.iter().any(through)) {
            continue;
        }
        let hop =
            Hop { interface: Some(interface.to_owned()), gateway: Some(gateway), onlink, ..Hop::default() };
        let route = Route::plain(gateway.is_ipv6(), None, metric, hop);
        desired.push(Desired { interface, route, exact: false, saved: false });
    }
    Ok(desired)
}

/// Names what only `apply` and `ip -batch` set again: MTU, routes and details of addresses under `x-netstatus`.
///
/// # Errors
/// Returns an error if an extension is malformed.
pub fn beyond_podman(links: &BTreeMap<&str, Link<'_>>) -> Result<Vec<String>, Malformed> {
    let mut names = Vec::new();
    for (name, link) in links {
        let extension = Extension::of(name, link.interface)?;
        names.extend(
            extension.mtu.filter(|mtu| *mtu != 1500).map(|mtu| format!("interface {name}: MTU {mtu}")),
        );
        for details in extension.addresses.iter().filter(|details| details.is_beyond_podman()) {
            names.push(format!("interface {name}: address {}", details.to_json()));
        }
    }
    let gateways = default_routes(links);
    for desired in routes(links)?.iter().filter(|desired| desired.saved) {
        if !(desired.route.is_gateway_only() && gateways.iter().any(|gateway| desired.holds(gateway))) {
            names.push(format!("route {}", desired.route));
        }
    }
    Ok(names)
}
