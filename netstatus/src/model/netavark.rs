//! The static addresses and MACs that netavark accepts for a network.
//!
//! Before 2.0 netavark assigns `static_ips` by position: the first address belongs to the first
//! subnet. With too few addresses netavark panics, with a wrong order it fails after its first
//! changes, and it silently ignores surplus addresses. It also accepts an address outside the
//! subnet. Therefore this module checks the addresses before netavark runs.

use std::net::IpAddr;

use anyhow::{Context, anyhow, bail};
use checkpoint::network_status::{Mac, Malformed, NetInterface, StatusBlock};
use cli::Hint;

use super::names::check_unquoted;
use super::network_info::{NetworkInfo, NetworkInfos};
use super::status::only_interface;

/// The settings of one network in netavark's input.
#[derive(Debug)]
pub struct Settings<'a> {
    pub interface_name: &'a str,
    pub static_mac: Option<&'a Mac>,
    /// The addresses in the order of the network's subnets; `None` if netavark does not choose the
    /// addresses.
    pub static_ips: Option<Vec<IpAddr>>,
    /// The description of the network on the host.
    pub info: &'a NetworkInfo,
}

/// Returns the settings with which netavark assigns the address and the MAC of the interface of
/// `network`.
///
/// # Errors
/// Returns an error if netavark would fail, or would not configure the addresses of the status.
pub fn settings<'a>(
    network: &str,
    block: &'a StatusBlock,
    infos: &'a NetworkInfos,
    netavark_major: u32,
    warn: &mut dyn FnMut(String),
) -> anyhow::Result<Settings<'a>> {
    let of_network = |e: Malformed| e.within(format!("network {network}"));
    check_unquoted(network, "network").map_err(of_network)?;
    let Some(info) = infos.get(network) else {
        let known: Vec<&str> = infos.keys().map(String::as_str).collect();
        return Err(Hint::on(
            anyhow!(
                "network {network}: no description of this network; known: {}",
                if known.is_empty() { "none".into() } else { known.join(", ") }
            ),
            "add --network-info /etc/containers/networks, or --rename OLD=NEW",
        ));
    };
    let (interface_name, interface) = only_interface(block, "netavark").map_err(of_network)?;
    let mut warn = |text: String| warn(format!("network {network}: {text}"));
    let context = || format!("network {network}");
    let static_mac = static_mac(interface_name, interface, info, &mut warn).with_context(context)?;
    let static_ips = if info.ipam_driver == "host-local" {
        Some(static_ips(interface, info, netavark_major).with_context(context)?)
    } else {
        if !interface.subnets.is_empty() {
            let list: Vec<String> = interface.subnets.iter().map(|a| a.ipnet.to_string()).collect();
            warn(format!(
                "{} left out: addresses come from the ipam driver {}",
                list.join(", "),
                info.ipam_driver
            ));
        }
        None
    };
    warn_of_other_gateways(block, info, &mut warn);
    Ok(Settings { interface_name, static_mac, static_ips, info })
}

fn static_mac<'a>(
    name: &str,
    interface: &'a NetInterface,
    info: &NetworkInfo,
    warn: &mut dyn FnMut(String),
) -> anyhow::Result<Option<&'a Mac>> {
    let Some(mac) = &interface.mac_address else { return Ok(None) };
    if mac.ethernet().is_none() {
        bail!("interface {name}: MAC {mac}: netavark supports only MACs of six bytes");
    }
    if info.driver == "ipvlan" {
        warn(format!("MAC {mac} left out: an ipvlan interface has the MAC of its parent"));
        return Ok(None);
    }
    Ok(Some(mac))
}

/// Returns the addresses in the order of the network's subnets.
///
/// Each subnet has exactly one address before netavark 2, and at least one from netavark 2 on.
fn static_ips(
    interface: &NetInterface,
    info: &NetworkInfo,
    netavark_major: u32,
) -> anyhow::Result<Vec<IpAddr>> {
    if interface.subnets.is_empty() && !info.subnets.is_empty() {
        return Err(Hint::on(
            anyhow!("the status has no address, and netavark does not assign one"),
            "add --ip NET=ADDRESS",
        ));
    }
    for address in &interface.subnets {
        let ip = address.ipnet.addr();
        let Some(subnet) = info.subnet_of(ip) else {
            let subnets: Vec<String> = info.subnets.iter().map(|s| s.subnet.to_string()).collect();
            bail!("{ip} is not in a subnet of this network ({})", subnets.join(", "));
        };
        if subnet.gateway == Some(ip) {
            bail!("{ip} is the gateway of this network");
        }
        if address.ipnet.prefix_len() != subnet.subnet.prefix_len() {
            bail!(
                "{}: the prefix length differs from that of subnet {} of this network",
                address.ipnet,
                subnet.subnet
            );
        }
    }
    let mut ips = Vec::new();
    for subnet in &info.subnets {
        let is_in_subnet = |ip: &IpAddr| info.subnet_of(*ip) == Some(subnet);
        let mut of_subnet: Vec<IpAddr> =
            interface.subnets.iter().map(|a| a.ipnet.addr()).filter(is_in_subnet).collect();
        match of_subnet.len() {
            0 => bail!("no address for subnet {}; netavark requires one for each subnet", subnet.subnet),
            1 => {}
            _ if netavark_major >= 2 => {}
            n => {
                return Err(Hint::on(
                    anyhow!("{n} addresses in subnet {}; netavark before 2.0 sets only one", subnet.subnet),
                    "for netavark 2, add --netavark-version 2",
                ));
            }
        }
        ips.append(&mut of_subnet);
    }
    Ok(ips)
}

/// Warns if the status has another gateway than the network, since netavark configures the gateway
/// of the network.
fn warn_of_other_gateways(block: &StatusBlock, info: &NetworkInfo, warn: &mut dyn FnMut(String)) {
    for address in block.interfaces.values().flat_map(|i| &i.subnets) {
        let Some(gateway) = address.gateway else { continue };
        if let Some(subnet) = info.subnet_of(address.ipnet.addr()).filter(|s| s.gateway != Some(gateway)) {
            let configured = subnet.gateway.map_or("none".into(), |g| g.to_string());
            warn(format!("the gateway was {gateway}, on the host it is {configured}"));
        }
    }
}
