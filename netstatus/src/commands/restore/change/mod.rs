//! Changes of the status that the user requests.
//!
//! `--ignore-static-ip` drops only addresses and `--ignore-static-mac` drops only MACs, as in
//! podman 4.4 and later (before 4.4, `--ignore-static-ip` also controlled the MAC: podman#16666).
//! `--ip`, `--mac`, `--ifname` and `--only` use the network names of the status, because `--rename`
//! is applied last.

mod saved_routes;

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::{anyhow, bail};
use checkpoint::network_status::{NetAddress, NetInterface, NetworkStatus, StatusBlock};
use cli::{Hint, usage};
use ipnet::IpNet;

use crate::args::{AddressArg, Change};
use crate::model::network_info::{NetworkInfo, NetworkInfos};
use crate::model::status::ValidStatus;

/// Applies `change` to `status` and validates the result.
///
/// # Errors
/// Returns an error if a flag names a network that the status does not have or a network with
/// several interfaces, or if the changed status is invalid.
pub fn apply(
    status: ValidStatus,
    change: &Change,
    infos: &NetworkInfos,
    warn: &mut dyn FnMut(String),
) -> anyhow::Result<ValidStatus> {
    if *change == Change::default() {
        return Ok(status);
    }
    let mut status = status.into_inner();
    let named = |list: &[(String, String)]| list.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    let macs: Vec<String> = change.mac.iter().map(|(name, _)| name.clone()).collect();
    for (flag, names) in
        [("--mac", &macs), ("--ifname", &named(&change.ifname)), ("--rename", &named(&change.rename))]
    {
        if let Some((_, name)) = names.iter().enumerate().find(|(n, name)| names[..*n].contains(name)) {
            return Err(usage(format!("{flag} {name}: given twice")));
        }
    }
    let mut names = change.only.clone();
    names.extend(change.ip.iter().map(|(name, _)| name.clone()));
    names.extend(change.mac.iter().map(|(name, _)| name.clone()));
    names.extend(named(&change.ifname));
    names.extend(named(&change.rename));
    if let Some(unknown) = names.iter().find(|name| !status.networks.contains_key(*name)) {
        bail!("network {unknown}: not in the status, which has only {}", network_names(&status));
    }
    if !change.only.is_empty() {
        status.networks.retain(|name, _| change.only.contains(name));
    }
    let before = status.clone();
    for interface in status.networks.values_mut().flat_map(|block| block.interfaces.values_mut()) {
        if change.ignore_static_ip {
            interface.subnets.clear();
        }
        if change.ignore_static_mac {
            interface.mac_address = None;
        }
    }
    for (name, given) in addresses_by_network(change) {
        let info = infos.get(renamed(change, name));
        let known = before.networks.get(name);
        let interface = only_interface(&mut status, name)?;
        // --ip with an IPv4 address keeps the IPv6 addresses, and vice versa.
        let families: Vec<bool> = given.iter().map(|arg| arg.addr().is_ipv4()).collect();
        interface.subnets.retain(|a| !families.contains(&a.ipnet.addr().is_ipv4()));
        let added = given.iter().map(|arg| address(arg, known, info)).collect::<Result<Vec<_>, _>>()?;
        interface.subnets.extend(added);
    }
    if change.ignore_static_ip || !change.ip.is_empty() {
        saved_routes::remove_unreachable(&mut status, &before, warn)?;
    }
    for (name, mac) in &change.mac {
        only_interface(&mut status, name)?.mac_address = Some(mac.clone());
    }
    for (name, ifname) in &change.ifname {
        let interface = std::mem::take(only_interface(&mut status, name)?);
        if let Some(block) = status.networks.get_mut(name) {
            let old = block.interfaces.keys().next().cloned().unwrap_or_default();
            block.interfaces = BTreeMap::from([(ifname.clone(), interface)]);
            saved_routes::rename_interface(&mut status, &old, ifname);
        }
    }
    Ok(ValidStatus::new(rename(status, change)?)?)
}

/// Collects the addresses of all --ip flags by network.
fn addresses_by_network(change: &Change) -> BTreeMap<&str, Vec<&AddressArg>> {
    let mut all = BTreeMap::<_, Vec<_>>::new();
    for (name, addresses) in &change.ip {
        all.entry(name.as_str()).or_default().extend(addresses);
    }
    all
}

fn renamed<'a>(change: &'a Change, name: &'a str) -> &'a str {
    change.rename.iter().find(|(old, _)| old == name).map_or(name, |(_, new)| new)
}

fn rename(status: NetworkStatus, change: &Change) -> anyhow::Result<NetworkStatus> {
    let mut networks = BTreeMap::new();
    for (name, block) in status.networks {
        let new = renamed(change, &name).to_owned();
        if networks.insert(new.clone(), block).is_some() {
            bail!("network {name}: --rename to {new}, which is the name of another network");
        }
    }
    Ok(NetworkStatus { networks })
}

fn network_names(status: &NetworkStatus) -> String {
    let names: Vec<&str> = status.networks.keys().map(String::as_str).collect();
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

/// Returns the only interface of the network called `name`.
fn only_interface<'a>(status: &'a mut NetworkStatus, name: &str) -> anyhow::Result<&'a mut NetInterface> {
    let Some(block) = status.networks.get_mut(name) else {
        bail!("network {name}: left out by --only");
    };
    let several = block.interfaces.keys().cloned().collect::<Vec<_>>().join(", ");
    let mut interfaces = block.interfaces.values_mut();
    match (interfaces.next(), interfaces.next()) {
        (Some(interface), None) => Ok(interface),
        (None, _) => bail!("network {name}: the status has no interface in this network"),
        _ => Err(anyhow!("network {name}: NET=VALUE is ambiguous for several interfaces ({several})")),
    }
}

/// Completes an address with the prefix and the gateway of its subnet, which the host or the status
/// describes.
fn address(
    arg: &AddressArg,
    known: Option<&StatusBlock>,
    info: Option<&NetworkInfo>,
) -> anyhow::Result<NetAddress> {
    let ip = arg.addr();
    let old = known.into_iter().flat_map(|block| block.interfaces.values()).flat_map(|i| &i.subnets);
    let old = old.map(|a| (a.ipnet, a.gateway));
    let host = info.into_iter().flat_map(|info| &info.subnets).map(|s| (s.subnet, s.gateway));
    let subnet = host.chain(old).find(|(net, _)| net.contains(&ip));
    match (arg, subnet) {
        (AddressArg::WithPrefix(net), subnet) => Ok(NetAddress::new(*net, gateway(subnet, net))),
        (AddressArg::Bare(ip), Some((net, gateway))) => {
            Ok(NetAddress::new(IpNet::new(*ip, net.prefix_len())?, gateway))
        }
        (AddressArg::Bare(ip), None) => Err(Hint::on(
            anyhow!("{ip}: no known subnet contains this address"),
            format!("add the prefix length: {ip}/{}", if ip.is_ipv4() { 24 } else { 64 }),
        )),
    }
}

fn gateway(subnet: Option<(IpNet, Option<IpAddr>)>, net: &IpNet) -> Option<IpAddr> {
    subnet.and_then(|(_, gateway)| gateway).filter(|gateway| net.contains(gateway))
}
