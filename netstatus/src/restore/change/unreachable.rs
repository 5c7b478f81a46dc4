//! Saved routes and addresses after the addresses or the name of an interface have changed.

use std::net::IpAddr;

use checkpoint::network_status::{Malformed, NetworkStatus};
use ipnet::IpNet;
use serde_json::Value;

use crate::extension::{Extension, KEY};
use crate::route::Route;

/// Drops and names the saved routes that the new addresses cannot have: a gateway in none of their prefixes, or a source
/// address that is gone. Details of addresses that are gone go, too.
///
/// # Errors
/// Returns an error if an extension is malformed.
pub fn leave_out(
    status: &mut NetworkStatus,
    before: &NetworkStatus,
    warn: &mut dyn FnMut(String),
) -> Result<(), Malformed> {
    let all = |status: &NetworkStatus| -> Vec<IpNet> {
        let interfaces = status.networks.values().flat_map(|block| block.interfaces.values());
        interfaces.flat_map(|i| i.subnets.iter().map(|a| a.ipnet)).collect()
    };
    let (now, before) = (all(status), all(before));
    let gone: Vec<IpNet> = before.into_iter().filter(|ipnet| !now.contains(ipnet)).collect();
    for (name, interface) in status.networks.values_mut().flat_map(|block| block.interfaces.iter_mut()) {
        let extension = Extension::of(name, interface)?;
        let Some(Value::Object(keys)) = interface.unknown.get_mut(KEY) else { continue };
        if let Some(Value::Array(routes)) = keys.get_mut("routes") {
            let mut saved = extension.routes.iter();
            routes.retain(|_| {
                let Some(saved) = saved.next() else { return true };
                let keep = is_possible(&saved.route, &now, &gone);
                if !keep {
                    warn(format!("route {}: left out: the new addresses do not reach it", saved.route));
                }
                keep
            });
        }
        if let Some(Value::Array(addresses)) = keys.get_mut("addresses") {
            let mut saved = extension.addresses.iter();
            addresses.retain(|_| saved.next().is_none_or(|details| !gone.contains(&details.ipnet)));
        }
    }
    Ok(())
}

fn is_possible(route: &Route, now: &[IpNet], gone: &[IpNet]) -> bool {
    let is_gone = |ip: IpAddr| gone.iter().any(|ipnet| ipnet.addr() == ip);
    let lost_prefix = |ip: IpAddr| {
        gone.iter().any(|ipnet| ipnet.contains(&ip)) && !now.iter().any(|ipnet| ipnet.contains(&ip))
    };
    !route.preferred_source.is_some_and(is_gone)
        && !route.hops.iter().any(|hop| !hop.onlink && hop.gateway.is_some_and(lost_prefix))
}

/// Renames the interface `old` in the saved routes of other interfaces.
pub fn rename(status: &mut NetworkStatus, old: &str, new: &str) {
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
