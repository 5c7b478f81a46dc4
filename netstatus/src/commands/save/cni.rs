//! CNI results (0.1.0 to 1.1.0), libcni cache files, and podman 3's array of results.
//!
//! A result does not contain the name of its network. The name comes from libcni's cache or from
//! `--network`.
//!
//! Results are converted as podman does (`libnetwork/cni/run.go`): the status contains the
//! interfaces with a sandbox, each with the `ips` that have its index. podman loses an address
//! without an index. netstatus assigns the address to the only interface, and reports an error if
//! there are several interfaces.

use std::collections::VecDeque;
use std::collections::btree_map::Entry;
use std::net::IpAddr;

use anyhow::bail;
use checkpoint::network_status::{
    Mac, Malformed, NetAddress, NetInterface, NetworkStatus, StatusBlock, address, cidr, object, string,
    take_array, take_object,
};
use cli::{Hint, usage};
use ipnet::IpNet;
use serde_json::{Map, Value};

use crate::args::Save;

/// The results read so far, and the network names for further results.
pub struct Results {
    status: NetworkStatus,
    names: VecDeque<String>,
    /// The number of results without a network name.
    nameless: usize,
    /// The number of network names on the command line.
    given_names: usize,
    missing: Missing,
}

/// The values of the command line for results that do not contain these values, such as results of
/// CNI 0.2.0.
struct Missing {
    ifname: Option<String>,
    mac: Option<Mac>,
}

impl Results {
    pub fn new(args: &Save) -> Results {
        Results {
            status: NetworkStatus::default(),
            names: VecDeque::new(),
            nameless: 0,
            given_names: 0,
            missing: Missing { ifname: args.ifname.clone(), mac: args.mac.clone() },
        }
    }

    /// Adds a network name for the next result that does not contain a network name.
    pub fn push_name(&mut self, network: &str) {
        self.names.push_back(network.to_owned());
        self.given_names += 1;
    }

    /// Adds the results in `value`. `network` is the name of their network, if this name is known.
    ///
    /// # Errors
    /// Returns an error if the plugin reported an error, or if a result is malformed or describes a
    /// known interface again.
    pub fn add(
        &mut self,
        value: Value,
        network: Option<&str>,
        warn: &mut dyn FnMut(String),
    ) -> anyhow::Result<()> {
        match value {
            // podman 3 and older write an array of results, which is "null" or empty without a
            // network.
            Value::Array(list) => {
                for (i, value) in list.into_iter().enumerate() {
                    self.result(value, network, None, warn)
                        .map_err(|e| e.context(format!("result {}", i + 1)))?;
                }
                Ok(())
            }
            Value::Object(mut map) if map.get("kind").is_some_and(Value::is_string) => {
                match map.get("kind").and_then(Value::as_str).unwrap_or_default() {
                    "cniCacheV1" => {}
                    kind => bail!("kind: expected \"cniCacheV1\", found {kind:?}"),
                }
                let text = |key: &str| match map.get(key) {
                    Some(value) => string(value).map(str::to_owned).map_err(|e| e.within(key)),
                    None => Err(Malformed::new(format!("key {key} is missing"))),
                };
                let (name, ifname) = (text("networkName")?, text("ifName")?);
                let result = map.shift_remove("result").unwrap_or_default();
                self.result(result, Some(network.unwrap_or(&name)), Some(ifname), warn)
            }
            other => self.result(other, network, None, warn),
        }
    }

    /// Returns the status of all results, or `None` for an empty array of podman 3.
    ///
    /// # Errors
    /// Returns an error if the number of given names differs from the number of results without a
    /// name.
    pub fn finish(self) -> anyhow::Result<Option<NetworkStatus>> {
        if self.nameless != self.given_names {
            if self.given_names == 0 {
                return Err(Hint::on(
                    usage("network name missing: a CNI result does not contain the name of its network"),
                    "add --network NAME",
                ));
            }
            let plural = |n: usize| if n == 1 { "" } else { "s" };
            let (results, names) = (self.nameless, self.given_names);
            return Err(usage(format!(
                "{results} CNI result{} without a network name, but {names} network name{}",
                plural(results),
                plural(names)
            )));
        }
        Ok(Some(self.status).filter(|status| !status.networks.is_empty()))
    }

    fn result(
        &mut self,
        value: Value,
        network: Option<&str>,
        ifname: Option<String>,
        warn: &mut dyn FnMut(String),
    ) -> anyhow::Result<()> {
        let keys = object(value)?;
        if let (Some(code), Some(Value::String(msg)), None) =
            (keys.get("code"), keys.get("msg"), keys.get("ips"))
        {
            let details = keys.get("details").and_then(Value::as_str).filter(|d| !d.is_empty());
            bail!("CNI plugin: {msg} ({code}){}", details.map(|d| format!(": {d}")).unwrap_or_default());
        }
        let name = match network {
            Some(name) => name.to_owned(),
            None => {
                self.nameless += 1;
                // finish() reports missing names, after all results have been counted.
                self.names.pop_front().unwrap_or_else(|| format!("result {}", self.nameless))
            }
        };
        let block = match string(keys.get("cniVersion").unwrap_or(&Value::Null))
            .map_err(|e| e.within("cniVersion"))?
        {
            "0.1.0" | "0.2.0" => old_result(keys, &self.missing, ifname)?,
            version if version.starts_with("0.") || version.starts_with("1.") => {
                result(keys, &self.missing, ifname.or_else(|| self.missing.ifname.clone()), warn)?
            }
            version => bail!("unsupported CNI version {version:?}"),
        };
        match self.status.networks.entry(name) {
            Entry::Vacant(entry) => {
                entry.insert(block);
            }
            Entry::Occupied(mut entry) => {
                for (ifname, interface) in block.interfaces {
                    if entry.get_mut().interfaces.insert(ifname.clone(), interface).is_some() {
                        bail!("network {}: interface {ifname}: occurs in two results", entry.key());
                    }
                }
            }
        }
        Ok(())
    }
}

/// Converts a result of CNI 0.3.0 or later.
fn result(
    mut keys: Map<String, Value>,
    missing: &Missing,
    ifname: Option<String>,
    warn: &mut dyn FnMut(String),
) -> anyhow::Result<StatusBlock> {
    let mut block = StatusBlock::default();
    take_dns(&mut keys, &mut block)?;
    let interfaces = take_array(&mut keys, "interfaces")?;
    // The name of the interface at each index; `None` for interfaces of the host.
    let mut at_index = Vec::new();
    for value in interfaces {
        let (name, interface) = sandbox_interface(value).map_err(|e| e.within("interfaces"))?;
        if let Some(mut interface) = interface {
            set_missing_mac(&name, &mut interface, missing, warn);
            if block.interfaces.insert(name.clone(), interface).is_some() {
                bail!("interface {name} occurs twice in the result");
            }
            at_index.push(Some(name));
        } else {
            at_index.push(None);
        }
    }
    let only = match (block.interfaces.len(), ifname) {
        // Some plugins that do not use a bridge (Calico) report only the interface of the host.
        (0, Some(ifname)) => {
            let mut interface = NetInterface::default();
            set_missing_mac(&ifname, &mut interface, missing, warn);
            block.interfaces.insert(ifname.clone(), interface);
            Some(ifname)
        }
        (1, _) => block.interfaces.keys().next().cloned(),
        (_, ifname) => ifname.filter(|name| block.interfaces.contains_key(name)),
    };
    let gateways = default_gateways(take_array(&mut keys, "routes")?)?;
    let mut hosts = Vec::new();
    for (i, value) in take_array(&mut keys, "ips")?.into_iter().enumerate() {
        let place = |e: Malformed| e.within(format!("ips[{i}]"));
        let (index, mut address) = ip(value).map_err(place)?;
        let owner = match index {
            Some(index) => match usize::try_from(index).ok().and_then(|index| at_index.get(index)) {
                Some(owner) => owner.clone(),
                None => {
                    return Err(place(Malformed::new(format!("interface index {index} out of range"))).into());
                }
            },
            None => Some(only.clone().ok_or_else(|| {
                place(Malformed::new(
                    "expected an interface index, since the result does not have exactly one interface",
                ))
            })?),
        };
        // The address belongs to an interface of the host, such as a bridge that is the gateway.
        let Some(owner) = owner else {
            hosts.push(address.ipnet.to_string());
            continue;
        };
        // The static plugin reports the gateway only in a route.
        let in_subnet = |gateway: &&IpAddr| address.ipnet.contains(*gateway);
        address.gateway = address.gateway.or_else(|| gateways.iter().find(in_subnet).copied());
        if let Some(interface) = block.interfaces.get_mut(&owner) {
            interface.subnets.push(address);
        }
    }
    if block.interfaces.is_empty() {
        return Err(Hint::on(
            anyhow::anyhow!("no interface has a sandbox, so the container has no interface"),
            "add --ifname IF if the plugin does not report the interface of the container",
        ));
    }
    if !hosts.is_empty() && block.interfaces.values().all(|interface| interface.subnets.is_empty()) {
        warn(format!(
            "{}: assigned to interfaces of the host; the container has no address",
            hosts.join(", ")
        ));
    }
    Ok(block)
}

/// Sets the MAC of the command line if the result has no MAC for the interface.
fn set_missing_mac(
    name: &str,
    interface: &mut NetInterface,
    missing: &Missing,
    warn: &mut dyn FnMut(String),
) {
    if interface.mac_address.is_none() {
        interface.mac_address.clone_from(&missing.mac);
        if missing.mac.is_none() {
            warn(format!("interface {name}: the result has no MAC"));
        }
    }
}

/// Converts a result of CNI 0.1.0 or 0.2.0, which has one address of each family, but no interface
/// and no MAC.
fn old_result(
    mut keys: Map<String, Value>,
    missing: &Missing,
    ifname: Option<String>,
) -> anyhow::Result<StatusBlock> {
    let Some(name) = ifname.or_else(|| missing.ifname.clone()) else {
        return Err(Hint::on(usage("a result of CNI 0.2.0 does not name the interface"), "add --ifname IF"));
    };
    let Some(mac) = missing.mac.clone() else {
        return Err(Hint::on(
            anyhow::anyhow!(
                "a result of CNI 0.2.0 has no MAC; with a new MAC, peers would keep sending to the old one"
            ),
            "add --mac MAC, or save the live namespace: netstatus save --netns PATH",
        ));
    };
    let mut interface = NetInterface { mac_address: Some(mac), ..NetInterface::default() };
    let mut block = StatusBlock::default();
    take_dns(&mut keys, &mut block)?;
    for family in ["ip4", "ip6"] {
        let Some(value) = keys.shift_remove(family) else { continue };
        let mut entry = object(value).map_err(|e| e.within(family))?;
        let ipnet = required_cidr(&entry, "ip").map_err(|e| e.within(family))?;
        let gateway = optional_address(&mut entry, "gateway").map_err(|e| e.within(family))?;
        interface.subnets.push(NetAddress::new(ipnet, gateway));
    }
    block.interfaces.insert(name, interface);
    Ok(block)
}

/// Reads an entry of `interfaces`: its name, and the interface if it is in the container.
fn sandbox_interface(value: Value) -> Result<(String, Option<NetInterface>), Malformed> {
    let keys = object(value)?;
    let text = |key: &str| match keys.get(key) {
        None | Some(Value::Null) => Ok(""),
        Some(value) => string(value).map_err(|e| e.within(key)),
    };
    let name = text("name")?.to_owned();
    if text("sandbox")?.is_empty() {
        return Ok((name, None));
    }
    let mac_address = match text("mac")? {
        "" => None,
        mac => Some(mac.parse()?),
    };
    Ok((name, Some(NetInterface { mac_address, ..NetInterface::default() })))
}

/// Reads an entry of `ips`: the index of its interface, and the address.
fn ip(value: Value) -> Result<(Option<u64>, NetAddress), Malformed> {
    let mut keys = object(value)?;
    let index = match keys.get("interface") {
        None | Some(Value::Null) => None,
        Some(value) => match value.as_u64() {
            Some(index) => Some(index),
            None => return Err(Malformed::new(format!("interface index {value} out of range"))),
        },
    };
    let ipnet = required_cidr(&keys, "address")?;
    let family = if ipnet.addr().is_ipv4() { "4" } else { "6" };
    match keys.get("version") {
        None | Some(Value::Null) => {}
        Some(Value::String(version)) if version == family => {}
        Some(version) => {
            return Err(Malformed::new(format!("version is {version}, but the address is {ipnet}")));
        }
    }
    Ok((index, NetAddress::new(ipnet, optional_address(&mut keys, "gateway")?)))
}

/// Returns the gateways of the default routes.
fn default_gateways(routes: Vec<Value>) -> Result<Vec<IpAddr>, Malformed> {
    let mut gateways = Vec::new();
    for value in routes {
        let mut keys = object(value).map_err(|e| e.within("routes"))?;
        if matches!(keys.get("dst").and_then(Value::as_str), Some("0.0.0.0/0" | "::/0")) {
            gateways.extend(optional_address(&mut keys, "gw").map_err(|e| e.within("routes"))?);
        }
    }
    Ok(gateways)
}

/// Moves the DNS settings of a result to `block`.
fn take_dns(keys: &mut Map<String, Value>, block: &mut StatusBlock) -> Result<(), Malformed> {
    let mut dns = take_object(keys, "dns")?;
    for value in take_array(&mut dns, "nameservers").map_err(|e| e.within("dns"))? {
        block.dns_server_ips.push(address(&value).map_err(|e| e.within("dns: nameservers"))?);
    }
    for value in take_array(&mut dns, "search").map_err(|e| e.within("dns"))? {
        block.dns_search_domains.push(string(&value).map_err(|e| e.within("dns: search"))?.to_owned());
    }
    Ok(())
}

fn required_cidr(keys: &Map<String, Value>, key: &str) -> Result<IpNet, Malformed> {
    match keys.get(key) {
        Some(value) => string(value).and_then(cidr).map_err(|e| e.within(key)),
        None => Err(Malformed::new(format!("key {key} is missing"))),
    }
}

fn optional_address(keys: &mut Map<String, Value>, key: &str) -> Result<Option<IpAddr>, Malformed> {
    match keys.shift_remove(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(value) => address(&value).map(Some).map_err(|e| e.within(key)),
    }
}
