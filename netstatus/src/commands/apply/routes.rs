//! Addition and replacement of routes.

use netlink_packet_core::{NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;

use super::transaction::{Side, Transaction};
use crate::kernel::route;
use crate::kernel::state::{ReportedRoute, State};
use crate::model::desired::{self, DesiredInterfaces, DesiredRoute};

/// Adds the missing routes of the status.
///
/// Removes other routes with the same key, and other default routes of the same interfaces.
///
/// # Errors
/// Returns an error if the kernel rejects a route.
pub fn set(interfaces: &DesiredInterfaces<'_>, transaction: &mut Transaction) -> anyhow::Result<()> {
    let before = transaction.inside()?;
    let desired = desired::routes(interfaces)?;
    let kept = |live: &ReportedRoute| live.automatic || desired.iter().any(|d| d.matches(&live.route));
    let mut missing: Vec<&DesiredRoute<'_>> =
        desired.iter().filter(|d| !before.routes.iter().any(|live| d.matches(&live.route))).collect();
    for live in before.routes.iter().filter(|live| !kept(live)) {
        let replaced = missing.iter().any(|d| d.route.same_key(&live.route))
            || desired.iter().any(|d| overrides(d, live));
        if replaced {
            remove(live, transaction)?;
        }
    }
    // The route to a gateway may come later in the list than a route through this gateway, so the
    // routes that the kernel rejected are added again after all other routes.
    while !missing.is_empty() {
        let count = missing.len();
        let mut first = None;
        let mut rejected = Vec::new();
        for route in missing {
            if let Err(error) = add(route, &before, transaction) {
                first.get_or_insert(error);
                rejected.push(route);
            }
        }
        match first {
            Some(error) if rejected.len() == count => return Err(error),
            _ => missing = rejected,
        }
    }
    Ok(())
}

/// Returns whether `live` is a default route that `desired` replaces.
fn overrides(desired: &DesiredRoute<'_>, live: &ReportedRoute) -> bool {
    let default =
        desired.route.is_default() && live.route.is_default() && desired.route.ipv6 == live.route.ipv6;
    let gateway = desired.exact || live.route.hops.iter().any(|hop| hop.gateway.is_some());
    default && gateway && live.route.uses(desired.interface)
}

fn remove(live: &ReportedRoute, transaction: &mut Transaction) -> anyhow::Result<()> {
    let what = format!("remove the route {}", live.route);
    let undo = (RouteNetlinkMessage::NewRoute(live.message.clone()), NLM_F_CREATE | NLM_F_APPEND);
    transaction.change(
        Side::Inside,
        &what,
        RouteNetlinkMessage::DelRoute(live.message.clone()),
        0,
        Some(undo),
    )
}

fn add(desired: &DesiredRoute<'_>, state: &State, transaction: &mut Transaction) -> anyhow::Result<()> {
    let DesiredRoute { interface, route, exact, .. } = desired;
    let what = match route.hops.first().and_then(|hop| hop.gateway) {
        Some(gateway) if route.is_default() => format!("{interface}: default route via {gateway}"),
        _ => format!("{interface}: route to {}", route.to()),
    };
    let names = state.interface_names();
    let message = route::add_request(route, &names).map_err(|e| e.context(what.clone()))?;
    let undo = RouteNetlinkMessage::DelRoute(route::delete_request(route, &names)?);
    // A saved namespace may have several routes with the same key, which the kernel keeps in the
    // order of addition.
    let flags = if *exact { NLM_F_CREATE | NLM_F_APPEND } else { NLM_F_CREATE | NLM_F_EXCL };
    transaction.change(Side::Inside, &what, RouteNetlinkMessage::NewRoute(message), flags, Some((undo, 0)))
}
