//! Routes in the JSON of `save --extended`.

use checkpoint::network_status::{Malformed, address, cidr, kind, object, string, take_array, take_object};
use ipnet::IpNet;
use serde_json::{Map, Value, json};

use super::{BOOT, Hop, MAIN, Route, has_no_hop, kind_names, path_attributes};
use crate::model::names::check_interface;
use crate::model::number_fields::{u8_field, u32_field};

/// A route that is saved in a status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedRoute {
    pub route: Route,
    /// Whether every attribute was saved. Version 0.1.0 saved only destination, gateway and metric.
    pub exact: bool,
}

impl Route {
    /// Writes the route as an element of `routes` of `interface`.
    ///
    /// Omits the name of `interface`, so that the interface can be renamed.
    pub fn to_json(&self, interface: &str) -> Value {
        let gateway = |hop: &Hop| hop.gateway.map(|gateway| gateway.to_string());
        let only = if let [hop] = self.hops.as_slice() { Some(hop) } else { None };
        let mut out = Map::new();
        out.insert("dst".into(), self.to().into());
        out.insert("gw".into(), only.and_then(gateway).into());
        out.insert("metric".into(), self.metric.into());
        out.insert("proto".into(), self.protocol.into());
        let ambiguous = only.and_then(|hop| hop.gateway).is_none_or(|gateway| gateway.is_ipv6() != self.ipv6);
        if self.destination.is_none() && ambiguous {
            out.insert("family".into(), if self.ipv6 { "inet6" } else { "inet" }.into());
        }
        if self.kind != netlink_packet_route::route::RouteType::Unicast {
            out.insert("type".into(), self.kind_name().into());
        }
        if let Some(hop) = only {
            hop_keys(hop, interface, &mut out);
        }
        if let Some(source) = self.source {
            out.insert("from".into(), source.to_string().into());
        }
        for (key, value, usual) in [
            ("tos", self.tos.into(), 0),
            ("table", self.table, MAIN),
            ("scope", self.scope.into(), self.usual_scope().into()),
            ("pref", self.preference.into(), 0),
        ] {
            if value != usual {
                out.insert(key.into(), value.into());
            }
        }
        if let Some(source) = self.preferred_source {
            out.insert("src".into(), source.to_string().into());
        }
        if !self.attributes.is_empty() {
            out.insert("attributes".into(), json!(self.attributes));
        }
        if let Some(name) = &self.congestion_control {
            out.insert("congctl".into(), name.clone().into());
        }
        if self.hops.len() > 1 {
            let hops = self.hops.iter().map(|hop| {
                let mut keys = Map::new();
                keys.insert("gw".into(), gateway(hop).into());
                hop_keys(hop, interface, &mut keys);
                keys.insert("weight".into(), (u32::from(hop.weight) + 1).into());
                Value::Object(keys)
            });
            out.insert("nexthops".into(), hops.collect());
        }
        Value::Object(out)
    }
}

fn hop_keys(hop: &Hop, interface: &str, out: &mut Map<String, Value>) {
    if let Some(name) = hop.interface.as_deref().filter(|name| *name != interface) {
        out.insert("dev".into(), name.into());
    }
    if hop.onlink {
        out.insert("onlink".into(), true.into());
    }
    if let Some(realm) = hop.realm {
        out.insert("realm".into(), realm.into());
    }
}

/// Reads an element of `routes` of `interface`.
///
/// # Errors
/// Returns an error if the element is not in the format of [`Route::to_json`] or of version 0.1.0.
pub fn saved_route(value: Value, interface: &str) -> Result<SavedRoute, Malformed> {
    let mut keys = object(value)?;
    let at = |key: &'static str| move |e: Malformed| e.within(key);
    let destination = match string(keys.get("dst").unwrap_or(&Value::Null)).map_err(at("dst"))? {
        "default" => None,
        text => Some(cidr(text).map_err(at("dst"))?),
    };
    let hops = hops(&mut keys, interface)?;
    let ipv6 = is_ipv6(&keys, destination, &hops)?;
    let mut route = Route::plain(ipv6, destination, u32_field(&keys, "metric")?.unwrap_or(0), Hop::default());
    route.hops = hops;
    if let Some(name) = keys.get("type") {
        let name = string(name).map_err(at("type"))?;
        let known = kind_names().iter().find(|(_, known)| *known == name);
        route.kind =
            known.ok_or_else(|| Malformed::new(format!("{name:?}: not a route type")).within("type"))?.0;
    }
    if has_no_hop(route.kind) {
        route.hops.clear();
    }
    let proto = u8_field(&keys, "proto")?;
    route.protocol = proto.unwrap_or(BOOT);
    route.tos = u8_field(&keys, "tos")?.unwrap_or(0);
    route.table = u32_field(&keys, "table")?.unwrap_or(MAIN);
    route.scope = u8_field(&keys, "scope")?.unwrap_or_else(|| route.usual_scope());
    route.preference = u8_field(&keys, "pref")?.unwrap_or(0);
    if let Some(source) = keys.get("from") {
        route.source = Some(string(source).and_then(cidr).map_err(at("from"))?);
    }
    if let Some(source) = keys.get("src") {
        route.preferred_source = Some(address(source).map_err(at("src"))?);
    }
    if let Some(name) = keys.get("congctl") {
        let name = string(name).map_err(at("congctl"))?;
        // The limit is TCP_CA_NAME_MAX without the final NUL.
        if name.is_empty()
            || name.len() > 15
            || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
        {
            return Err(Malformed::new(format!("{name:?}: not the name of a congestion control algorithm"))
                .within("congctl"));
        }
        route.congestion_control = Some(name.to_owned());
    }
    let attributes = take_object(&mut keys, "attributes")?;
    for name in attributes.keys() {
        let known = path_attributes::known_name(name)
            .ok_or_else(|| Malformed::new(format!("{name:?}: not a path attribute")).within("attributes"))?;
        let value = u32_field(&attributes, name).map_err(at("attributes"))?;
        route.attributes.insert(known, value.unwrap_or(0));
    }
    check_family(&route)?;
    Ok(SavedRoute { route, exact: proto.is_some() })
}

fn hops(keys: &mut Map<String, Value>, interface: &str) -> Result<Vec<Hop>, Malformed> {
    let several = take_array(keys, "nexthops")?;
    if several.is_empty() {
        return Ok(vec![hop(keys, interface)?]);
    }
    let read = |value| hop(&object(value)?, interface);
    several.into_iter().map(read).collect::<Result<_, _>>().map_err(|e: Malformed| e.within("nexthops"))
}

fn hop(keys: &Map<String, Value>, interface: &str) -> Result<Hop, Malformed> {
    let name = match keys.get("dev") {
        None | Some(Value::Null) => interface,
        Some(name) => match string(name).map_err(|e| e.within("dev"))? {
            "lo" => "lo",
            name => check_interface(name).map(|()| name).map_err(|e| e.within("dev"))?,
        },
    };
    let gateway = match keys.get("gw") {
        None | Some(Value::Null) => None,
        Some(value) => Some(address(value).map_err(|e| e.within("gw"))?),
    };
    let onlink = match keys.get("onlink") {
        None | Some(Value::Null) => false,
        Some(Value::Bool(onlink)) => *onlink,
        Some(other) => {
            return Err(
                Malformed::new(format!("expected true or false, found {}", kind(other))).within("onlink")
            );
        }
    };
    let weight = u32_field(keys, "weight")?.unwrap_or(1);
    let weight = weight.checked_sub(1).and_then(|weight| u8::try_from(weight).ok());
    Ok(Hop {
        interface: Some(name.to_owned()),
        gateway,
        onlink,
        weight: weight.ok_or_else(|| Malformed::new("expected a number from 1 to 256").within("weight"))?,
        realm: u32_field(keys, "realm")?,
    })
}

/// Returns whether the route is an IPv6 route.
///
/// The destination decides the family. Without a destination, the key `family` decides, and without
/// this key the first gateway.
fn is_ipv6(keys: &Map<String, Value>, destination: Option<IpNet>, hops: &[Hop]) -> Result<bool, Malformed> {
    if let Some(net) = destination {
        return Ok(net.addr().is_ipv6());
    }
    match keys.get("family") {
        None | Some(Value::Null) => {
            Ok(hops.first().and_then(|hop| hop.gateway).is_some_and(|gateway| gateway.is_ipv6()))
        }
        Some(value) => match string(value).map_err(|e| e.within("family"))? {
            "inet" => Ok(false),
            "inet6" => Ok(true),
            other => Err(Malformed::new(format!("expected inet or inet6, found {other:?}")).within("family")),
        },
    }
}

/// Rejects addresses of the other family, except an IPv6 gateway of an IPv4 route.
fn check_family(route: &Route) -> Result<(), Malformed> {
    let mut gateways = route.hops.iter().filter_map(|hop| hop.gateway);
    let wrong = if route.ipv6 { gateways.find(|gateway| gateway.is_ipv4()) } else { None };
    let others = [route.preferred_source, route.source.map(|net| net.addr())];
    let wrong = wrong.or(others.into_iter().flatten().find(|ip| ip.is_ipv6() != route.ipv6));
    match wrong {
        Some(ip) => {
            Err(Malformed::new(format!("{ip}: expected an address of the same family as {}", route.to())))
        }
        None => Ok(()),
    }
}
