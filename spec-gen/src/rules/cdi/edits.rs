//! Applies edits of CDI specifications to the spec.

use std::path::Path;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use crate::rules::cdi::container_edits::{DeviceNode, Edits, HookEdit, MountEdit};
use crate::rules::devices::{self, Node};
use crate::runtime_spec::hooks::STAGES;
use crate::runtime_spec::key;
use crate::runtime_spec::{Spec, env, mounts};

/// The stages of hooks.
pub const HOOKS: [&str; 6] =
    ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

/// Applies the edits of a file or a device, except its hooks.
///
/// # Errors
/// Returns an error that names the edit that cannot be applied.
pub fn apply(spec: &mut Spec, edits: &Edits) -> anyhow::Result<()> {
    for entry in &edits.env {
        let Some((name, value)) = entry.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            bail!("env: {entry:?}: expected NAME=VALUE");
        };
        env::set(spec, name, value);
    }
    for node in &edits.device_nodes {
        add_device(spec, node).with_context(|| format!("deviceNodes: {}", node.path))?;
    }
    for device in &edits.net_devices {
        spec.object(key::LINUX_NET_DEVICES)
            .insert(device.host_interface_name.clone(), json!({ "name": device.name }));
    }
    for edit in &edits.mounts {
        mounts::check_destination(&edit.container_path)?;
        mounts::remove(spec, &edit.container_path);
        spec.mounts_mut().push(edit.to_value());
    }
    for hook in &edits.hooks {
        if !STAGES.contains(&hook.hook_name.as_str()) {
            bail!("hooks: hookName {:?} is not one of {}", hook.hook_name, STAGES.join(", "));
        }
    }
    if let Some(rdt) = &edits.intel_rdt {
        spec.set(key::LINUX_INTEL_RDT, Value::Object(rdt.clone()));
    }
    for gid in edits.additional_gids.iter().filter(|gid| **gid != 0) {
        spec.add_gid(*gid);
    }
    Ok(())
}

impl MountEdit {
    fn to_value(&self) -> Value {
        let mut options = self.options.clone();
        // A host path without a type is a bind mount. Runtimes recognize bind mounts only by an
        // option.
        if self.kind.is_none() && !options.iter().any(|o| o == "bind" || o == "rbind") {
            options.push("rbind".into());
        }
        let mut mount = json!({ "destination": self.container_path, "source": self.host_path });
        if let Some(kind) = &self.kind {
            mount["type"] = json!(kind);
        }
        mounts::set_options(&mut mount, options);
        mount
    }
}

impl HookEdit {
    /// Returns the hook in the format of the runtime-spec.
    pub fn to_value(&self) -> Value {
        let mut hook = json!({ "path": self.path });
        if !self.args.is_empty() {
            hook["args"] = json!(self.args);
        }
        if !self.env.is_empty() {
            hook["env"] = json!(self.env);
        }
        if let Some(timeout) = self.timeout {
            hook["timeout"] = json!(timeout);
        }
        hook
    }
}

/// Adds a device node. Values that the file omits are the host's, except the owner, which is the
/// process's.
fn add_device(spec: &mut Spec, node: &DeviceNode) -> anyhow::Result<()> {
    let host = node.host_path.as_deref().unwrap_or(&node.path);
    let (mut kind, mut major, mut minor) = (node.kind.clone(), node.major, node.minor);
    if kind.is_none() || kind.as_deref() != Some("p") && (major.is_none() || minor.is_none()) {
        let found = Node::read(Path::new(host)).with_context(|| host.to_owned())?;
        let Some(found) = found else { bail!("{host}: not a device node") };
        if kind.as_deref().is_some_and(|k| k != found.kind) {
            bail!("{host}: is of type {}, not {}", found.kind, kind.unwrap_or_default());
        }
        kind = Some(found.kind.to_owned());
        major = major.or(Some(found.major));
        minor = minor.or(Some(found.minor));
    }
    let kind = kind.unwrap_or_default();
    let mut device = json!({ "path": node.path, "type": kind });
    if kind != "p" {
        device["major"] = json!(major);
        device["minor"] = json!(minor);
    }
    if let Some(mode) = node.file_mode {
        device["fileMode"] = json!(mode);
    }
    for (name, key, given) in
        [("uid", key::PROCESS_USER_UID, node.uid), ("gid", key::PROCESS_USER_GID, node.gid)]
    {
        let own = spec.get(key).and_then(Value::as_u64).filter(|id| *id > 0);
        if let Some(id) = given.map(u64::from).or(own) {
            device[name] = json!(id);
        }
    }
    devices::put_value(spec, device);
    if let (Some(major), Some(minor)) = (major, minor) {
        devices::allow(spec, &kind, major, minor, node.permissions.as_deref().unwrap_or("rwm"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(node: Value) -> Result<Value, String> {
        let mut spec = Spec::new(json!({}));
        let node: DeviceNode = serde_json::from_value(node).unwrap();
        add_device(&mut spec, &node).map_err(|e| format!("{e:#}"))?;
        Ok(spec.list(key::LINUX_DEVICES)[0].clone())
    }

    #[test]
    fn only_missing_values_of_a_device_come_from_the_host() {
        // A device that does not exist on the host must be described completely.
        let device = |kind: &str, major: u64, minor: u64| {
            Ok(json!({"path": "/dev/none", "type": kind, "major": major, "minor": minor}))
        };
        let missing = || Err("/dev/none: No such file or directory (os error 2)".to_owned());
        let null = || Ok(json!({"path": "/dev/null", "type": "c", "major": 1, "minor": 3}));
        #[rustfmt::skip]
        let cases = [
            (json!({"path": "/dev/none", "type": "c", "major": 7, "minor": 8}), device("c", 7, 8)),
            (json!({"path": "/dev/none", "type": "b", "major": 7, "minor": 8}), device("b", 7, 8)),
            (json!({"path": "/dev/none", "type": "p"}), Ok(json!({"path": "/dev/none", "type": "p"}))),
            (json!({"path": "/dev/none", "type": "c", "major": 7}), missing()),
            (json!({"path": "/dev/none", "type": "c", "minor": 7}), missing()),
            (json!({"path": "/dev/none", "major": 7, "minor": 8}), missing()),
            (json!({"path": "/dev/null"}), null()),
            (json!({"path": "/dev/null", "type": "c"}), null()),
            (json!({"path": "/dev/null", "type": "c", "major": 1}), null()),
            (json!({"path": "/dev/null", "type": "b"}), Err("/dev/null: is of type c, not b".into())),
            (json!({"path": "/dev/none", "hostPath": "/dev/null", "major": 7}), device("c", 7, 3)),
            (json!({"path": "/dev/none", "hostPath": "/"}), Err("/: not a device node".into())),
        ];
        for (node, expected) in cases {
            assert_eq!(added(node.clone()), expected, "{node}");
        }
    }
}
