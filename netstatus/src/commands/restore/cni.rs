//! Addresses and MACs for a CNI plugin.
//!
//! CNI has three ways to pass addresses and MACs (CONVENTIONS.md): `runtimeConfig`, for plugins
//! that declare the capability; `args.cni`; and the environment variable `CNI_ARGS`. `CNI_ARGS`
//! holds only one address, and plugins reject it without `IgnoreUnknown=1`.

use anyhow::{anyhow, bail};
use checkpoint::network_status::{
    Malformed, NetInterface, NetworkStatus, StatusBlock, kind, object, take_object,
};
use cli::{Hint, usage};
use serde_json::{Map, Value, json};

use crate::model::names::check_unquoted;

/// Returns a line for each interface, quoted for a shell: `CNI_IFNAME=eth0 CNI_ARGS='…'`.
///
/// # Errors
/// Returns an error if an interface has several addresses.
pub fn arguments(status: &NetworkStatus) -> anyhow::Result<String> {
    let mut out = String::new();
    for (network, block) in &status.networks {
        for (name, interface) in &block.interfaces {
            check_unquoted(name, "interface").map_err(|e| e.within(format!("network {network}")))?;
            let mut args = String::from("IgnoreUnknown=1");
            match interface.subnets.as_slice() {
                [] => {}
                [address] => args.push_str(&format!(";IP={}", address.ipnet.addr())),
                several => {
                    let what = format!("network {network}: interface {name}");
                    return Err(Hint::on(
                        anyhow!("{what}: CNI_ARGS holds one address, found {}", several.len()),
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

/// Returns the plugin configuration in `base` with the addresses filled in.
///
/// Returns the `CAP_ARGS` of cnitool if `base` is a list of plugins, or if there is no `base`.
///
/// # Errors
/// Returns an error if the configuration is for another network, or if no plugin of the list
/// supports the addresses.
pub fn configuration(
    status: &NetworkStatus,
    base: Option<Value>,
    interface: Option<&str>,
    warn: &mut dyn FnMut(String),
) -> anyhow::Result<Value> {
    let Some(base) = base else {
        let (_, block) = select_network(status, None)?;
        return Ok(Value::Object(capability_args(select_interface(block, interface)?)));
    };
    let mut conf = object(base).map_err(|e| e.within("--base"))?;
    let name = conf.get("name").and_then(Value::as_str).map(str::to_owned);
    let (network, block) = select_network(status, name.as_deref())?;
    let wanted = capability_args(
        select_interface(block, interface).map_err(|e| e.context(format!("network {network}")))?,
    );
    match conf.get("plugins") {
        Some(Value::Array(plugins)) => {
            for key in wanted.keys() {
                if !plugins.iter().any(|plugin| has_capability(plugin, key)) {
                    bail!("network {network}: no plugin of the list has the capability {key:?}");
                }
            }
            Ok(Value::Object(wanted))
        }
        Some(other) => bail!("--base: plugins: expected an array, found {}", kind(other)),
        None => {
            fill_in(&mut conf, wanted, warn)?;
            Ok(Value::Object(conf))
        }
    }
}

fn has_capability(plugin: &Value, key: &str) -> bool {
    plugin.get("capabilities").and_then(|c| c.get(key)).and_then(Value::as_bool).unwrap_or(false)
}

/// Sets each value under the key from which the plugin reads it.
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
                "--base does not declare the capability {key:?}: set in args.cni instead, which some plugins ignore"
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

/// Returns `{"mac": …, "ips": […]}`.
///
/// The addresses include their prefix, which the static plugin requires and host-local accepts.
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

/// Returns the network called `name`, or the only network of the status.
fn select_network<'a>(
    status: &'a NetworkStatus,
    name: Option<&str>,
) -> anyhow::Result<(&'a str, &'a StatusBlock)> {
    let names: Vec<&str> = status.networks.keys().map(String::as_str).collect();
    if let Some(name) = name {
        return match status.networks.get_key_value(name) {
            Some((name, block)) => Ok((name, block)),
            None => Err(Hint::on(
                anyhow!("network {name}: named by --base, but the status has only {}", names.join(", ")),
                format!("--rename {}={name}", names.first().unwrap_or(&"OLD")),
            )),
        };
    }
    match (status.networks.iter().next(), names.len()) {
        (Some((name, block)), 1) => Ok((name, block)),
        _ => Err(usage(format!("several networks ({}): select one with --only", names.join(", ")))),
    }
}

/// Returns the interface called `interface`, or the only interface of the network.
fn select_interface<'a>(block: &'a StatusBlock, interface: Option<&str>) -> anyhow::Result<&'a NetInterface> {
    let names: Vec<&str> = block.interfaces.keys().map(String::as_str).collect();
    match interface {
        Some(name) => block.interfaces.get(name).ok_or_else(|| {
            anyhow!("interface {name}: not in the status, which has only {}", names.join(", "))
        }),
        None => match (block.interfaces.values().next(), names.len()) {
            (Some(interface), 1) => Ok(interface),
            (None, _) => bail!("the status has no interface in this network"),
            _ => Err(Hint::on(
                anyhow!(
                    "several interfaces ({}), but a CNI configuration is for one interface",
                    names.join(", ")
                ),
                format!("--interface {}", names.first().unwrap_or(&"IF")),
            )),
        },
    }
}
