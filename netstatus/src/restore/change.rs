//! What the user wants other than the status says.
//!
//! As podman >= 4.4, `--ignore-static-ip` and `--ignore-static-mac` drop what the status says, and each only its own
//! value (before 4.4 the MAC hung on the flag of the address: podman#16666). `--ip`, `--mac`, `--ifname` and `--only`
//! use the names of the status, `--rename` comes last.

mod unreachable;

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::{anyhow, bail};
use checkpoint::network_status::{NetAddress, NetInterface, NetworkStatus, StatusBlock};
use cli::{Hint, usage};
use ipnet::IpNet;

use crate::args::{Change, Wanted};
use crate::network_info::{NetworkInfo, NetworkInfos};

/// Applies `change` to `status`.
///
/// # Errors
/// When a flag names a network that is not there, or one whose several interfaces it cannot tell apart.
pub fn apply(
    mut status: NetworkStatus,
    change: &Change,
    infos: &NetworkInfos,
    warn: &mut dyn FnMut(String),
) -> anyhow::Result<NetworkStatus> {
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
        bail!("network {unknown}: not in the status, which has {}", listed(&status));
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
    for (name, wanted) in addresses(change) {
        let info = infos.get(renamed(change, name));
        let known = before.networks.get(name);
        let interface = single(&mut status, name)?;
        // Each family on its own: --ip with an IPv4 address keeps the IPv6 one.
        let families: Vec<bool> = wanted.iter().map(|w| w.addr().is_ipv4()).collect();
        interface.subnets.retain(|a| !families.contains(&a.ipnet.addr().is_ipv4()));
        let added = wanted.iter().map(|w| address(w, known, info)).collect::<Result<Vec<_>, _>>()?;
        interface.subnets.extend(added);
    }
    if change.ignore_static_ip || !change.ip.is_empty() {
        unreachable::leave_out(&mut status, &before, warn)?;
    }
    for (name, mac) in &change.mac {
        single(&mut status, name)?.mac_address = Some(mac.clone());
    }
    for (name, ifname) in &change.ifname {
        let interface = std::mem::take(single(&mut status, name)?);
        if let Some(block) = status.networks.get_mut(name) {
            let old = block.interfaces.keys().next().cloned().unwrap_or_default();
            block.interfaces = BTreeMap::from([(ifname.clone(), interface)]);
            unreachable::rename(&mut status, &old, ifname);
        }
    }
    rename(status, change)
}

/// The addresses of each network, of all flags that name it.
fn addresses(change: &Change) -> BTreeMap<&str, Vec<&Wanted>> {
    let mut all = BTreeMap::<_, Vec<_>>::new();
    for (name, wanted) in &change.ip {
        all.entry(name.as_str()).or_default().extend(wanted);
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
            bail!("network {name}: --rename gives {new} to a second network");
        }
    }
    Ok(NetworkStatus { networks })
}

fn listed(status: &NetworkStatus) -> String {
    let names: Vec<&str> = status.networks.keys().map(String::as_str).collect();
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

fn single<'a>(status: &'a mut NetworkStatus, name: &str) -> anyhow::Result<&'a mut NetInterface> {
    let Some(block) = status.networks.get_mut(name) else {
        bail!("network {name}: left out by --only");
    };
    let several = block.interfaces.keys().cloned().collect::<Vec<_>>().join(", ");
    let mut interfaces = block.interfaces.values_mut();
    match (interfaces.next(), interfaces.next()) {
        (Some(interface), None) => Ok(interface),
        (None, _) => bail!("network {name}: the status has no interface on it"),
        _ => Err(anyhow!(
            "network {name}: several interfaces ({several}), NET=VALUE does not tell which is meant"
        )),
    }
}

/// The address with the prefix and gateway of the subnet it is in: that of the status, else that of the host.
fn address(
    wanted: &Wanted,
    known: Option<&StatusBlock>,
    info: Option<&NetworkInfo>,
) -> anyhow::Result<NetAddress> {
    let ip = wanted.addr();
    let old = known.into_iter().flat_map(|block| block.interfaces.values()).flat_map(|i| &i.subnets);
    let old = old.map(|a| (a.ipnet, a.gateway));
    let host = info.into_iter().flat_map(|info| &info.subnets).map(|s| (s.subnet, s.gateway));
    let subnet = host.chain(old).find(|(net, _)| net.contains(&ip));
    match (wanted, subnet) {
        (Wanted::WithPrefix(net), subnet) => Ok(NetAddress::new(*net, gateway(subnet, net))),
        (Wanted::Bare(ip), Some((net, gateway))) => {
            Ok(NetAddress::new(IpNet::new(*ip, net.prefix_len())?, gateway))
        }
        (Wanted::Bare(ip), None) => Err(Hint::on(
            anyhow!("{ip}: no subnet is known that holds it"),
            format!("give the prefix: {ip}/{}", if ip.is_ipv4() { 24 } else { 64 }),
        )),
    }
}

fn gateway(subnet: Option<(IpNet, Option<IpAddr>)>, net: &IpNet) -> Option<IpAddr> {
    subnet.and_then(|(_, gateway)| gateway).filter(|gateway| net.contains(gateway))
}
