//! The keys of an archive's spec that depend on their value: harmless values are kept, values that
//! name something on the host are dropped.

use serde_json::{Value, json};

use crate::path;
use crate::rules::resources::cgroup_path;
use crate::runtime_spec::key::{self, Key};
use crate::runtime_spec::namespaces::{self, TYPES};
use crate::runtime_spec::{Spec, mounts, sysctl};

/// Annotations that runtimes obey (`potentiallyUnsafeConfigAnnotations` of runc and crun): CRIU's
/// configuration file, handlers, hook outputs, the bundle that hooks see, CDI devices, the kernel
/// of a virtual machine, the flags of a sandbox, and the file that oci-seccomp-bpf-hook writes.
/// kata and gVisor put a container into the sandbox that the CRI annotations name. An entry that
/// ends in `.` or `/` is a prefix.
const OBEYED: [&str; 15] = [
    "bundle",
    "cdi.",
    "dev.gvisor.",
    "io.containers.trace-syscall",
    "io.katacontainers.",
    "io.kubernetes.cri-o.ContainerType",
    "io.kubernetes.cri-o.SandboxID",
    "io.kubernetes.cri.container-type",
    "io.kubernetes.cri.sandbox-id",
    "io.kubernetes.docker.type",
    "io.kubernetes.sandbox.id",
    "krun.",
    "module.wasm.image/",
    "org.criu.",
    "run.oci.",
];

/// Prefix of properties of the systemd unit that runc creates. Most properties could name a unit or
/// a command of the host.
const UNIT_PROPERTY: &str = "org.systemd.property.";
/// The two properties that podman 5.4 sets on every container.
const HARMLESS_PROPERTIES: [&str; 2] = ["KillSignal", "TimeoutStopUSec"];

/// Removes annotations that runtimes obey. Returns a text for each.
pub fn annotations(spec: &mut Spec) -> Vec<String> {
    let obeyed = |key: &str| {
        if let Some(property) = key.strip_prefix(UNIT_PROPERTY) {
            return !HARMLESS_PROPERTIES.contains(&property);
        }
        OBEYED.iter().any(|o| if o.ends_with(['.', '/']) { key.starts_with(o) } else { key == *o })
    };
    remove_keys(spec, key::ANNOTATIONS, |key, _| obeyed(key))
}

/// Removes kernel parameters of the host: the parameters that belong to no namespace, or to a
/// namespace that the container shares.
pub fn kernel_parameters(spec: &mut Spec) -> Vec<String> {
    let types: Vec<&str> =
        TYPES.iter().map(|(kind, _)| *kind).filter(|kind| namespaces::find(spec, kind).is_some()).collect();
    let own = |key: &str| sysctl::namespace(key).is_some_and(|kind| types.contains(&kind));
    remove_keys(spec, key::LINUX_SYSCTL, |key, _| !own(key))
}

/// Controllers whose files only limit the container's own cgroup. rdma names adapters of the host.
const CONTROLLERS: [&str; 7] = ["cpu", "cpuset", "hugetlb", "io", "memory", "misc", "pids"];

/// Removes cgroup v2 files that affect the host: `cgroup.procs` moves any process,
/// `cpuset.cpus.partition` takes processors from all other cgroups, and `io.*` names disks by
/// number.
pub fn unified(spec: &mut Spec) -> Vec<String> {
    let harmless = |key: &str, value: &str| match key.split_once('.') {
        _ if key.contains('/') => false,
        Some(("cpuset", file)) => matches!(file, "cpus" | "mems"),
        Some(("io", _)) => !value.contains(':'),
        Some((controller, _)) => CONTROLLERS.contains(&controller),
        None => false,
    };
    remove_keys(spec, key::LINUX_RESOURCES_UNIFIED, |key, value| {
        !harmless(key, value.as_str().unwrap_or_default())
    })
}

/// Removes the keys of the object `map` for which `drop` returns true, and the object if none
/// is left.
fn remove_keys(spec: &mut Spec, map: Key, drop: impl Fn(&str, &Value) -> bool) -> Vec<String> {
    let Some(object) = spec.get(map).and_then(Value::as_object) else { return Vec::new() };
    let keys: Vec<String> = object.iter().filter(|(k, v)| drop(k, v)).map(|(k, _)| k.clone()).collect();
    if keys.is_empty() {
        return Vec::new();
    }
    let object = spec.object(map);
    for key in &keys {
        object.shift_remove(key);
    }
    if object.is_empty() {
        spec.remove(map);
    }
    keys.iter().map(|key| format!("{map}: {key}: dropped")).collect()
}

/// Removes options that make a mount of the container appear on the host.
pub fn propagation(spec: &mut Spec) -> Vec<String> {
    const SHARED: [&str; 2] = ["shared", "rshared"];
    const OWN: [&str; 6] = ["private", "rprivate", "slave", "rslave", "unbindable", "runbindable"];
    let mut dropped = Vec::new();
    if let Some(mode) = spec.text(key::LINUX_ROOTFS_PROPAGATION).filter(|mode| !OWN.contains(mode)) {
        dropped.push(format!("linux.rootfsPropagation: {mode}: dropped"));
        spec.remove(key::LINUX_ROOTFS_PROPAGATION);
    }
    // Accessing the list for changes would add an empty one to a spec without mounts.
    if spec.mounts().is_empty() {
        return dropped;
    }
    for mount in spec.mounts_mut() {
        let (keep, gone): (Vec<String>, Vec<String>) =
            mounts::options(mount).map(str::to_owned).partition(|o| !SHARED.contains(&o.as_str()));
        for option in &gone {
            dropped.push(format!("mounts: {}: option {option}: dropped", mounts::destination(mount)));
        }
        if !gone.is_empty() {
            mounts::set_options(mount, keep);
        }
    }
    dropped
}

/// Removes a cgroup path that the archive chose, because it may be any cgroup of the host.
///
/// `given`: a flag sets the path, so nothing is lost. `id`: the default path of an engine
/// gets this container ID later.
pub fn cgroups_path(spec: &mut Spec, given: bool, id: Option<&str>) -> Vec<String> {
    let Some(path) = spec.text(key::LINUX_CGROUPS_PATH).map(str::to_owned) else { return Vec::new() };
    if id.is_some() && cgroup_path::is_default_path(&path) {
        return Vec::new();
    }
    spec.remove(key::LINUX_CGROUPS_PATH);
    if given {
        return Vec::new();
    }
    vec![format!("linux.cgroupsPath: {path}: dropped; --cgroups-path sets a path")]
}

/// Device numbers that are the same on every host and give no access to hardware.
const PSEUDO_DEVICES: [(i64, i64); 9] =
    [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 2), (10, 200), (10, 229)];
/// Terminals of the container's own devpts. The console, whose number Docker allows in every
/// container, is a bind mount.
const PTS: i64 = 136;
const CONSOLE: (i64, i64) = (5, 1);

/// Removes devices of the host, and the rules that allow them. `given` holds the destinations of
/// `--device`.
pub fn devices(spec: &mut Spec, given: &[String]) -> Vec<String> {
    let number = |value: &Value, key: &str| value.get(key).and_then(Value::as_i64);
    let text =
        |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut dropped = Vec::new();
    let harmless = |device: &Value| match text(device, "type").as_str() {
        "p" => true,
        "c" | "u" => {
            number(device, "major").zip(number(device, "minor")).is_some_and(|n| PSEUDO_DEVICES.contains(&n))
        }
        _ => false,
    };
    let gone: Vec<Value> = spec.list(key::LINUX_DEVICES).iter().filter(|d| !harmless(d)).cloned().collect();
    if !gone.is_empty() {
        spec.list_mut(key::LINUX_DEVICES).retain(|d| harmless(d));
    }
    for device in &gone {
        let path = text(device, "path");
        if !given.contains(&path::clean(&path)) {
            dropped.push(format!("linux.devices: {path}: dropped; --device {path} adds the host's"));
        }
    }
    let allows_host = |rule: &Value| {
        let allows = rule.get("allow").and_then(Value::as_bool).unwrap_or(false);
        let numbers = (number(rule, "major").unwrap_or(-1), number(rule, "minor").unwrap_or(-1));
        let pseudo = text(rule, "type") == "c"
            && (PSEUDO_DEVICES.contains(&numbers) || numbers == CONSOLE || numbers.0 == PTS);
        // For a rule about all types, the kernel and runc ignore the access field and allow
        // everything.
        let wild = matches!(text(rule, "type").as_str(), "" | "a");
        allows && (wild || text(rule, "access") != "m") && !pseudo
    };
    let is_given = |rule: &Value| {
        let same = |key: &str, device: &Value| number(rule, key) == number(device, key);
        gone.iter()
            .any(|d| given.contains(&path::clean(&text(d, "path"))) && same("major", d) && same("minor", d))
    };
    let rules = spec.list(key::LINUX_RESOURCES_DEVICES).to_vec();
    for rule in rules.iter().filter(|rule| allows_host(rule) && !is_given(rule)) {
        let shown = |key: &str| number(rule, key).filter(|n| *n >= 0).map_or("*".into(), |n| n.to_string());
        let kind = Some(text(rule, "type")).filter(|kind| !kind.is_empty()).unwrap_or("a".into());
        dropped.push(format!(
            "linux.resources.devices: {kind} {}:{} {}: dropped",
            shown("major"),
            shown("minor"),
            text(rule, "access")
        ));
    }
    if rules.iter().any(allows_host) {
        let list = spec.list_mut(key::LINUX_RESOURCES_DEVICES);
        list.retain(|rule| !allows_host(rule));
        // Without a rule that denies all other devices, a runtime may leave them allowed.
        let denies_all = |rule: &Value| {
            rule.get("allow") == Some(&json!(false))
                && matches!(text(rule, "type").as_str(), "" | "a")
                && number(rule, "major").unwrap_or(-1) < 0
                && number(rule, "minor").unwrap_or(-1) < 0
        };
        if !list.first().is_some_and(denies_all) {
            list.insert(0, json!({ "allow": false, "access": "rwm" }));
        }
    }
    dropped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rules_that_allow_devices_of_the_host_are_dropped() {
        let deny = json!({"allow": false, "access": "rwm"});
        let rule = |kind: &str, major: i64, minor: i64, access: &str| json!({"allow": true, "type": kind, "major": major, "minor": minor, "access": access});
        #[rustfmt::skip]
        let harmless = [
            rule("c", 1, 3, "rwm"), rule("c", 10, 229, "rw"), rule("c", 5, 1, "rwm"), rule("c", 136, -1, "rwm"), rule("c", 136, 7, "r"),
            rule("c", -1, -1, "m"), rule("b", 8, 0, "m"), json!({"allow": false, "type": "b", "major": 8, "access": "rwm"}), deny.clone(),
            json!({"type": "b", "access": "rwm"}),
        ];
        for rule in harmless {
            let before = json!({"linux": {"resources": {"devices": [rule]}}});
            let mut spec = Spec::new(before.clone());
            assert_eq!(devices(&mut spec, &[]), [""; 0], "{rule}");
            assert_eq!(spec.value(), &before);
        }
        #[rustfmt::skip]
        let of_the_host = [
            (rule("b", 8, 0, "r"), "b 8:0 r"), (rule("b", 1, 3, "rwm"), "b 1:3 rwm"), (rule("c", 1, 1, "rwm"), "c 1:1 rwm"),
            (rule("c", 5, -1, "rwm"), "c 5:* rwm"), (rule("c", -1, 3, "rwm"), "c *:3 rwm"), (rule("b", 136, 0, "w"), "b 136:0 w"),
            (rule("a", 1, 3, "m"), "a 1:3 m"), (json!({"allow": true, "access": "m"}), "a *:* m"), (rule("c", 0, 0, "r"), "c 0:0 r"),
        ];
        for (rule, shown) in of_the_host {
            // The first rule must deny all devices after the removal.
            #[rustfmt::skip]
            let first = [
                (deny.clone(), true),
                (json!({"allow": false, "type": "a", "major": -1, "minor": -1, "access": "rwm"}), true),
                (json!({"allow": false, "type": "c", "access": "rwm"}), false),
                (json!({"allow": false, "major": 0, "access": "rwm"}), false),
                (json!({"allow": false, "minor": 0, "access": "rwm"}), false),
                (json!({"allow": false, "major": 8, "minor": 1, "access": "rwm"}), false),
                (json!({"type": "a", "access": "rwm"}), false),
            ];
            for (first, denies_all) in first {
                let mut spec = Spec::new(json!({"linux": {"resources": {"devices": [first, rule]}}}));
                let dropped = devices(&mut spec, &[]);
                assert_eq!(dropped, [format!("linux.resources.devices: {shown}: dropped")]);
                let left = if denies_all { vec![first] } else { vec![deny.clone(), first] };
                assert_eq!(spec.list(key::LINUX_RESOURCES_DEVICES), left, "{rule}");
            }
        }
    }

    #[test]
    fn only_pseudo_devices_are_kept() {
        let device = |kind: &str, major: i64, minor: i64| json!({"path": "/dev/x/", "type": kind, "major": major, "minor": minor});
        let fifo = json!({"path": "/dev/x", "type": "p"});
        for device in [device("c", 1, 5), device("u", 10, 200), fifo] {
            let mut spec = Spec::new(json!({"linux": {"devices": [device]}}));
            assert_eq!(devices(&mut spec, &[]), [""; 0], "{device}");
            assert_eq!(spec.list(key::LINUX_DEVICES).len(), 1);
        }
        let rules = json!([{"allow": true, "type": "b", "major": 8, "minor": 1, "access": "r"}]);
        let of_the_host = [(8, 1), (8, 2), (1, 3)].map(|(major, minor)| device("b", major, minor));
        for device in of_the_host.into_iter().chain([device("c", 1, 1), device("c", 136, 0)]) {
            let mut spec = Spec::new(json!({"linux": {"devices": [device]}}));
            let expected = "linux.devices: /dev/x/: dropped; --device /dev/x/ adds the host's";
            assert_eq!(devices(&mut spec, &[]), [expected], "{device}");
            assert_eq!(spec.list(key::LINUX_DEVICES).len(), 0);
            // A device that a flag adds again is not reported, and neither is its rule.
            let mut spec =
                Spec::new(json!({"linux": {"devices": [device], "resources": {"devices": rules}}}));
            let same = device["major"] == 8 && device["minor"] == 1;
            assert_eq!(devices(&mut spec, &["/dev/x".into()]).len(), usize::from(!same), "{device}");
            assert_eq!(spec.list(key::LINUX_RESOURCES_DEVICES), [json!({"allow": false, "access": "rwm"})]);
        }
    }
}
