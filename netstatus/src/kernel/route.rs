//! Conversion between routes and the messages of rtnetlink(7).

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context, anyhow};
use ipnet::IpNet;
use netlink_packet_core::{DefaultNla, Emitable, Nla, NlaBuffer, Parseable};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteMetric, RouteNextHop,
    RouteNextHopFlags, RoutePreference, RouteRealm, RouteVia,
};

use crate::model::route::{Hop, Route, has_no_hop, kind_names, path_attributes};

/// The names of the interfaces of a namespace by index.
pub type InterfaceNames<'a> = BTreeMap<u32, &'a str>;

/// The attributes of a reported route that a [`Route`] cannot hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Attributes without which the route would forward packets differently.
    pub essential: Vec<String>,
    /// Attributes that do not change how the route forwards packets.
    pub incidental: Vec<String>,
}

/// Reads a route that the kernel reported.
pub fn from_message(message: &RouteMessage, interfaces: &InterfaceNames<'_>) -> (Route, Lost) {
    let header = &message.header;
    let mut lost = Lost::default();
    let mut route = Route::plain(
        header.address_family == AddressFamily::Inet6,
        None,
        0,
        Hop { onlink: header.flags.contains(RouteFlags::Onlink), ..Hop::default() },
    );
    route.kind = header.kind;
    route.tos = header.tos;
    route.table = header.table.into();
    route.protocol = header.protocol.into();
    route.scope = header.scope.into();
    route.metric = 0;
    let mut only = route.hops.pop().unwrap_or_default();
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Table(id) => route.table = *id,
            RouteAttribute::Priority(metric) => route.metric = *metric,
            RouteAttribute::PrefSource(source) => route.preferred_source = ip(source),
            RouteAttribute::Preference(preference) => route.preference = (*preference).into(),
            RouteAttribute::Metrics(metrics) => path_attributes(metrics, &mut route, &mut lost),
            RouteAttribute::MultiPath(hops) => {
                route.hops = hops.iter().map(|hop| next_hop(hop, interfaces, &mut lost)).collect();
            }
            RouteAttribute::CacheInfo(info) if info.expires != 0 => {
                lost.incidental.push("its remaining lifetime".into());
            }
            // The kernel also reports the next hops of the nexthop object, so the route is complete
            // without the object.
            RouteAttribute::NhId(id) => {
                lost.incidental.push(format!("its reference to nexthop object {id}"));
            }
            RouteAttribute::Destination(_) | RouteAttribute::Source(_) | RouteAttribute::CacheInfo(_) => {}
            other => hop_attribute(other, interfaces, &mut only, &mut lost),
        }
    }
    if !kind_names().iter().any(|(kind, _)| *kind == route.kind) {
        lost.essential.push("its type".into());
    }
    let length = (header.destination_prefix_length, header.source_prefix_length);
    let find = |of: fn(&RouteAttribute) -> Option<&RouteAddress>| message.attributes.iter().find_map(of);
    route.destination = prefix(
        route.ipv6,
        find(|a| if let RouteAttribute::Destination(to) = a { Some(to) } else { None }),
        length.0,
    );
    route.source = prefix(
        route.ipv6,
        find(|a| if let RouteAttribute::Source(from) = a { Some(from) } else { None }),
        length.1,
    );
    // For IPv6, the kernel reports lo as next hop of `blackhole` and similar routes.
    if route.hops.is_empty() && !has_no_hop(route.kind) {
        route.hops.push(only);
    }
    (route, lost)
}

/// Returns the prefix of an attribute. A dump omits the attribute if all bits of the prefix are
/// zero.
fn prefix(ipv6: bool, address: Option<&RouteAddress>, length: u8) -> Option<IpNet> {
    let zero: IpAddr = if ipv6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    let address = address.map_or(Some(zero), ip)?;
    IpNet::new(address, length).ok().filter(|net| net.prefix_len() != 0)
}

fn path_attributes(metrics: &[RouteMetric], route: &mut Route, lost: &mut Lost) {
    for metric in metrics {
        let mut value = [0; 4];
        match (metric, path_attributes::name(metric.kind())) {
            (RouteMetric::CcAlgo(name), _) => route.congestion_control = Some(name.clone()),
            (_, Some(name)) if metric.value_len() == 4 => {
                metric.emit_value(&mut value);
                route.attributes.insert(name, u32::from_ne_bytes(value));
            }
            _ => lost.essential.push(format!("its path attribute {}", metric.kind())),
        }
    }
}

fn hop_attribute(
    attribute: &RouteAttribute,
    interfaces: &InterfaceNames<'_>,
    hop: &mut Hop,
    lost: &mut Lost,
) {
    match attribute {
        RouteAttribute::Oif(index) => hop.interface = interfaces.get(index).map(|name| (*name).to_owned()),
        RouteAttribute::Gateway(gateway) => hop.gateway = ip(gateway),
        RouteAttribute::Via(RouteVia::Inet6(gateway)) => hop.gateway = Some((*gateway).into()),
        RouteAttribute::Via(RouteVia::Inet(gateway)) => hop.gateway = Some((*gateway).into()),
        RouteAttribute::Realm(realm) => {
            hop.realm = Some(u32::from(realm.source) << 16 | u32::from(realm.destination));
        }
        RouteAttribute::Encap(_) => lost.essential.push("its encapsulation".into()),
        RouteAttribute::EncapType(_) => {}
        other => {
            lost.essential.push(format!("its netlink attribute {}", other.kind()));
        }
    }
}

fn next_hop(message: &RouteNextHop, interfaces: &InterfaceNames<'_>, lost: &mut Lost) -> Hop {
    let mut hop = Hop {
        interface: interfaces.get(&message.interface_index).map(|name| (*name).to_owned()),
        onlink: message.flags.contains(RouteNextHopFlags::Onlink),
        weight: message.hops,
        ..Hop::default()
    };
    for attribute in &message.attributes {
        hop_attribute(attribute, interfaces, &mut hop, lost);
    }
    hop
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(ip) => Some((*ip).into()),
        RouteAddress::Inet6(ip) => Some((*ip).into()),
        _ => None,
    }
}

/// Returns the message that adds `route`.
///
/// # Errors
/// Returns an error if an interface of the route does not exist.
pub fn add_request(route: &Route, interfaces: &InterfaceNames<'_>) -> anyhow::Result<RouteMessage> {
    let mut message = RouteMessage::default();
    let header = &mut message.header;
    header.address_family = if route.ipv6 { AddressFamily::Inet6 } else { AddressFamily::Inet };
    header.table = u8::try_from(route.table).unwrap_or(RouteHeader::RT_TABLE_UNSPEC);
    header.protocol = route.protocol.into();
    header.scope = route.scope.into();
    header.kind = route.kind;
    header.tos = route.tos;
    header.destination_prefix_length = route.destination.map_or(0, |net| net.prefix_len());
    header.source_prefix_length = route.source.map_or(0, |net| net.prefix_len());
    let attributes = &mut message.attributes;
    attributes.extend(route.destination.map(|net| RouteAttribute::Destination(net.network().into())));
    attributes.extend(route.source.map(|net| RouteAttribute::Source(net.network().into())));
    attributes.push(RouteAttribute::Table(route.table));
    attributes.push(RouteAttribute::Priority(route.metric));
    attributes.extend(route.preferred_source.map(|ip| RouteAttribute::PrefSource(ip.into())));
    if route.preference != 0 {
        attributes.push(RouteAttribute::Preference(RoutePreference::from(route.preference)));
    }
    let metrics = metrics(route)?;
    if !metrics.is_empty() {
        attributes.push(RouteAttribute::Metrics(metrics));
    }
    match route.hops.as_slice() {
        [] => {}
        [hop] => {
            if hop.onlink {
                header.flags = RouteFlags::Onlink;
            }
            attributes.push(RouteAttribute::Oif(index(hop, interfaces)?));
            attributes.extend(hop_attributes(route, hop));
        }
        hops => {
            let hops = hops.iter().map(|hop| {
                let mut next = RouteNextHop::default();
                next.interface_index = index(hop, interfaces)?;
                next.hops = hop.weight;
                if hop.onlink {
                    next.flags = RouteNextHopFlags::Onlink;
                }
                next.attributes = hop_attributes(route, hop);
                Ok(next)
            });
            attributes.push(RouteAttribute::MultiPath(hops.collect::<anyhow::Result<_>>()?));
        }
    }
    Ok(message)
}

/// Returns the message that removes `route`.
///
/// # Errors
/// Returns an error if an interface of the route does not exist.
pub fn delete_request(route: &Route, interfaces: &InterfaceNames<'_>) -> anyhow::Result<RouteMessage> {
    let mut message = add_request(route, interfaces)?;
    // The key and the next hops identify the route. For IPv6, the kernel rejects some other
    // attributes in this message.
    message.attributes.retain(|a| !matches!(a, RouteAttribute::Metrics(_) | RouteAttribute::Preference(_)));
    Ok(message)
}

fn index(hop: &Hop, interfaces: &InterfaceNames<'_>) -> anyhow::Result<u32> {
    let name = hop.interface.as_deref().ok_or_else(|| anyhow!("a next hop has no interface"))?;
    let found = interfaces.iter().find(|(_, known)| **known == name);
    found
        .map(|(index, _)| *index)
        .with_context(|| format!("interface {name}: no such interface in the namespace"))
}

fn hop_attributes(route: &Route, hop: &Hop) -> Vec<RouteAttribute> {
    let mut attributes = Vec::new();
    match hop.gateway {
        Some(gateway) if gateway.is_ipv6() != route.ipv6 => {
            attributes.push(RouteAttribute::Via(gateway.into()));
        }
        Some(gateway) => attributes.push(RouteAttribute::Gateway(gateway.into())),
        None => {}
    }
    attributes.extend(hop.realm.map(|realm| {
        let (source, destination) = ((realm >> 16) as u16, (realm & 0xffff) as u16);
        RouteAttribute::Realm(RouteRealm { source, destination })
    }));
    attributes
}

fn metrics(route: &Route) -> anyhow::Result<Vec<RouteMetric>> {
    let mut metrics = Vec::new();
    for (name, value) in &route.attributes {
        let number = path_attributes::number(name).with_context(|| format!("path attribute {name}"))?;
        let mut bytes = [0; 8];
        let nla = DefaultNla::new(number, value.to_ne_bytes().to_vec());
        nla.emit(&mut bytes);
        metrics.push(RouteMetric::parse(&NlaBuffer::new_checked(&bytes[..])?)?);
    }
    metrics.extend(route.congestion_control.clone().map(RouteMetric::CcAlgo));
    Ok(metrics)
}
