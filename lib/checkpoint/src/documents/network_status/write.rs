//! Writes the blocks of a network status as podman does: in podman's order of keys, without empty
//! lists.

use serde_json::{Map, Value};

use super::types::{NetAddress, NetInterface, StatusBlock};

pub(super) fn status_block(block: &StatusBlock) -> Value {
    let mut out = Map::new();
    if !block.interfaces.is_empty() {
        let interfaces = block.interfaces.iter().map(|(name, i)| (name.clone(), interface(i)));
        out.insert("interfaces".into(), Value::Object(interfaces.collect()));
    }
    if !block.dns_server_ips.is_empty() {
        let servers = block.dns_server_ips.iter().map(|ip| ip.to_string().into()).collect();
        out.insert("dns_server_ips".into(), Value::Array(servers));
    }
    if !block.dns_search_domains.is_empty() {
        out.insert("dns_search_domains".into(), block.dns_search_domains.clone().into());
    }
    out.extend(block.unknown.clone());
    Value::Object(out)
}

fn interface(interface: &NetInterface) -> Value {
    let mut out = Map::new();
    if !interface.subnets.is_empty() {
        out.insert("subnets".into(), interface.subnets.iter().map(address).collect());
    }
    if let Some(mac) = &interface.mac_address {
        out.insert("mac_address".into(), mac.to_string().into());
    }
    out.extend(interface.unknown.clone());
    Value::Object(out)
}

fn address(address: &NetAddress) -> Value {
    let mut out = Map::new();
    out.insert("ipnet".into(), address.ipnet.to_string().into());
    if let Some(gateway) = &address.gateway {
        out.insert("gateway".into(), gateway.to_string().into());
    }
    out.extend(address.unknown.clone());
    Value::Object(out)
}
