//! What a CNI plugin is told to give an interface the addresses and the MAC it had.
//!
//! Three channels (CNI's CONVENTIONS.md): `runtimeConfig` for plugins that declare the capability, `args.cni`, and the
//! environment variable `CNI_ARGS`, which holds one address and which every plugin refuses without `IgnoreUnknown=1`.

use anyhow::{anyhow, bail};
use checkpoint::network_status::{Malformed, NetInterface, NetworkStatus, StatusBlock, object, take_object};
use cli::{Hint, usage};
use serde_json::{Map, Value, json};

use super::plain;

/// One line for each interface: `CNI_IFNAME=eth0 CNI_ARGS='…'`, to be evaluated by a shell.
///
/// # Errors
/// When an interface has more than the one address that fits.
pub fn arguments(status: &NetworkStatus) -> anyhow::Result<String> {
    let mut out = String::new();
    for (network, block) in &status.networks {
        for (name, interface) in &block.interfaces {
            plain(name, "interface").map_err(|e| e.within(format!("network {network}")))?;
            let mut args = String::from("IgnoreUnknown=1");
            match interface.subnets.as_slice() {
                [] => {}
                [address] => args.push_str(&format!(";IP={}", address.ipnet.addr())),
                several => {
                    let what = format!("network {network}: interface {name}");
                    return Err(Hint::on(
                        anyhow!("{what}: {} addresses do not fit into CNI_ARGS", several.len()),
                        "use --to cni",
                    ));
                }
            }
            if let Some(mac) = &interface.mac_address {
                args.push_str(&format!(";MAC={mac}"));
            }
            out.push_str(&format!("CNI_IFNAME={name} CNI_ARGS='{args}'\n"));
        }
    }
    Ok(out)
}

/// The plugin configuration in `base` with the addresses filled in; of a list, or without `base`, the CAP_ARGS of cnitool.
///
/// # Errors
/// When the configuration is for another network, or no plugin of a list would honour the addresses.
pub fn configuration(
    status: &NetworkStatus,
    base: Option<Value>,
    interface: Option<&str>,
    warn: &mut dyn FnMut(String),
) -> anyhow::Result<Value> {
    let Some(base) = base else {
        let (_, block) = the_network(status, None)?;
        return Ok(Value::Object(capability_args(chosen(block, interface)?)));
    };
    let mut conf = object(base).map_err(|e| e.within("--base"))?;
    let name = conf.get("name").and_then(Value::as_str).map(str::to_owned);
    let (network, block) = the_network(status, name.as_deref())?;
    let wanted =
        capability_args(chosen(block, interface).map_err(|e| e.context(format!("network {network}")))?);
    match conf.get("plugins") {
        Some(Value::Array(plugins)) => {
            for key in wanted.keys() {
                if !plugins.iter().any(|plugin| has_capability(plugin, key)) {
                    bail!("network {network}: no plugin of the list has the capability {key:?}");
                }
            }
            Ok(Value::Object(wanted))
        }
        Some(_) => bail!("--base: plugins: an array is wanted"),
        None => {
            fill_in(&mut conf, wanted, warn)?;
            Ok(Value::Object(conf))
        }
    }
}

fn has_capability(plugin: &Value, key: &str) -> bool {
    plugin.get("capabilities").and_then(|c| c.get(key)).and_then(Value::as_bool).unwrap_or(false)
}

/// Puts each value where the plugin looks for it.
fn fill_in(
    conf: &mut Map<String, Value>,
    wanted: Map<String, Value>,
    warn: &mut dyn FnMut(String),
) -> Result<(), Malformed> {
    let plugin = Value::Object(conf.clone());
    let mut runtime = take_object(conf, "runtimeConfig").map_err(|e| e.within("--base"))?;
    let mut args = take_object(conf, "args").map_err(|e| e.within("--base"))?;
    let mut cni = take_object(&mut args, "cni").map_err(|e| e.within("--base: args"))?;
    for key in ["ips", "mac"] {
        runtime.shift_remove(key);
        cni.shift_remove(key);
    }
    for (key, value) in wanted {
        if has_capability(&plugin, &key) {
            runtime.insert(key, value);
        } else {
            warn(format!(
                "--base does not declare the capability {key:?}: the value goes to args.cni, which not every plugin reads"
            ));
            cni.insert(key, value);
        }
    }
    if !cni.is_empty() {
        args.insert("cni".into(), Value::Object(cni));
    }
    if !args.is_empty() {
        conf.insert("args".into(), Value::Object(args));
    }
    conf.insert("runtimeConfig".into(), Value::Object(runtime));
    Ok(())
}

/// `{"mac": …, "ips": […]}`: with the prefix, which the static plugin needs and host-local tolerates.
fn capability_args(interface: &NetInterface) -> Map<String, Value> {
    let mut out = Map::new();
    if let Some(mac) = &interface.mac_address {
        out.insert("mac".into(), mac.to_string().into());
    }
    if !interface.subnets.is_empty() {
        out.insert("ips".into(), interface.subnets.iter().map(|a| json!(a.ipnet.to_string())).collect());
    }
    out
}

fn the_network<'a>(
    status: &'a NetworkStatus,
    name: Option<&str>,
) -> anyhow::Result<(&'a str, &'a StatusBlock)> {
    let names: Vec<&str> = status.networks.keys().map(String::as_str).collect();
    if let Some(name) = name {
        return match status.networks.get_key_value(name) {
            Some((name, block)) => Ok((name, block)),
            None => Err(Hint::on(
                anyhow!("network {name}: --base is for it, but the status has {}", names.join(", ")),
                format!("--rename {}={name}", names.first().unwrap_or(&"OLD")),
            )),
        };
    }
    match (status.networks.iter().next(), names.len()) {
        (Some((name, block)), 1) => Ok((name, block)),
        _ => Err(usage(format!("several networks ({}): choose one with --only", names.join(", ")))),
    }
}

fn chosen<'a>(block: &'a StatusBlock, interface: Option<&str>) -> anyhow::Result<&'a NetInterface> {
    let names: Vec<&str> = block.interfaces.keys().map(String::as_str).collect();
    match interface {
        Some(name) => block
            .interfaces
            .get(name)
            .ok_or_else(|| anyhow!("interface {name}: not in the status, which has {}", names.join(", "))),
        None => match (block.interfaces.values().next(), names.len()) {
            (Some(interface), 1) => Ok(interface),
            (None, _) => bail!("the status has no interface on it"),
            _ => Err(Hint::on(
                anyhow!("several interfaces ({}), a CNI configuration is for one", names.join(", ")),
                format!("--interface {}", names.first().unwrap_or(&"IF")),
            )),
        },
    }
}
