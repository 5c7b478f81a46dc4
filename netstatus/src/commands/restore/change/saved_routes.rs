//! Updates of the saved routes and address details after a change of addresses or interface names.

use std::net::IpAddr;

use checkpoint::network_status::{Malformed, NetworkStatus};
use ipnet::IpNet;
use serde_json::Value;

use crate::model::extension::{Extension, KEY};
use crate::model::route::Route;

/// Removes the saved routes that the kernel would reject with the new addresses, and warns about
/// each removed route.
///
/// The gateway of such a route is in no prefix of the new addresses, or its source address has been
/// removed. Also removes the details of removed addresses.
///
/// # Errors
/// Returns an error if an extension is malformed.
pub fn remove_unreachable(
    status: &mut NetworkStatus,
    before: &NetworkStatus,
    warn: &mut dyn FnMut(String),
) -> Result<(), Malformed> {
    let all = |status: &NetworkStatus| -> Vec<IpNet> {
        let interfaces = status.networks.values().flat_map(|block| block.interfaces.values());
        interfaces.flat_map(|i| i.subnets.iter().map(|a| a.ipnet)).collect()
    };
    let (now, before) = (all(status), all(before));
    let removed: Vec<IpNet> = before.into_iter().filter(|ipnet| !now.contains(ipnet)).collect();
    for (name, interface) in status.networks.values_mut().flat_map(|block| block.interfaces.iter_mut()) {
        let extension = Extension::of(name, interface)?;
        let Some(Value::Object(keys)) = interface.unknown.get_mut(KEY) else { continue };
        if let Some(Value::Array(routes)) = keys.get_mut("routes") {
            let mut saved = extension.routes.iter();
            routes.retain(|_| {
                let Some(saved) = saved.next() else { return true };
                let keep = is_possible(&saved.route, &now, &removed);
                if !keep {
                    warn(format!("route {}: left out: not reachable with the new addresses", saved.route));
                }
                keep
            });
        }
        if let Some(Value::Array(addresses)) = keys.get_mut("addresses") {
            let mut saved = extension.addresses.iter();
            addresses.retain(|_| saved.next().is_none_or(|details| !removed.contains(&details.ipnet)));
        }
    }
    Ok(())
}

fn is_possible(route: &Route, now: &[IpNet], removed: &[IpNet]) -> bool {
    let is_removed = |ip: IpAddr| removed.iter().any(|ipnet| ipnet.addr() == ip);
    let lost_prefix = |ip: IpAddr| {
        removed.iter().any(|ipnet| ipnet.contains(&ip)) && !now.iter().any(|ipnet| ipnet.contains(&ip))
    };
    !route.preferred_source.is_some_and(is_removed)
        && !route.hops.iter().any(|hop| !hop.onlink && hop.gateway.is_some_and(lost_prefix))
}

/// Renames the interface `old` to `new` in the saved routes.
pub fn rename_interface(status: &mut NetworkStatus, old: &str, new: &str) {
    let interfaces = status.networks.values_mut().flat_map(|block| block.interfaces.values_mut());
    for extension in interfaces.filter_map(|interface| interface.unknown.get_mut(KEY)) {
        let Some(Value::Array(routes)) = extension.get_mut("routes") else { continue };
        for route in routes {
            if let Some(Value::Array(hops)) = route.get_mut("nexthops") {
                hops.iter_mut().for_each(|hop| rename_device(hop, old, new));
            }
            rename_device(route, old, new);
        }
    }
}

fn rename_device(keys: &mut Value, old: &str, new: &str) {
    match keys.get_mut("dev") {
        Some(Value::String(name)) if name == old => *name = new.to_owned(),
        _ => {}
    }
}
