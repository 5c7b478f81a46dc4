//! The key `x-netstatus` of an interface: what podman's form has no place for. Other readers ignore it.

use std::net::IpAddr;

use checkpoint::network_status::{Malformed, NetInterface, address, cidr, object, string, take_array};
use ipnet::IpNet;
use serde_json::Value;

/// The key under which the extension stands.
pub const KEY: &str = "x-netstatus";

/// MTU and routes of an interface.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Extension {
    pub mtu: Option<u32>,
    pub routes: Vec<SavedRoute>,
}

/// A route the container had; no destination is the default route.
#[derive(Debug, PartialEq, Eq)]
pub struct SavedRoute {
    pub destination: Option<IpNet>,
    pub gateway: Option<IpAddr>,
    pub metric: u32,
}

impl Extension {
    /// Reads the extension of an interface; without one everything is absent.
    ///
    /// # Errors
    /// When it is there but not as `save --extended` writes it.
    pub fn of(interface: &NetInterface) -> Result<Extension, Malformed> {
        match interface.unknown.get(KEY) {
            None => Ok(Extension::default()),
            Some(value) => extension(value.clone()).map_err(|e| e.within(KEY)),
        }
    }
}

fn extension(value: Value) -> Result<Extension, Malformed> {
    let mut keys = object(value)?;
    let mtu = number(keys.get("mtu"), "mtu")?;
    let routes = take_array(&mut keys, "routes")?;
    Ok(Extension { mtu, routes: routes.into_iter().map(route).collect::<Result<_, _>>()? })
}

fn route(value: Value) -> Result<SavedRoute, Malformed> {
    let keys = object(value).map_err(|e| e.within("routes"))?;
    let destination =
        match string(keys.get("dst").unwrap_or(&Value::Null)).map_err(|e| e.within("routes: dst"))? {
            "default" => None,
            text => Some(cidr(text).map_err(|e| e.within("routes: dst"))?),
        };
    let gateway = match keys.get("gw") {
        None | Some(Value::Null) => None,
        Some(value) => Some(address(value).map_err(|e| e.within("routes: gw"))?),
    };
    if let (Some(net), Some(gateway)) = (destination, gateway) {
        if net.addr().is_ipv4() != gateway.is_ipv4() {
            return Err(Malformed::new(format!("{gateway} is of another family than {net}")).within("routes"));
        }
    }
    Ok(SavedRoute {
        destination,
        gateway,
        metric: number(keys.get("metric"), "routes: metric")?.unwrap_or(0),
    })
}

fn number(value: Option<&Value>, key: &str) -> Result<Option<u32>, Malformed> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_u64().and_then(|n| u32::try_from(n).ok()) {
            Some(n) => Ok(Some(n)),
            None => Err(Malformed::new(format!("{value}: a number is wanted")).within(key)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(value: Value) -> Result<Extension, Malformed> {
        let mut interface = NetInterface::default();
        interface.unknown.insert(KEY.into(), value);
        Extension::of(&interface)
    }

    #[test]
    fn mtu_and_routes_are_read_back() {
        let saved = json!({"mtu": 1400, "kind": "veth", "routes": [
            {"dst": "default", "gw": "10.1.0.1", "metric": 7}, {"dst": "192.0.2.0/24", "gw": null}]});
        let extension = of(saved).unwrap();
        assert_eq!(extension.mtu, Some(1400));
        assert_eq!(
            extension.routes[0],
            SavedRoute { destination: None, gateway: Some("10.1.0.1".parse().unwrap()), metric: 7 }
        );
        assert_eq!(extension.routes[1].destination, Some("192.0.2.0/24".parse().unwrap()));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for bad in [
            json!(5),
            json!({"mtu": -1}),
            json!({"mtu": "1500"}),
            json!({"routes": {}}),
            json!({"routes": [{}]}),
            json!({"routes": [{"dst": "banana"}]}),
            json!({"routes": [{"dst": "10.0.0.0/8", "gw": "fd00::1"}]}),
            json!({"routes": [{"dst": "default", "metric": 4294967296u64}]}),
        ] {
            assert!(of(bad.clone()).is_err(), "{bad}");
        }
    }
}
