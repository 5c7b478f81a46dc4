//! The key `x-netstatus` of an interface, for settings that podman's format cannot express.
//!
//! podman and netavark ignore keys that they do not know.

use std::net::{IpAddr, Ipv4Addr};

use checkpoint::network_status::{Malformed, NetInterface, address, cidr, object, string, take_array};
use ipnet::IpNet;
use netlink_packet_route::address::{AddressFlags, AddressScope};
use serde_json::{Map, Value};

use super::number_fields::{u8_field, u32_field};
use super::route::json::{SavedRoute, saved_route};

/// The key of the extension.
pub const KEY: &str = "x-netstatus";

/// The initial MTU of an Ethernet device, which needs no setting.
pub const DEFAULT_MTU: u32 = 1500;

/// MTU, routes and address attributes of an interface.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Extension {
    pub mtu: Option<u32>,
    pub routes: Vec<SavedRoute>,
    pub addresses: Vec<AddressDetails>,
}

/// The attributes of an address that podman's format cannot express.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressDetails {
    pub ipnet: IpNet,
    /// The other end of a point-to-point link.
    pub peer: Option<IpAddr>,
    pub broadcast: Option<Ipv4Addr>,
    pub label: Option<String>,
    pub scope: AddressScope,
    /// The metric of the prefix route.
    pub metric: u32,
    /// The flags that are set. Only flags in [`USER_FLAGS`] are recorded.
    pub flags: AddressFlags,
}

/// The flags of an address that a user sets, with their names in ip-address(8).
pub const USER_FLAGS: [(AddressFlags, &str); 5] = [
    (AddressFlags::Noprefixroute, "noprefixroute"),
    (AddressFlags::Deprecated, "deprecated"),
    (AddressFlags::Homeaddress, "home"),
    (AddressFlags::Managetempaddr, "mngtmpaddr"),
    (AddressFlags::Mcautojoin, "autojoin"),
];

impl Extension {
    /// Reads the extension of the interface called `name`. Without the key, every field is empty.
    ///
    /// # Errors
    /// Returns an error if the value is not in the format that `save --extended` writes.
    pub fn of(name: &str, interface: &NetInterface) -> Result<Extension, Malformed> {
        match interface.unknown.get(KEY) {
            None => Ok(Extension::default()),
            Some(value) => extension(value.clone(), name).map_err(|e| e.within(KEY)),
        }
    }

    /// Returns the details of an address.
    pub fn details(&self, ipnet: IpNet) -> Option<&AddressDetails> {
        self.addresses.iter().find(|details| details.ipnet == ipnet)
    }
}

impl AddressDetails {
    /// Returns whether podman's format loses one of the details.
    ///
    /// The broadcast address does not count, since `apply` sets the usual broadcast address for
    /// each address.
    pub fn is_beyond_podman(&self) -> bool {
        let named = (self.peer, &self.label, self.metric) != (None, &None, 0);
        named || self.scope != AddressScope::Universe || !self.flags.is_empty()
    }

    /// Writes the details as an element of `addresses`.
    pub fn to_json(&self) -> Value {
        let mut out = Map::new();
        out.insert("address".into(), self.ipnet.to_string().into());
        if let Some(peer) = self.peer {
            out.insert("peer".into(), peer.to_string().into());
        }
        if let Some(broadcast) = self.broadcast {
            out.insert("broadcast".into(), broadcast.to_string().into());
        }
        if let Some(label) = &self.label {
            out.insert("label".into(), label.clone().into());
        }
        for (key, value) in [("scope", u32::from(u8::from(self.scope))), ("metric", self.metric)] {
            if value != 0 {
                out.insert(key.into(), value.into());
            }
        }
        for (flag, name) in USER_FLAGS {
            if self.flags.contains(flag) {
                out.insert(name.into(), true.into());
            }
        }
        Value::Object(out)
    }
}

fn extension(value: Value, name: &str) -> Result<Extension, Malformed> {
    let mut keys = object(value)?;
    let mtu = u32_field(&keys, "mtu")?;
    let routes = take_array(&mut keys, "routes")?;
    let routes = routes.into_iter().map(|route| saved_route(route, name)).collect::<Result<_, _>>();
    let addresses = take_array(&mut keys, "addresses")?;
    let addresses = addresses.into_iter().map(details).collect::<Result<_, _>>();
    Ok(Extension {
        mtu,
        routes: routes.map_err(|e: Malformed| e.within("routes"))?,
        addresses: addresses.map_err(|e: Malformed| e.within("addresses"))?,
    })
}

fn details(value: Value) -> Result<AddressDetails, Malformed> {
    let keys = object(value)?;
    let ipnet = string(keys.get("address").unwrap_or(&Value::Null)).and_then(cidr);
    let ipnet = ipnet.map_err(|e| e.within("address"))?;
    let of_same_family = |key: &str| match keys.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            let ip = address(value).map_err(|e| e.within(key))?;
            if ip.is_ipv4() == ipnet.addr().is_ipv4() {
                Ok(Some(ip))
            } else {
                let cause = format!("{ip}: expected an address of the same family as {ipnet}");
                Err(Malformed::new(cause).within(key))
            }
        }
    };
    let broadcast = match of_same_family("broadcast")? {
        Some(IpAddr::V4(ip)) => Some(ip),
        Some(IpAddr::V6(ip)) => return Err(Malformed::new(format!("{ip}: IPv6 has no broadcast"))),
        None => None,
    };
    let mut flags = AddressFlags::empty();
    for (flag, name) in USER_FLAGS {
        flags.set(flag, keys.get(name) == Some(&Value::Bool(true)));
    }
    let label = match keys.get("label") {
        None | Some(Value::Null) => None,
        Some(label) => {
            let label = string(label).map_err(|e| e.within("label"))?;
            // The limit is IFNAMSIZ without the final NUL.
            if label.len() > 15 || label.is_empty() || label.contains('\0') {
                return Err(Malformed::new(format!("{label:?}: expected a label of 1 to 15 bytes")));
            }
            Some(label.to_owned())
        }
    };
    Ok(AddressDetails {
        ipnet,
        peer: of_same_family("peer")?,
        broadcast,
        label,
        scope: u8_field(&keys, "scope")?.unwrap_or(0).into(),
        metric: u32_field(&keys, "metric")?.unwrap_or(0),
        flags,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::route::{Hop, Route};
    use serde_json::json;

    fn of(value: Value) -> Result<Extension, Malformed> {
        let mut interface = NetInterface::default();
        interface.unknown.insert(KEY.into(), value);
        Extension::of("eth0", &interface)
    }

    #[test]
    fn mtu_and_routes_are_read_back() {
        let saved = json!({"mtu": 1400, "kind": "veth", "routes": [
            {"dst": "default", "gw": "10.1.0.1", "metric": 7}, {"dst": "192.0.2.0/24", "gw": null}]});
        let extension = of(saved).unwrap();
        assert_eq!(extension.mtu, Some(1400));
        let hop = |gateway: Option<&str>| Hop {
            interface: Some("eth0".into()),
            gateway: gateway.map(|ip| ip.parse().unwrap()),
            ..Hop::default()
        };
        let inexact = |route| SavedRoute { route, exact: false };
        assert_eq!(extension.routes[0], inexact(Route::plain(false, None, 7, hop(Some("10.1.0.1")))));
        let net = Some("192.0.2.0/24".parse().unwrap());
        assert_eq!(extension.routes[1], inexact(Route::plain(false, net, 0, hop(None))));
    }

    #[test]
    fn malformed_extensions_are_errors() {
        for bad in [
            json!(5),
            json!({"mtu": -1}),
            json!({"mtu": "1500"}),
            json!({"routes": {}}),
            json!({"routes": [{}]}),
            json!({"routes": [{"dst": "banana"}]}),
            json!({"routes": [{"dst": "fd00::/8", "gw": "10.0.0.1"}]}),
            json!({"routes": [{"dst": "10.0.0.0/8", "gw": null, "src": "fd00::1"}]}),
            json!({"routes": [{"dst": "10.0.0.0/8", "gw": null, "type": "teapot"}]}),
            json!({"routes": [{"dst": "10.0.0.0/8", "gw": null, "tos": 256}]}),
            json!({"routes": [{"dst": "10.0.0.0/8", "gw": null, "onlink": 1}]}),
            json!({"routes": [{"dst": "10.0.0.0/8", "gw": null, "attributes": {"colour": 1}}]}),
            json!({"routes": [{"dst": "10.0.0.0/8", "nexthops": [{"gw": "10.1.0.1", "weight": 0}]}]}),
            json!({"routes": [{"dst": "default", "gw": null, "family": "ipx"}]}),
            json!({"addresses": [{"address": "10.1.0.5"}]}),
            json!({"addresses": [{"address": "10.1.0.5/24", "peer": "fd00::1"}]}),
            json!({"addresses": [{"address": "fd00::5/64", "broadcast": "fd00::1"}]}),
            json!({"addresses": [{"address": "10.1.0.5/24", "label": "longer-than-fifteen"}]}),
            json!({"routes": [{"dst": "default", "metric": 4294967296u64}]}),
        ] {
            assert!(of(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn details_of_addresses_are_written_and_read_back() {
        for (more, is_beyond_podman) in [
            (json!({}), false),
            (json!({"broadcast": "10.1.0.255"}), false),
            (json!({"peer": "10.2.0.1"}), true),
            (json!({"label": "eth0:1"}), true),
            (json!({"label": "fifteen-bytes-a"}), true),
            (json!({"scope": 253}), true),
            (json!({"metric": 7}), true),
            (json!({"noprefixroute": true}), true),
            (json!({"deprecated": true, "home": true, "mngtmpaddr": true, "autojoin": true}), true),
        ] {
            let mut value = json!({"address": "10.1.0.5/24"});
            value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let extension = of(json!({"addresses": [value]})).unwrap();
            let details = extension.details("10.1.0.5/24".parse().unwrap()).unwrap();
            assert_eq!(details.to_json(), value);
            assert_eq!(details.is_beyond_podman(), is_beyond_podman, "{value}");
            assert_eq!(extension.details("10.1.0.6/24".parse().unwrap()), None);
        }
        for label in ["", "sixteen-bytes-ab", "a\0b"] {
            assert!(of(json!({"addresses": [{"address": "10.1.0.5/24", "label": label}]})).is_err());
        }
    }
}
