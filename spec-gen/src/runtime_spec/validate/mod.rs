//! `--validate`: checks the result against the runtime-spec, with oci-spec's types and with the
//! rules that types cannot express.

mod limits;
mod words;

use std::collections::BTreeSet;

use cli::Session;
use serde_json::Value;

use crate::runtime_spec::key;
use crate::runtime_spec::{Spec, mounts, namespaces};

pub use limits::is_page_size;

/// Checks the spec. Reports each fault with its JSON path.
///
/// # Errors
/// Returns an error if there is a fault.
pub fn check(spec: &Spec, name: &str, session: &Session) -> anyhow::Result<()> {
    let faults = faults(spec);
    let Some((last, others)) = faults.split_last() else { return Ok(()) };
    for fault in others {
        session.error(format_args!("{name}: {fault}"));
    }
    anyhow::bail!("{name}: {last}")
}

/// Returns every fault of the spec, with its JSON path.
pub fn faults(spec: &Spec) -> Vec<String> {
    let mut faults = Vec::new();
    // Converts through text, because oci-spec reads capabilities only from borrowed strings.
    let mut document = spec.value().clone();
    words::check(&mut document, &mut faults);
    words::remove_checked_lists(&mut document);
    let text = document.to_string();
    let mut reader = serde_json::Deserializer::from_str(&text);
    if let Err(e) = serde_path_to_error::deserialize::<_, oci_spec::runtime::Spec>(&mut reader) {
        let reason = e.inner().to_string();
        let reason = reason.split(" at line ").next().unwrap_or_default();
        faults.push(format!("{}: {reason}", e.path()));
    }
    top_level(spec, &mut faults);
    process(spec, &mut faults);
    mount_list(spec, &mut faults);
    namespace_list(spec, &mut faults);
    linux(spec, &mut faults);
    hooks(spec, &mut faults);
    limits::check(spec, &mut faults);
    faults
}

fn top_level(spec: &Spec, faults: &mut Vec<String>) {
    match spec.text(key::OCI_VERSION) {
        None => faults.push("ociVersion: missing".into()),
        Some(version) => {
            let core = version.split(['-', '+']).next().unwrap_or_default();
            let numbers: Vec<&str> = core.split('.').collect();
            if numbers.len() != 3 || numbers.iter().any(|n| n.parse::<u32>().is_err()) {
                faults.push(format!("ociVersion: {version:?} is not a semantic version"));
            }
        }
    }
    if spec.text(key::ROOT_PATH).is_none() {
        faults.push("root.path: missing".into());
    }
    if spec.get(key::ANNOTATIONS).and_then(Value::as_object).is_some_and(|a| a.contains_key("")) {
        faults.push("annotations: a key is empty".into());
    }
}

fn process(spec: &Spec, faults: &mut Vec<String>) {
    if spec.get(key::PROCESS).is_none() {
        return;
    }
    if spec.list(key::PROCESS_ARGS).is_empty() {
        faults.push("process.args: empty: no command to start".into());
    }
    match spec.text(key::PROCESS_CWD) {
        Some(cwd) if cwd.starts_with('/') => {}
        Some(cwd) => faults.push(format!("process.cwd: {cwd:?} is not absolute")),
        None => faults.push("process.cwd: missing".into()),
    }
    for (i, entry) in spec.texts(key::PROCESS_ENV).iter().enumerate() {
        if !entry.contains('=') || entry.starts_with('=') {
            faults.push(format!("process.env[{i}]: {entry:?} is not NAME=VALUE"));
        }
    }
    let mut seen = BTreeSet::new();
    for (i, limit) in spec.list(key::PROCESS_RLIMITS).iter().enumerate() {
        let kind = limit.get("type").and_then(Value::as_str).unwrap_or_default();
        if !seen.insert(kind) {
            faults.push(format!("process.rlimits[{i}].type: {kind} is given twice"));
        }
        let number = |key: &str| limit.get(key).and_then(Value::as_u64);
        if number("soft") > number("hard") {
            faults.push(format!("process.rlimits[{i}].soft: above the hard limit"));
        }
    }
}

fn mount_list(spec: &Spec, faults: &mut Vec<String>) {
    for (i, mount) in spec.mounts().iter().enumerate() {
        if !mounts::destination(mount).starts_with('/') {
            faults.push(format!("mounts[{i}].destination: {:?} is not absolute", mounts::destination(mount)));
        }
        if mounts::is_bind(mount) && mounts::source(mount).is_empty() {
            faults.push(format!("mounts[{i}].source: missing: a bind mount needs a source"));
        }
        if mount.get("uidMappings").is_some() != mount.get("gidMappings").is_some() {
            faults.push(format!("mounts[{i}]: uidMappings and gidMappings require each other"));
        }
    }
}

fn namespace_list(spec: &Spec, faults: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    for (i, namespace) in spec.list(key::LINUX_NAMESPACES).iter().enumerate() {
        let kind = namespace.get("type").and_then(Value::as_str).unwrap_or_default();
        if !namespaces::TYPES.iter().any(|(name, _)| *name == kind) {
            faults.push(format!("linux.namespaces[{i}].type: {kind:?} is not a type of namespace"));
        }
        if !seen.insert(kind) {
            faults.push(format!("linux.namespaces[{i}].type: {kind} is given twice"));
        }
        if namespaces::path(namespace).is_some_and(|p| !p.starts_with('/')) {
            faults.push(format!("linux.namespaces[{i}].path: not absolute"));
        }
    }
    let needs = [
        (key::HOSTNAME, "uts"),
        (key::DOMAINNAME, "uts"),
        (key::LINUX_UID_MAPPINGS, "user"),
        (key::LINUX_GID_MAPPINGS, "user"),
        (key::LINUX_TIME_OFFSETS, "time"),
    ];
    for (key, kind) in needs {
        let empty = spec.get(key).is_none_or(|v| v.as_array().is_some_and(Vec::is_empty) || v == "");
        if !empty && !seen.contains(kind) {
            faults.push(format!("{key}: needs a namespace of type {kind}"));
        }
    }
}

fn linux(spec: &Spec, faults: &mut Vec<String>) {
    for key in [key::LINUX_MASKED_PATHS, key::LINUX_READONLY_PATHS] {
        for (i, path) in spec.texts(key).iter().enumerate().filter(|(_, p)| !p.starts_with('/')) {
            faults.push(format!("{key}[{i}]: {path:?} is not absolute"));
        }
    }
    for (i, device) in spec.list(key::LINUX_DEVICES).iter().enumerate() {
        let text = |key: &str| device.get(key).and_then(Value::as_str).unwrap_or_default();
        if !text("path").starts_with('/') {
            faults.push(format!("linux.devices[{i}].path: {:?} is not absolute", text("path")));
        }
        if text("type") != "p" && (device.get("major").is_none() || device.get("minor").is_none()) {
            faults.push(format!("linux.devices[{i}]: major and minor are missing"));
        }
    }
}

fn hooks(spec: &Spec, faults: &mut Vec<String>) {
    for (stage, list) in spec.get(key::HOOKS).and_then(Value::as_object).into_iter().flatten() {
        for (i, hook) in list.as_array().into_iter().flatten().enumerate() {
            if !hook.get("path").and_then(Value::as_str).is_some_and(|p| p.starts_with('/')) {
                faults.push(format!("hooks.{stage}[{i}].path: not absolute"));
            }
            if hook.get("timeout").and_then(Value::as_i64).is_some_and(|t| t <= 0) {
                faults.push(format!("hooks.{stage}[{i}].timeout: not above 0"));
            }
        }
    }
}
