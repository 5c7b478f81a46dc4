//! Setting the routes of a status.

use std::collections::BTreeMap;

use netlink_packet_core::{NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;

use super::transaction::{Side, Transaction};
use crate::desired::{Desired, routes};
use crate::restore::ip::Link as Wanted;
use crate::route;
use crate::state::{Reported, State};

/// Adds the routes of the status that are not there; others with the same key give way, and so do default routes
/// of the same interfaces through other gateways.
///
/// # Errors
/// Returns an error if the kernel rejects a route.
pub fn set(wanted: &BTreeMap<&str, Wanted<'_>>, transaction: &mut Transaction) -> anyhow::Result<()> {
    let before = transaction.inside()?;
    let desired = routes(wanted)?;
    let kept = |live: &Reported| live.automatic || desired.iter().any(|d| d.is(live));
    let mut missing: Vec<&Desired<'_>> =
        desired.iter().filter(|d| !before.routes.iter().any(|live| d.is(live))).collect();
    for live in before.routes.iter().filter(|live| !kept(live)) {
        let replaced = missing.iter().any(|d| d.route.same_key(&live.route))
            || desired.iter().any(|d| overrides(d, live));
        if replaced {
            remove(live, transaction)?;
        }
    }
    // A gateway may be reached through a route that comes later in the kernel's order: go on as long as one is set.
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

/// Whether `live` is a default route that the one of the status takes the place of.
fn overrides(desired: &Desired<'_>, live: &Reported) -> bool {
    let default =
        desired.route.is_default() && live.route.is_default() && desired.route.ipv6 == live.route.ipv6;
    let gateway = desired.exact || live.route.hops.iter().any(|hop| hop.gateway.is_some());
    default && gateway && live.route.uses(desired.interface)
}

fn remove(live: &Reported, transaction: &mut Transaction) -> anyhow::Result<()> {
    let what = format!("removing the route {}", live.route);
    let undo = (RouteNetlinkMessage::NewRoute(live.message.clone()), NLM_F_CREATE | NLM_F_APPEND);
    transaction.change(
        Side::Inside,
        &what,
        RouteNetlinkMessage::DelRoute(live.message.clone()),
        0,
        Some(undo),
    )
}

fn add(desired: &Desired<'_>, state: &State, transaction: &mut Transaction) -> anyhow::Result<()> {
    let Desired { interface, route, exact, .. } = desired;
    let what = match route.hops.first().and_then(|hop| hop.gateway) {
        Some(gateway) if route.is_default() => format!("{interface}: default route via {gateway}"),
        _ => format!("{interface}: route to {}", route.to()),
    };
    let interfaces = state.interfaces();
    let message = route::request(route, &interfaces).map_err(|e| e.context(what.clone()))?;
    let undo = RouteNetlinkMessage::DelRoute(route::delete(route, &interfaces)?);
    // Several routes with the same key are legal, in the order in which they were added.
    let flags = if *exact { NLM_F_CREATE | NLM_F_APPEND } else { NLM_F_CREATE | NLM_F_EXCL };
    transaction.change(Side::Inside, &what, RouteNetlinkMessage::NewRoute(message), flags, Some((undo, 0)))
}
