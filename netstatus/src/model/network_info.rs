//! The networks of the host, in the format of podman's `/etc/containers/networks/NET.json`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use checkpoint::network_status::{Malformed, address, cidr, kind, object, string, take_array, take_object};
use ipnet::IpNet;
use serde_json::{Map, Value};

/// Networks of the host by name.
pub type NetworkInfos = BTreeMap<String, NetworkInfo>;

/// A network of the host.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkInfo {
    /// The document that describes the network, with every key.
    pub value: Map<String, Value>,
    /// `bridge`, `macvlan`, `ipvlan`, or the name of a plugin.
    pub driver: String,
    /// The driver that assigns addresses: `host-local`, `dhcp` or `none`.
    pub ipam_driver: String,
    /// The subnets, in the order in which netavark numbers them.
    pub subnets: Vec<Subnet>,
    /// The bridge, or the parent of a macvlan or ipvlan.
    pub network_interface: Option<String>,
    /// Whether the network is isolated: its gateway then serves DNS only, and there is no default
    /// route.
    pub internal: bool,
}

/// A subnet of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subnet {
    pub subnet: IpNet,
    pub gateway: Option<IpAddr>,
}

impl NetworkInfo {
    /// Returns the subnet that contains `ip`.
    pub fn subnet_of(&self, ip: IpAddr) -> Option<&Subnet> {
        self.subnets.iter().find(|s| s.subnet.contains(&ip))
    }
}

/// Adds the networks of one document.
///
/// The document is a network, an array of networks (`podman network inspect`), an object of
/// networks by name, or netavark's input, which has such an object under `network_info`.
///
/// # Errors
/// Returns an error if the document is malformed, or describes a known network differently.
pub fn add(infos: &mut NetworkInfos, value: Value) -> Result<(), Malformed> {
    match value {
        Value::Array(list) => list.into_iter().try_for_each(|network| add_one(infos, None, network)),
        Value::Object(map) if map.get("name").is_some_and(Value::is_string) => {
            add_one(infos, None, Value::Object(map))
        }
        Value::Object(mut map) => {
            let networks = match map.shift_remove("network_info") {
                Some(networks) => object(networks).map_err(|e| e.within("network_info"))?,
                None => map,
            };
            networks.into_iter().try_for_each(|(name, network)| add_one(infos, Some(name), network))
        }
        other => Err(Malformed::new(format!("expected a network, found {}", kind(&other)))),
    }
}

fn add_one(infos: &mut NetworkInfos, key: Option<String>, network: Value) -> Result<(), Malformed> {
    let map = object(network).map_err(|e| e.within("network"))?;
    let name = match (key, map.get("name")) {
        (Some(key), Some(name)) if name.as_str() != Some(&key) => {
            return Err(Malformed::new(format!("name: expected {key:?}, found {name}"))
                .within(format!("network {key}")));
        }
        (Some(key), _) => key,
        (None, Some(Value::String(name))) => name.clone(),
        (None, _) => return Err(Malformed::new("the network has no name")),
    };
    let info = network_info(map).map_err(|e| e.within(format!("network {name}")))?;
    match infos.get(&name) {
        Some(known) if *known != info => {
            Err(Malformed::new("described twice, with different values").within(format!("network {name}")))
        }
        _ => {
            infos.insert(name, info);
            Ok(())
        }
    }
}

fn network_info(mut map: Map<String, Value>) -> Result<NetworkInfo, Malformed> {
    // `podman network inspect` adds the containers that use the network, which are not part of its
    // description.
    map.shift_remove("containers");
    let mut keys = map.clone();
    let text = |keys: &Map<String, Value>, key: &str| match keys.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => string(value).map(|s| Some(s.to_owned())).map_err(|e| e.within(key)),
    };
    let mut subnets = Vec::new();
    for value in take_array(&mut keys, "subnets")? {
        subnets.push(subnet(value).map_err(|e| e.within("subnets"))?);
    }
    let ipam = take_object(&mut keys, "ipam_options")?;
    let ipam_driver = match text(&ipam, "driver").map_err(|e| e.within("ipam_options"))? {
        Some(driver) => driver,
        // This is netavark's default: without a subnet, netavark cannot assign addresses.
        None if subnets.is_empty() => "none".into(),
        None => "host-local".into(),
    };
    Ok(NetworkInfo {
        driver: text(&keys, "driver")?.unwrap_or_else(|| "bridge".into()),
        ipam_driver,
        network_interface: text(&keys, "network_interface")?,
        internal: keys.get("internal").and_then(Value::as_bool).unwrap_or(false),
        subnets,
        value: map,
    })
}

fn subnet(value: Value) -> Result<Subnet, Malformed> {
    let keys = object(value)?;
    let subnet = keys.get("subnet").ok_or_else(|| Malformed::new("key subnet is missing"))?;
    let subnet = string(subnet).and_then(cidr)?;
    let gateway = match keys.get("gateway") {
        None | Some(Value::Null) => None,
        Some(value) => Some(address(value).map_err(|e| e.within("gateway"))?),
    };
    Ok(Subnet { subnet, gateway })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn net() -> Value {
        json!({"name": "n1", "driver": "bridge", "subnets": [{"subnet": "10.1.0.0/24", "gateway": "10.1.0.1"}]})
    }

    #[test]
    fn every_document_format_yields_the_same_networks() {
        let mut inspected = net();
        inspected["containers"] = json!({});
        for form in [
            net(),
            json!([inspected]),
            json!({"n1": net()}),
            json!({"container_id": "x", "network_info": {"n1": net()}}),
        ] {
            let mut infos = NetworkInfos::new();
            add(&mut infos, form).unwrap();
            assert_eq!(infos["n1"].value, *net().as_object().unwrap());
            assert_eq!(infos["n1"].ipam_driver, "host-local");
        }
    }

    #[test]
    fn malformed_and_contradictory_documents_are_errors() {
        for bad in [
            json!([net(), {"name": "n1", "driver": "macvlan"}]),
            json!({"n2": net()}),
            json!([{"driver": "bridge"}]),
            json!([{"name": "n", "subnets": [{"subnet": "banana"}]}]),
            json!([{"name": "n", "subnets": [{}]}]),
            json!(5),
            json!({"n1": 5}),
        ] {
            assert!(add(&mut NetworkInfos::new(), bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_network_may_be_described_twice_with_the_same_values() {
        let mut infos = NetworkInfos::new();
        add(&mut infos, json!([net(), net()])).unwrap();
        assert_eq!(infos.len(), 1);
    }

    #[test]
    fn the_driver_of_addresses_follows_from_the_subnets() {
        for (more, driver) in [
            (json!({}), "none"),
            (json!({"subnets": []}), "none"),
            (json!({"subnets": [{"subnet": "10.1.0.0/24"}]}), "host-local"),
            (json!({"ipam_options": {"driver": "dhcp"}}), "dhcp"),
        ] {
            let mut network = json!({"name": "n1"});
            network.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let mut infos = NetworkInfos::new();
            add(&mut infos, network).unwrap();
            assert_eq!(infos["n1"].ipam_driver, driver, "{more}");
        }
    }
}
