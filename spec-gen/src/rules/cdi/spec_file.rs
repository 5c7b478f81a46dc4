//! Reads a vendor's file: the kind of its devices, the edits for all devices, and the edits for
//! each device.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use serde_json::Value;
use strict_json::Unique;

use crate::json_fields::typed;
use crate::notation::device::split_name;
use crate::rules::cdi::container_edits::Edits;
use crate::rules::cdi::version;

/// The content of a file: the edits for every container that uses one of its devices, and the edits
/// for each device.
#[derive(Debug)]
pub struct Vendor {
    pub file: String,
    pub edits: Edits,
    pub devices: BTreeMap<String, Edits>,
}

/// Reads a vendor's file. Returns the kind and the content.
///
/// # Errors
/// Returns an error that names the key that is not part of the CDI format.
pub fn read(path: &Path) -> anyhow::Result<(String, Vendor)> {
    let text = cli::read_document(fs::File::open(path)?, &cli::display_path(path), 4 << 20)?;
    document(&text, path.extension().is_some_and(|e| e == "yaml"), cli::display_path(path))
}

/// Like [`read`], from text. `file` is the name of the file in messages.
///
/// # Errors
/// Returns the same errors as [`read`].
pub fn document(text: &[u8], is_yaml: bool, file: String) -> anyhow::Result<(String, Vendor)> {
    let value = if is_yaml {
        serde_yaml_ng::from_slice::<Unique>(text).context("not valid YAML")?.into()
    } else {
        strict_json::document(text)?
    };
    parse(&value, file)
}

fn parse(value: &Value, file: String) -> anyhow::Result<(String, Vendor)> {
    let text = |key: &str| {
        value.get(key).and_then(Value::as_str).with_context(|| format!("{key}: missing, expected a string"))
    };
    let cdi_version = text("cdiVersion")?;
    let kind = text("kind")?;
    if split_name(&format!("{kind}=x")).is_none() {
        bail!("kind: {kind:?}: expected VENDOR/CLASS");
    }
    let edits = edits_of(value.get("containerEdits")).context("containerEdits")?;
    let mut devices = BTreeMap::new();
    let list =
        value.get("devices").and_then(Value::as_array).context("devices: missing, expected an array")?;
    for (i, device) in list.iter().enumerate() {
        let name = device.get("name").and_then(Value::as_str);
        let name = name.with_context(|| format!("devices[{i}].name: missing, expected a string"))?;
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
        Some(value) => typed(value),
    }
}
