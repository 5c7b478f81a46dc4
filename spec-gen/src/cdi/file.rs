//! A vendor's file: the kind of its devices, the edits for all of them and those of each.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use checkpoint::json::Unique;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::version;
use crate::shape;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Edits {
    pub env: Vec<String>,
    pub device_nodes: Vec<DeviceNode>,
    pub net_devices: Vec<NetDevice>,
    pub hooks: Vec<HookEdit>,
    pub mounts: Vec<MountEdit>,
    pub intel_rdt: Option<Map<String, Value>>,
    pub additional_gids: Vec<u32>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeviceNode {
    pub path: String,
    pub host_path: Option<String>,
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub major: Option<u64>,
    pub minor: Option<u64>,
    pub file_mode: Option<u32>,
    pub permissions: Option<String>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NetDevice {
    pub host_interface_name: String,
    pub name: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HookEdit {
    pub hook_name: String,
    pub path: String,
    #[serde(default)]
    pub args: Vec<String>,
    #[serde(default)]
    pub env: Vec<String>,
    pub timeout: Option<i32>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MountEdit {
    pub host_path: String,
    pub container_path: String,
    #[serde(rename = "type")]
    pub kind: Option<String>,
    #[serde(default)]
    pub options: Vec<String>,
}

/// A file: its edits for every user of one of its devices, and each device's.
#[derive(Debug)]
pub struct Vendor {
    pub file: String,
    pub edits: Edits,
    pub devices: BTreeMap<String, Edits>,
}

/// Whether a `--device` names a CDI device and not a path.
pub fn is_device_name(text: &str) -> bool {
    split_name(text).is_some()
}

/// The kind and the device of a full name, `VENDOR/CLASS=DEVICE`.
pub fn split_name(text: &str) -> Option<(&str, &str)> {
    let (kind, device) = text.split_once('=')?;
    let (vendor, class) = kind.split_once('/')?;
    let word = |s: &str, extra: &str| {
        s.starts_with(|c: char| c.is_ascii_alphanumeric())
            && s.chars().all(|c| c.is_ascii_alphanumeric() || extra.contains(c))
    };
    (word(vendor, "_-.") && word(class, "_-.") && word(device, "_-.:")).then_some((kind, device))
}

/// Reads a vendor's file: its kind and what it has.
///
/// # Errors
/// Names the key that is no part of a CDI specification.
pub fn read(path: &Path) -> anyhow::Result<(String, Vendor)> {
    let text = cli::read_document(fs::File::open(path)?, &cli::name(path), 4 << 20)?;
    document(&text, path.extension().is_some_and(|e| e == "yaml"), cli::name(path))
}

/// The same from its text; `file` is its name in messages.
///
/// # Errors
/// As [`read`].
pub fn document(text: &[u8], is_yaml: bool, file: String) -> anyhow::Result<(String, Vendor)> {
    let value = if is_yaml {
        serde_yaml_ng::from_slice::<Unique>(text).context("not valid YAML")?.into()
    } else {
        checkpoint::json::document(text)?
    };
    parse(&value, file)
}

fn parse(value: &Value, file: String) -> anyhow::Result<(String, Vendor)> {
    let text = |key: &str| {
        value.get(key).and_then(Value::as_str).with_context(|| format!("{key}: missing, a string is wanted"))
    };
    let cdi_version = text("cdiVersion")?;
    let kind = text("kind")?;
    if split_name(&format!("{kind}=x")).is_none() {
        bail!("kind: {kind:?}: VENDOR/CLASS is wanted");
    }
    let edits = edits_of(value.get("containerEdits")).context("containerEdits")?;
    let mut devices = BTreeMap::new();
    let list =
        value.get("devices").and_then(Value::as_array).context("devices: missing, an array is wanted")?;
    for (i, device) in list.iter().enumerate() {
        let name = device.get("name").and_then(Value::as_str);
        let name = name.with_context(|| format!("devices[{i}].name: missing, a string is wanted"))?;
        if split_name(&format!("{kind}={name}")).is_none() {
            bail!("devices[{i}].name: {name:?}: not a device name");
        }
        let edits =
            edits_of(device.get("containerEdits")).with_context(|| format!("devices[{i}].containerEdits"))?;
        if devices.insert(name.to_owned(), edits).is_some() {
            bail!("devices[{i}].name: {name:?} is given twice");
        }
    }
    let has_annotations =
        |v: &Value| v.get("annotations").and_then(Value::as_object).is_some_and(|a| !a.is_empty());
    let uses = version::Uses {
        class: kind.split_once('/').map_or("", |(_, class)| class),
        annotations: has_annotations(value) || list.iter().any(has_annotations),
        devices: devices.keys().map(String::as_str).collect(),
        edits: std::iter::once(&edits).chain(devices.values()).collect(),
    };
    version::check(cdi_version, &uses)?;
    Ok((kind.to_owned(), Vendor { file, edits, devices }))
}

fn edits_of(value: Option<&Value>) -> anyhow::Result<Edits> {
    match value {
        None | Some(Value::Null) => Ok(Edits::default()),
        Some(value) => shape::typed(value),
    }
}
