//! The versions of the CDI format and their features.
//!
//! A file that uses a feature of a later version than its own is rejected, as by podman's reader
//! (container-device-interface, `MinimumRequiredVersion`): another reader of the same file may
//! ignore features that it does not know, and add a device to the container without its groups.

use anyhow::bail;

use crate::rules::cdi::container_edits::{DeviceNode, Edits, MountEdit};

/// Versions of the format, oldest first. A file of a newer version may need edits that spec-gen
/// does not know.
const VERSIONS: [&str; 10] =
    ["0.1.0", "0.2.0", "0.3.0", "0.4.0", "0.5.0", "0.6.0", "0.7.0", "0.8.0", "1.0.0", "1.1.0"];

/// The features that a file uses.
pub struct Uses<'a> {
    /// The class in the file's kind.
    pub class: &'a str,
    /// Whether the file or a device has annotations.
    pub annotations: bool,
    pub devices: Vec<&'a str>,
    pub edits: Vec<&'a Edits>,
}

/// Checks that the version is known and has the features that the file uses.
///
/// # Errors
/// Returns an error that names the feature of a later version.
pub fn check(version: &str, uses: &Uses<'_>) -> anyhow::Result<()> {
    let rank = |version: &str| VERSIONS.iter().position(|v| *v == version);
    let Some(own) = rank(version) else {
        bail!(
            "cdiVersion: {version:?} is not known; the latest known version is {}",
            VERSIONS[VERSIONS.len() - 1]
        );
    };
    let any = |what: fn(&Edits) -> bool| uses.edits.iter().any(|e| what(e));
    let rdt = |e: &Edits, keys: &[&str]| {
        e.intel_rdt.as_ref().is_some_and(|rdt| keys.iter().any(|key| rdt.contains_key(*key)))
    };
    let later = [
        ("1.1.0", "netDevices", any(|e| !e.net_devices.is_empty())),
        (
            "1.1.0",
            "intelRdt.schemata and enableMonitoring",
            uses.edits.iter().any(|e| rdt(e, &["schemata", "enableMonitoring"])),
        ),
        ("0.7.0", "intelRdt", any(|e| e.intel_rdt.is_some())),
        ("0.7.0", "additionalGids", any(|e| !e.additional_gids.is_empty())),
        ("0.6.0", "annotations", uses.annotations),
        ("0.6.0", "a dot in the class of a kind", uses.class.contains('.')),
        ("0.5.0", "hostPath of deviceNodes", any(|e| e.device_nodes.iter().any(has_host_path))),
        ("0.5.0", "a device name that begins with a digit", uses.devices.iter().any(|d| digit_first(d))),
        ("0.4.0", "type of mounts", any(|e| e.mounts.iter().any(has_type))),
    ];
    for (since, what, used) in later {
        if used && rank(since) > Some(own) {
            bail!("cdiVersion: {version} does not support {what}; {since} does");
        }
    }
    Ok(())
}

fn has_host_path(node: &DeviceNode) -> bool {
    node.host_path.is_some()
}

fn has_type(mount: &MountEdit) -> bool {
    mount.kind.is_some()
}

fn digit_first(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn each_feature_needs_its_version() {
        let edits = |value: Value| serde_json::from_value::<Edits>(value).unwrap();
        let node = |more: Value| json!({"deviceNodes": [more]});
        let mount = |more: Value| json!({"mounts": [more]});
        let plain = || edits(json!({"env": ["A=1"]}));
        // The features of a file, the version that introduced them, and the version before it.
        #[rustfmt::skip]
        let cases = [
            (edits(json!({"netDevices": [{"hostInterfaceName": "a", "name": "b"}]})), "c", false, "d", "1.1.0", "1.0.0"),
            (edits(json!({"intelRdt": {"schemata": ["x"]}})), "c", false, "d", "1.1.0", "1.0.0"),
            (edits(json!({"intelRdt": {"enableMonitoring": true}})), "c", false, "d", "1.1.0", "1.0.0"),
            (edits(json!({"intelRdt": {"closID": "x"}})), "c", false, "d", "0.7.0", "0.6.0"),
            (edits(json!({"additionalGids": [5]})), "c", false, "d", "0.7.0", "0.6.0"),
            (plain(), "c", true, "d", "0.6.0", "0.5.0"),
            (plain(), "c.e", false, "d", "0.6.0", "0.5.0"),
            (edits(node(json!({"path": "/a", "hostPath": "/b"}))), "c", false, "d", "0.5.0", "0.4.0"),
            (plain(), "c", false, "0", "0.5.0", "0.4.0"),
            (edits(mount(json!({"hostPath": "/a", "containerPath": "/b", "type": "bind"}))), "c", false, "d", "0.4.0", "0.3.0"),
        ];
        for (edits, class, annotations, device, since, before) in cases {
            let uses = Uses { class, annotations, devices: vec![device], edits: vec![&edits] };
            assert!(check(since, &uses).is_ok(), "{edits:?} {since}");
            let error = check(before, &uses).unwrap_err().to_string();
            let expected = (format!("cdiVersion: {before} does not support "), format!("; {since} does"));
            assert!(error.starts_with(&expected.0) && error.ends_with(&expected.1), "{error}");
        }
        // Without these features, the first version is enough.
        for edits in [
            plain(),
            edits(node(json!({"path": "/a"}))),
            edits(mount(json!({"hostPath": "/a", "containerPath": "/b"}))),
        ] {
            let uses = Uses { class: "c", annotations: false, devices: vec!["d0"], edits: vec![&edits] };
            assert!(check("0.1.0", &uses).is_ok(), "{edits:?}");
        }
        let none = Uses { class: "c", annotations: false, devices: vec![], edits: vec![] };
        for version in ["1.2.0", "0.0.1", ""] {
            assert!(check(version, &none).unwrap_err().to_string().contains("is not known"));
        }
    }
}
