//! Standard input of `netavark setup` and `teardown`.
//!
//! Before 2.0 netavark takes `static_ips` by position: the first belongs to the first subnet. One too few is a Rust
//! panic, a wrong order an error in the middle of the work, one too many is dropped silently; an address outside its
//! subnet is taken. So everything is settled here, before netavark has touched anything.

use std::net::IpAddr;

use anyhow::{Context, anyhow, bail};
use checkpoint::network_status::{Malformed, NetInterface, NetworkStatus, StatusBlock, object, take_object};
use cli::{Hint, usage};
use serde_json::{Map, Value, json};

use super::{plain, the_interface};
use crate::args::{Netavark, PortMapping};
use crate::network_info::{NetworkInfo, NetworkInfos};

/// Makes the input, from `base` if there is one: its other keys, and what its networks have besides addresses, stay.
///
/// # Errors
/// When netavark would fail, or configure something else than the status says.
pub fn input(
    status: &NetworkStatus,
    base: Option<Value>,
    infos: &NetworkInfos,
    options: &Netavark,
    warn: &mut dyn FnMut(String),
) -> anyhow::Result<Value> {
    let mut out = object(base.unwrap_or_else(|| Map::new().into())).map_err(|e| e.within("--base"))?;
    about_the_container(&mut out, options)?;
    let mut before = take_object(&mut out.clone(), "networks").map_err(|e| e.within("--base"))?;
    let (mut networks, mut network_info) = (Map::new(), Map::new());
    for (name, block) in &status.networks {
        let of_network = |e: Malformed| e.within(format!("network {name}"));
        plain(name, "network").map_err(of_network)?;
        let Some(info) = infos.get(name) else {
            let known: Vec<&str> = infos.keys().map(String::as_str).collect();
            return Err(Hint::on(
                anyhow!(
                    "network {name}: no network info; known: {}",
                    if known.is_empty() { "none".into() } else { known.join(", ") }
                ),
                "give --network-info /etc/containers/networks, or --rename OLD=NEW",
            ));
        };
        let entry = take_object(&mut before, name).map_err(|e| e.within("--base: networks"))?;
        let (ifname, interface) = the_interface(block, "netavark").map_err(of_network)?;
        let entry = network(entry, ifname, interface, info, options.netavark_version, &mut |w| {
            warn(format!("network {name}: {w}"))
        });
        let mut entry = entry.with_context(|| format!("network {name}"))?;
        aliases(&mut entry, name, &options.alias).map_err(of_network)?;
        networks.insert(name.clone(), Value::Object(entry));
        network_info.insert(name.clone(), Value::Object(info.value.clone()));
        gateways(name, block, info, warn);
    }
    if let Some((name, _)) = options.alias.iter().find(|(name, _)| !networks.contains_key(name)) {
        bail!("network {name}: --alias is for it, but the status does not have it");
    }
    for name in before.keys() {
        warn(format!("network {name}: in --base but not in the status, left out"));
    }
    out.insert("networks".into(), Value::Object(networks));
    out.insert("network_info".into(), Value::Object(network_info));
    Ok(Value::Object(out))
}

/// What the status does not know: names, published ports, DNS servers. What the command line gives takes the place of
/// what --base has.
fn about_the_container(out: &mut Map<String, Value>, options: &Netavark) -> anyhow::Result<()> {
    for (key, given) in [("container_id", &options.container_id), ("container_name", &options.container_name)]
    {
        match given {
            Some(text) => {
                out.insert(key.into(), text.as_str().into());
            }
            None if out.get(key).is_some_and(Value::is_string) => {}
            None => {
                return Err(usage(format!(
                    "netavark needs a {key}: give --{} or --base",
                    key.replace('_', "-")
                )));
            }
        }
    }
    if let Some(hostname) = &options.hostname {
        plain(hostname, "--hostname")?;
        out.insert("container_hostname".into(), hostname.as_str().into());
    }
    if !options.publish.is_empty() {
        out.insert("port_mappings".into(), port_mappings(&options.publish)?);
    }
    if !options.dns.is_empty() {
        let servers = options.dns.iter().map(|ip| Value::from(ip.to_string())).collect();
        out.insert("dns_servers".into(), servers);
    }
    Ok(())
}

/// netavark wants all five keys of each.
fn port_mappings(published: &[PortMapping]) -> Result<Value, Malformed> {
    let overlap = |a: &PortMapping, b: &PortMapping| {
        let end = |m: &PortMapping| u32::from(m.host_port) + u32::from(m.range);
        a.protocol == b.protocol
            && (a.host_ip == b.host_ip || a.host_ip.is_none() || b.host_ip.is_none())
            && u32::from(a.host_port) < end(b)
            && u32::from(b.host_port) < end(a)
    };
    for (i, mapping) in published.iter().enumerate() {
        if published.iter().take(i).any(|earlier| overlap(earlier, mapping)) {
            let PortMapping { host_port, protocol, .. } = mapping;
            return Err(Malformed::new(format!(
                "--publish: port {host_port}/{protocol} of the host is given twice"
            )));
        }
    }
    let object = |m: &PortMapping| {
        json!({"container_port": m.container_port, "host_ip": m.host_ip.map_or(String::new(), |ip| ip.to_string()),
               "host_port": m.host_port, "protocol": m.protocol, "range": m.range})
    };
    Ok(published.iter().map(object).collect())
}

/// The aliases the command line gives for this network, in place of those of --base.
fn aliases(
    entry: &mut Map<String, Value>,
    network: &str,
    given: &[(String, String)],
) -> Result<(), Malformed> {
    let mut names = Vec::new();
    for (_, alias) in given.iter().filter(|(name, _)| name == network) {
        plain(alias, "--alias")?;
        if !names.contains(alias) {
            names.push(alias.clone());
        }
    }
    if !names.is_empty() {
        entry.insert("aliases".into(), names.into());
    }
    Ok(())
}

fn network(
    mut entry: Map<String, Value>,
    ifname: &str,
    interface: &NetInterface,
    info: &NetworkInfo,
    major: u32,
    warn: &mut dyn FnMut(String),
) -> anyhow::Result<Map<String, Value>> {
    entry.shift_remove("static_ips");
    entry.shift_remove("static_mac");
    entry.insert("interface_name".into(), ifname.into());
    if let Some(mac) = &interface.mac_address {
        if mac.ethernet().is_none() {
            bail!("interface {ifname}: MAC {mac}: netavark takes six bytes");
        }
        if info.driver == "ipvlan" {
            warn(format!("MAC {mac} left out: an ipvlan interface has the MAC of its parent"));
        } else {
            entry.insert("static_mac".into(), mac.to_string().into());
        }
    }
    if info.ipam_driver == "host-local" {
        let ips = in_order(interface, info, major)?;
        entry.insert("static_ips".into(), ips.iter().map(|ip| Value::from(ip.to_string())).collect());
    } else if !interface.subnets.is_empty() {
        let list: Vec<String> = interface.subnets.iter().map(|a| a.ipnet.to_string()).collect();
        warn(format!(
            "{} left out: addresses come from the ipam driver {}",
            list.join(", "),
            info.ipam_driver
        ));
    }
    Ok(entry)
}

/// The addresses in the order of the network's subnets, one for each (from netavark 2 on: at least one).
fn in_order(interface: &NetInterface, info: &NetworkInfo, major: u32) -> anyhow::Result<Vec<IpAddr>> {
    if interface.subnets.is_empty() && !info.subnets.is_empty() {
        return Err(Hint::on(
            anyhow!("no address, and netavark assigns none by itself"),
            "give --ip NET=ADDRESS",
        ));
    }
    for address in &interface.subnets {
        let ip = address.ipnet.addr();
        let Some(subnet) = info.subnet_of(ip) else {
            let subnets: Vec<String> = info.subnets.iter().map(|s| s.subnet.to_string()).collect();
            bail!("{ip} is in no subnet of this network ({})", subnets.join(", "));
        };
        if subnet.gateway == Some(ip) {
            bail!("{ip} is the gateway of this network");
        }
        if address.ipnet.prefix_len() != subnet.subnet.prefix_len() {
            bail!("{} has another prefix than subnet {} of this network", address.ipnet, subnet.subnet);
        }
    }
    let mut ips = Vec::new();
    for subnet in &info.subnets {
        let of_subnet = |ip: &IpAddr| info.subnet_of(*ip) == Some(subnet);
        let mut here: Vec<IpAddr> =
            interface.subnets.iter().map(|a| a.ipnet.addr()).filter(of_subnet).collect();
        match here.len() {
            0 => bail!("no address for subnet {}, and netavark wants one for each", subnet.subnet),
            1 => {}
            _ if major >= 2 => {}
            n => {
                return Err(Hint::on(
                    anyhow!("{n} addresses in subnet {}, netavark before 2.0 sets one", subnet.subnet),
                    "with netavark 2: --netavark-version 2",
                ));
            }
        }
        ips.append(&mut here);
    }
    Ok(ips)
}

/// netavark configures the gateway of the network's own description, not that of the status.
fn gateways(name: &str, block: &StatusBlock, info: &NetworkInfo, warn: &mut dyn FnMut(String)) {
    for address in block.interfaces.values().flat_map(|i| &i.subnets) {
        let Some(gateway) = address.gateway else { continue };
        if let Some(subnet) = info.subnet_of(address.ipnet.addr()).filter(|s| s.gateway != Some(gateway)) {
            let here = subnet.gateway.map_or("none".into(), |g| g.to_string());
            warn(format!("network {name}: the gateway was {gateway}, on this host it is {here}"));
        }
    }
}
