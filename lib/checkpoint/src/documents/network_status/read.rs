//! Reads the blocks of a network status from JSON.

use serde_json::{Map, Value};
use strict_json::FieldError;
use strict_json::field::{object, string, take_array, take_object};

use super::address::{address, cidr};
use super::mac::Mac;
use super::types::{NetAddress, NetInterface, StatusBlock};

pub(super) fn status_block(value: Value) -> Result<StatusBlock, FieldError> {
    let mut keys = object(value)?;
    let mut block = StatusBlock::default();
    for (name, value) in take_object(&mut keys, "interfaces")? {
        let interface = net_interface(value).map_err(|e| e.within(format!("interface {name}")))?;
        block.interfaces.insert(name, interface);
    }
    for value in take_array(&mut keys, "dns_server_ips")? {
        block.dns_server_ips.push(address(&value).map_err(|e| e.within("dns_server_ips"))?);
    }
    for value in take_array(&mut keys, "dns_search_domains")? {
        let domain = string(&value).map_err(|e| e.within("dns_search_domains"))?;
        block.dns_search_domains.push(domain.to_owned());
    }
    block.unknown = unknown_keys(keys, &["interfaces", "dns_server_ips", "dns_search_domains"])?;
    Ok(block)
}

fn net_interface(value: Value) -> Result<NetInterface, FieldError> {
    let mut keys = object(value)?;
    let mut interface = NetInterface::default();
    for value in take_array(&mut keys, "subnets")? {
        interface.subnets.push(net_address(value)?);
    }
    if let Some(value) = keys.shift_remove("mac_address") {
        interface.mac_address = Mac::from_value(&value).map_err(|e| e.within("mac_address"))?;
    }
    interface.unknown = unknown_keys(keys, &["subnets", "mac_address"])?;
    Ok(interface)
}

fn net_address(value: Value) -> Result<NetAddress, FieldError> {
    let mut keys = object(value).map_err(|e| e.within("subnets"))?;
    let Some(value) = keys.shift_remove("ipnet") else {
        return Err(FieldError::new("key ipnet is missing").within("subnets"));
    };
    let ipnet = string(&value).and_then(cidr).map_err(|e| e.within("ipnet"))?;
    let gateway = match keys.shift_remove("gateway") {
        None | Some(Value::Null) => None,
        Some(value) => Some(address(&value).map_err(|e| e.within("gateway"))?),
    };
    let unknown = unknown_keys(keys, &["ipnet", "gateway"]).map_err(|e| e.within("subnets"))?;
    Ok(NetAddress { ipnet, gateway, unknown })
}

/// Returns the unknown keys `keys`, unless one of them differs from a known key only in case. Go
/// ignores the case of keys and takes the last of `Interfaces` and `interfaces`, so podman would
/// configure a value that this crate has not checked.
///
/// # Errors
/// Returns an error that names such a key.
fn unknown_keys(keys: Map<String, Value>, known: &[&str]) -> Result<Map<String, Value>, FieldError> {
    // encoding/json compares keys with strings.EqualFold, which also folds the Kelvin sign to k and
    // the long s to s.
    let fold = |key: &str| key.to_lowercase().to_uppercase();
    match keys.keys().find_map(|key| Some((key, known.iter().find(|known| fold(known) == fold(key))?))) {
        Some((key, known)) => Err(FieldError::new(format!("key {key:?}: podman reads it as {known}"))),
        None => Ok(keys),
    }
}
