//! The routes that a status requires.

use std::net::IpAddr;

use checkpoint::network_status::Malformed;

use super::DesiredInterfaces;
use crate::model::extension::Extension;
use crate::model::host_address::gateway_is_onlink;
use crate::model::route::json::SavedRoute;
use crate::model::route::{Hop, Route};

/// The metric that netavark sets for a default route.
const NETAVARK_METRIC: u32 = 100;

/// A route that a status requires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredRoute<'a> {
    /// The interface of the status with which the route is saved.
    pub interface: &'a str,
    pub route: Route,
    /// Whether every attribute was saved. Otherwise, only destination, interfaces and gateways are
    /// compared.
    pub exact: bool,
    /// Whether the route was saved under `x-netstatus`. Otherwise, the route follows from the
    /// gateway of an address.
    pub saved: bool,
}

impl DesiredRoute<'_> {
    /// Returns whether `live`, a route of a namespace, is this route.
    pub fn matches(&self, live: &Route) -> bool {
        if self.exact {
            return with_sorted_hops(&self.route) == with_sorted_hops(live);
        }
        let hops = |route: &Route| -> Vec<_> {
            route.hops.iter().map(|hop| (hop.interface.clone(), hop.gateway)).collect()
        };
        let key = |r: &Route| (r.ipv6, r.destination, r.kind, r.table);
        key(&self.route) == key(live) && hops(&self.route) == hops(live)
    }

    /// Returns whether this route is a default route through the gateway of `other`.
    pub fn covers(&self, other: &GatewayRoute<'_>) -> bool {
        self.route.is_default()
            && self.route.ipv6 == other.gateway.is_ipv6()
            && self.route.hops.iter().any(|hop| other.leads_through(hop))
    }
}

/// Returns the route with its next hops sorted, since the kernel reports them in its own order.
fn with_sorted_hops(route: &Route) -> Route {
    let mut route = route.clone();
    route.hops.sort_by(|a, b| (&a.interface, a.gateway).cmp(&(&b.interface, b.gateway)));
    route
}

/// A default route that follows from the gateway of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayRoute<'a> {
    pub interface: &'a str,
    pub gateway: IpAddr,
    pub metric: u32,
    pub onlink: bool,
}

impl GatewayRoute<'_> {
    /// Returns whether `hop` has the interface and the gateway of this route.
    pub fn leads_through(&self, hop: &Hop) -> bool {
        (hop.gateway, hop.interface.as_deref()) == (Some(self.gateway), Some(self.interface))
    }
}

/// Returns one default route for each gateway of the interfaces.
///
/// Each further route of a family gets a higher metric, since it would replace the previous route
/// if both had the same metric.
pub fn gateway_routes<'a>(interfaces: &DesiredInterfaces<'a>) -> Vec<GatewayRoute<'a>> {
    let mut routes: Vec<GatewayRoute<'a>> = Vec::new();
    for (name, desired) in interfaces.iter().filter(|(_, desired)| !desired.internal) {
        for address in &desired.interface.subnets {
            let Some(gateway) = address.gateway else { continue };
            if let Some(known) = routes.iter_mut().find(|r| r.interface == *name && r.gateway == gateway) {
                known.onlink &= gateway_is_onlink(address);
                continue;
            }
            let earlier = routes.iter().filter(|r| r.gateway.is_ipv4() == gateway.is_ipv4()).count();
            routes.push(GatewayRoute {
                interface: name,
                gateway,
                metric: NETAVARK_METRIC.saturating_add(u32::try_from(earlier).unwrap_or(u32::MAX)),
                onlink: gateway_is_onlink(address),
            });
        }
    }
    routes
}

/// Returns the routes of all interfaces.
///
/// These are the routes saved under `x-netstatus`, and a default route for each gateway that is not
/// used by a saved default route.
///
/// # Errors
/// Returns an error if an extension is malformed.
pub fn routes<'a>(interfaces: &DesiredInterfaces<'a>) -> Result<Vec<DesiredRoute<'a>>, Malformed> {
    let mut routes = Vec::new();
    for (name, desired) in interfaces {
        let within = |e: Malformed| e.within(format!("interface {name}"));
        for mut saved in Extension::of(name, desired.interface).map_err(within)?.routes {
            if desired.internal && saved.route.is_default() {
                continue;
            }
            if !saved.exact {
                let onlink = |gateway| {
                    let mut of_gateway =
                        desired.interface.subnets.iter().filter(|a| a.gateway == gateway).peekable();
                    of_gateway.peek().is_some() && of_gateway.all(gateway_is_onlink)
                };
                for hop in &mut saved.route.hops {
                    hop.onlink = hop.gateway.is_some() && onlink(hop.gateway);
                }
            }
            let SavedRoute { route, exact } = saved;
            routes.push(DesiredRoute { interface: name, route, exact, saved: true });
        }
    }
    for implied in gateway_routes(interfaces) {
        if routes
            .iter()
            .any(|d| d.route.is_default() && d.route.hops.iter().any(|hop| implied.leads_through(hop)))
        {
            continue;
        }
        let GatewayRoute { interface, gateway, metric, onlink } = implied;
        let hop =
            Hop { interface: Some(interface.to_owned()), gateway: Some(gateway), onlink, ..Hop::default() };
        let route = Route::plain(gateway.is_ipv6(), None, metric, hop);
        routes.push(DesiredRoute { interface, route, exact: false, saved: false });
    }
    Ok(routes)
}
