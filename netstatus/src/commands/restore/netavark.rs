//! The standard input of `netavark setup` and `netavark teardown`.

use anyhow::bail;
use checkpoint::network_status::{Malformed, NetworkStatus, object, take_object};
use cli::usage;
use serde_json::{Map, Value, json};

use crate::args::{NetavarkOptions, PortMapping};
use crate::model::names::check_unquoted;
use crate::model::netavark::{Settings, settings};
use crate::model::network_info::NetworkInfos;

/// Fills the networks of the status into `base`, or into an empty document.
///
/// Keeps the other keys of `base`, and the keys of its networks that do not concern addresses.
///
/// # Errors
/// Returns an error if netavark would fail, or would not configure the addresses of the status.
pub fn input(
    status: &NetworkStatus,
    base: Option<Value>,
    infos: &NetworkInfos,
    options: &NetavarkOptions,
    warn: &mut dyn FnMut(String),
) -> anyhow::Result<Value> {
    let mut out = object(base.unwrap_or_else(|| Map::new().into())).map_err(|e| e.within("--base"))?;
    set_container_keys(&mut out, options)?;
    let mut base_networks = take_object(&mut out.clone(), "networks").map_err(|e| e.within("--base"))?;
    let (mut networks, mut network_info) = (Map::new(), Map::new());
    for (name, block) in &status.networks {
        let mut entry = take_object(&mut base_networks, name).map_err(|e| e.within("--base: networks"))?;
        let settings = settings(name, block, infos, options.netavark_version, warn)?;
        set_network_keys(&mut entry, &settings);
        set_aliases(&mut entry, name, &options.alias).map_err(|e| e.within(format!("network {name}")))?;
        networks.insert(name.clone(), Value::Object(entry));
        network_info.insert(name.clone(), Value::Object(settings.info.value.clone()));
    }
    if let Some((name, _)) = options.alias.iter().find(|(name, _)| !networks.contains_key(name)) {
        bail!("network {name}: named by --alias, but not in the status");
    }
    for name in base_networks.keys() {
        warn(format!("network {name}: left out: it is in --base, but not in the status"));
    }
    out.insert("networks".into(), Value::Object(networks));
    out.insert("network_info".into(), Value::Object(network_info));
    Ok(Value::Object(out))
}

fn set_network_keys(entry: &mut Map<String, Value>, settings: &Settings<'_>) {
    entry.shift_remove("static_ips");
    entry.shift_remove("static_mac");
    entry.insert("interface_name".into(), settings.interface_name.into());
    if let Some(mac) = settings.static_mac {
        entry.insert("static_mac".into(), mac.to_string().into());
    }
    if let Some(ips) = &settings.static_ips {
        entry.insert("static_ips".into(), ips.iter().map(|ip| Value::from(ip.to_string())).collect());
    }
}

/// Sets names, published ports and DNS servers, which a status does not contain.
///
/// The options of the command line override --base.
fn set_container_keys(out: &mut Map<String, Value>, options: &NetavarkOptions) -> anyhow::Result<()> {
    for (key, given) in [("container_id", &options.container_id), ("container_name", &options.container_name)]
    {
        match given {
            Some(text) => {
                out.insert(key.into(), text.as_str().into());
            }
            None if out.get(key).is_some_and(Value::is_string) => {}
            None => {
                return Err(usage(format!(
                    "netavark needs a {key}: add --{} or --base",
                    key.replace('_', "-")
                )));
            }
        }
    }
    if let Some(hostname) = &options.hostname {
        check_unquoted(hostname, "--hostname")?;
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

/// Returns the port mappings with all five keys, which netavark requires.
///
/// # Errors
/// Returns an error if two mappings use the same port of the host.
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

/// Replaces the aliases of `network` by the aliases on the command line, if there are any.
fn set_aliases(
    entry: &mut Map<String, Value>,
    network: &str,
    given: &[(String, String)],
) -> Result<(), Malformed> {
    let mut names = Vec::new();
    for (_, alias) in given.iter().filter(|(name, _)| name == network) {
        check_unquoted(alias, "--alias")?;
        if !names.contains(alias) {
            names.push(alias.clone());
        }
    }
    if !names.is_empty() {
        entry.insert("aliases".into(), names.into());
    }
    Ok(())
}
