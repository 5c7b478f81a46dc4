//! `--validate`: the result against the runtime-spec, by oci-spec's types and by the rules types cannot hold.

mod enums;
mod limits;

use std::collections::BTreeSet;

use cli::Session;
use serde_json::Value;

use crate::mounts;
use crate::namespaces;
use crate::spec::Spec;

pub use limits::is_page_size;

/// Checks the spec; each fault is reported with its JSON path.
///
/// # Errors
/// When there is a fault.
pub fn check(spec: &Spec, name: &str, session: &Session) -> anyhow::Result<()> {
    let faults = faults(spec);
    let Some((last, others)) = faults.split_last() else { return Ok(()) };
    for fault in others {
        session.error(format_args!("{name}: {fault}"));
    }
    anyhow::bail!("{name}: {last}")
}

fn faults(spec: &Spec) -> Vec<String> {
    let mut faults = Vec::new();
    // Through text: oci-spec's capabilities are read from strings a Value would have to lend.
    let mut document = spec.value().clone();
    enums::check(&mut document, &mut faults);
    enums::remove_checked_lists(&mut document);
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
    match spec.text("ociVersion") {
        None => faults.push("ociVersion: missing".into()),
        Some(version) => {
            let core = version.split(['-', '+']).next().unwrap_or_default();
            let numbers: Vec<&str> = core.split('.').collect();
            if numbers.len() != 3 || numbers.iter().any(|n| n.parse::<u32>().is_err()) {
                faults.push(format!("ociVersion: {version:?} is no semantic version"));
            }
        }
    }
    if spec.text("root.path").is_none() {
        faults.push("root.path: missing".into());
    }
    if spec.get("annotations").and_then(Value::as_object).is_some_and(|a| a.contains_key("")) {
        faults.push("annotations: a key is empty".into());
    }
}

fn process(spec: &Spec, faults: &mut Vec<String>) {
    if spec.get("process").is_none() {
        return;
    }
    if spec.list("process.args").is_empty() {
        faults.push("process.args: empty, there is nothing to start".into());
    }
    match spec.text("process.cwd") {
        Some(cwd) if cwd.starts_with('/') => {}
        Some(cwd) => faults.push(format!("process.cwd: {cwd:?} is not absolute")),
        None => faults.push("process.cwd: missing".into()),
    }
    for (i, entry) in spec.texts("process.env").iter().enumerate() {
        if !entry.contains('=') || entry.starts_with('=') {
            faults.push(format!("process.env[{i}]: {entry:?} is not NAME=VALUE"));
        }
    }
    let mut seen = BTreeSet::new();
    for (i, limit) in spec.list("process.rlimits").iter().enumerate() {
        let kind = limit.get("type").and_then(Value::as_str).unwrap_or_default();
        if !seen.insert(kind) {
            faults.push(format!("process.rlimits[{i}].type: {kind} is there twice"));
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
            faults.push(format!("mounts[{i}].source: missing, and the mount is a bind mount"));
        }
        if mount.get("uidMappings").is_some() != mount.get("gidMappings").is_some() {
            faults.push(format!("mounts[{i}]: uidMappings and gidMappings only come together"));
        }
    }
}

fn namespace_list(spec: &Spec, faults: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    for (i, namespace) in spec.list("linux.namespaces").iter().enumerate() {
        let kind = namespace.get("type").and_then(Value::as_str).unwrap_or_default();
        if !namespaces::TYPES.iter().any(|(name, _)| *name == kind) {
            faults.push(format!("linux.namespaces[{i}].type: {kind:?} is no namespace"));
        }
        if !seen.insert(kind) {
            faults.push(format!("linux.namespaces[{i}].type: {kind} is there twice"));
        }
        if namespaces::path(namespace).is_some_and(|p| !p.starts_with('/')) {
            faults.push(format!("linux.namespaces[{i}].path: not absolute"));
        }
    }
    let needs = [
        ("hostname", "uts"),
        ("domainname", "uts"),
        ("linux.uidMappings", "user"),
        ("linux.gidMappings", "user"),
        ("linux.timeOffsets", "time"),
    ];
    for (key, kind) in needs {
        let empty = spec.get(key).is_none_or(|v| v.as_array().is_some_and(Vec::is_empty) || v == "");
        if !empty && !seen.contains(kind) {
            faults.push(format!("{key}: needs a namespace of type {kind}"));
        }
    }
}

fn linux(spec: &Spec, faults: &mut Vec<String>) {
    for key in ["linux.maskedPaths", "linux.readonlyPaths"] {
        for (i, path) in spec.texts(key).iter().enumerate().filter(|(_, p)| !p.starts_with('/')) {
            faults.push(format!("{key}[{i}]: {path:?} is not absolute"));
        }
    }
    for (i, device) in spec.list("linux.devices").iter().enumerate() {
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
    for (stage, list) in spec.get("hooks").and_then(Value::as_object).into_iter().flatten() {
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::cgroups::Version;
    use crate::default;

    use super::*;

    #[test]
    fn the_default_spec_is_sound() {
        for version in [Version::V1, Version::V2] {
            assert_eq!(faults(&Spec::new(default::spec(version))), Vec::<String>::new());
        }
        let mut rootless = default::spec(Version::V2);
        default::make_rootless(&mut rootless, 1000, 1000);
        assert_eq!(faults(&Spec::new(rootless)), Vec::<String>::new());
    }

    #[test]
    fn everything_that_the_runtime_spec_allows_is_sound() {
        #[rustfmt::skip]
        let cases = [
            ("process.scheduler", json!({"policy": "SCHED_RR", "priority": 5, "flags": ["SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_UTIL_CLAMP_MAX"]})),
            ("process.scheduler", json!({"policy": "SCHED_DEADLINE", "runtime": 1, "deadline": 2, "period": 3, "flags": ["SCHED_FLAG_DL_OVERRUN", "SCHED_FLAG_RECLAIM"]})),
            ("process.scheduler", json!({"policy": "SCHED_BATCH", "nice": -20, "flags": ["SCHED_FLAG_KEEP_POLICY", "SCHED_FLAG_KEEP_PARAMS", "SCHED_FLAG_UTIL_CLAMP_MIN"]})),
            ("process.ioPriority", json!({"class": "IOPRIO_CLASS_IDLE", "priority": 7})),
            ("process.execCPUAffinity", json!({"initial": "0, 2-3", "final": "7"})),
            ("process.oomScoreAdj", json!(-1000)),
            ("process.capabilities.bounding", json!(["CAP_CHECKPOINT_RESTORE", "CAP_BPF"])),
            ("linux.personality", json!({"domain": "LINUX32"})),
            ("linux.rootfsPropagation", json!("runbindable")),
            ("linux.memoryPolicy", json!({"mode": "MPOL_WEIGHTED_INTERLEAVE", "nodes": "0-1", "flags": ["MPOL_F_STATIC_NODES"]})),
            ("linux.seccomp", json!({"defaultAction": "SCMP_ACT_LOG", "architectures": ["SCMP_ARCH_LOONGARCH64", "SCMP_ARCH_RISCV64", "SCMP_ARCH_SHEB"],
                "flags": ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"], "syscalls": [{"names": ["x"], "action": "SCMP_ACT_NOTIFY",
                "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_MASKED_EQ"}]}]})),
            ("linux.netDevices", json!({"eth0": {"name": "lan0"}, "eth1": {}})),
            ("linux.sysctl", json!({"net.ipv4.ip_forward": "1", "kernel.shm_rmid_forced": "1", "fs.mqueue.msg_max": "1"})),
            ("linux.intelRdt", json!({"closID": "web", "memBwSchema": "MB:0=20", "schemata": ["L3:0=f"], "enableMonitoring": true})),
            ("linux.resources.hugepageLimits", json!([{"pageSize": "64KB", "limit": 1}, {"pageSize": "2MB", "limit": 1}, {"pageSize": "16GB", "limit": 1}])),
            ("linux.resources.cpu", json!({"cpus": "0-3,7", "mems": "0", "idle": 1, "burst": 1})),
            ("linux.resources.memory", json!({"limit": 5, "swap": 5, "swappiness": 100})),
            ("linux.resources.memory", json!({"limit": 5, "swap": -1})),
            ("linux.devices", json!([{"path": "/dev/x", "type": "u", "major": 1, "minor": 3}, {"path": "/dev/p", "type": "p"}])),
        ];
        for (path, value) in cases {
            let mut spec = Spec::new(default::spec(Version::V1));
            spec.set(path, value.clone());
            assert_eq!(faults(&spec), Vec::<String>::new(), "{path}: {value}");
        }
    }

    #[test]
    fn what_no_runtime_accepts_has_its_path() {
        #[rustfmt::skip]
        let cases = [
            ("process.scheduler", json!({"policy": "SCHED_RR", "flags": ["SCHED_RESET_ON_FORK"]}), "process.scheduler.flags[0]: \"SCHED_RESET_ON_FORK\" is not one of SCHED_FLAG_RESET_ON_FORK, "),
            ("process.scheduler", json!({"policy": "SCHED_FAST"}), "process.scheduler.policy: \"SCHED_FAST\" is not one of SCHED_OTHER, "),
            ("process.scheduler", json!({"priority": 5}), "process.scheduler.policy: missing"),
            ("process.scheduler", json!({"policy": "SCHED_OTHER", "priority": 5}), "process.scheduler.priority: only with SCHED_FIFO or SCHED_RR, not with SCHED_OTHER"),
            ("process.scheduler", json!({"policy": "SCHED_RR", "runtime": 5}), "process.scheduler.runtime: only with SCHED_DEADLINE"),
            ("process.scheduler", json!({"policy": "SCHED_OTHER", "nice": 20}), "process.scheduler.nice: 20 is not from -20 to 19"),
            ("process.ioPriority", json!({"class": "IOPRIO_CLASS_NONE"}), "process.ioPriority.class: \"IOPRIO_CLASS_NONE\" is not one of"),
            ("process.ioPriority", json!({"class": "IOPRIO_CLASS_BE", "priority": 8}), "process.ioPriority.priority: 8 is not from 0 to 7"),
            ("process.execCPUAffinity", json!({"initial": "a"}), "process.execCPUAffinity.initial: \"a\": expected numbers"),
            ("process.oomScoreAdj", json!(1001), "process.oomScoreAdj: 1001 is not from -1000 to 1000"),
            ("process.capabilities.bounding", json!(["KILL"]), "process.capabilities.bounding[0]: \"KILL\" is not one of CAP_CHOWN, "),
            ("linux.personality", json!({"domain": "BSD"}), "linux.personality.domain: \"BSD\" is not one of LINUX, LINUX32"),
            ("linux.memoryPolicy", json!({"mode": "MPOL_NEAR"}), "linux.memoryPolicy.mode: \"MPOL_NEAR\""),
            ("linux.memoryPolicy", json!({"mode": "MPOL_BIND", "nodes": "3-1"}), "linux.memoryPolicy.nodes: \"3-1\": 3-1: the range ends before it starts"),
            ("linux.seccomp", json!({"defaultAction": "SCMP_ACT_DENY"}), "linux.seccomp.defaultAction: \"SCMP_ACT_DENY\""),
            ("linux.seccomp", json!({"defaultAction": "SCMP_ACT_LOG", "architectures": ["x86_64"]}), "linux.seccomp.architectures[0]: \"x86_64\""),
            ("linux.netDevices", json!({"a/b": {}}), "linux.netDevices.a/b: \"a/b\" is not the name of an interface"),
            ("linux.netDevices", json!({"eth0": {"name": "a-name-of-16-byte"}}), "linux.netDevices.eth0: \"a-name-of-16-byte\""),
            ("linux.sysctl", json!({"kernel.core_pattern": "x"}), "linux.sysctl.kernel.core_pattern: in no namespace"),
            ("linux.sysctl", json!({"user.max_user_namespaces": "1"}), "linux.sysctl.user.max_user_namespaces: needs a namespace of type user"),
            ("linux.intelRdt", json!({"closID": "a/b"}), "linux.intelRdt.closID: \"a/b\""),
            ("linux.intelRdt", json!({"memBwSchema": "L3:0=f"}), "linux.intelRdt.memBwSchema: "),
            ("linux.resources.hugepageLimits", json!([{"pageSize": "2M", "limit": 1}]), "linux.resources.hugepageLimits[0].pageSize: \"2M\" is not a page size"),
            ("linux.resources.hugepageLimits", json!([{"pageSize": "3MB", "limit": 1}]), "linux.resources.hugepageLimits[0].pageSize: \"3MB\""),
            ("linux.resources.hugepageLimits", json!([{"pageSize": "2mb", "limit": 1}]), "linux.resources.hugepageLimits[0].pageSize: \"2mb\""),
            ("linux.resources.cpu", json!({"cpus": "a"}), "linux.resources.cpu.cpus: \"a\": expected numbers"),
            ("linux.resources.memory", json!({"limit": 5, "swap": 4}), "linux.resources.memory.swap: 4 is below the limit of memory 5"),
            ("linux.resources.memory", json!({"swappiness": 101}), "linux.resources.memory.swappiness: 101"),
            ("linux.devices", json!([{"path": "/dev/x", "type": "x", "major": 1, "minor": 3}]), "linux.devices[0].type: \"x\" is not one of c, b, u, p"),
        ];
        for (path, value, fault) in cases {
            let mut spec = Spec::new(default::spec(Version::V1));
            spec.set(path, value);
            let faults = faults(&spec);
            assert!(faults.iter().any(|f| f.starts_with(fault)), "{fault}: {faults:?}");
        }
        let mut spec = Spec::new(default::spec(Version::V1));
        spec.set("linux.sysctl", json!({"net.ipv4.ip_forward": "1"}));
        namespaces::remove(&mut spec, "network");
        assert_eq!(faults(&spec), ["linux.sysctl.net.ipv4.ip_forward: needs a namespace of type network"]);
    }

    #[test]
    fn each_fault_has_its_path() {
        #[rustfmt::skip]
        let cases = [
            ("ociVersion", json!("one"), "ociVersion: \"one\" is no semantic version"),
            ("root", json!({}), "root.path: missing"),
            ("process.cwd", json!("rel"), "process.cwd: \"rel\" is not absolute"),
            ("process.args", json!([]), "process.args: empty"),
            ("process.env", json!(["A"]), "process.env[0]: \"A\" is not NAME=VALUE"),
            ("process.capabilities.bounding", json!(["CAP_FLY"]), "process.capabilities.bounding"),
            ("process.rlimits", json!([{"type": "RLIMIT_FOO", "soft": 1, "hard": 1}]), "process.rlimits[0].type: \"RLIMIT_FOO\" is not one of"),
            ("process.rlimits", json!([{"type": "RLIMIT_CORE", "soft": 2, "hard": 1}]), "process.rlimits[0].soft: above"),
            ("mounts", json!([{"destination": "x"}]), "mounts[0].destination: \"x\" is not absolute"),
            ("linux.namespaces", json!([{"type": "uts"}, {"type": "uts"}]), "linux.namespaces[1].type: uts is there twice"),
            ("linux.namespaces", json!([{"type": "pid"}]), "hostname: needs a namespace of type uts"),
            ("linux.rootfsPropagation", json!("open"), "linux.rootfsPropagation: \"open\" is not one of"),
            ("linux.devices", json!([{"path": "/dev/x", "type": "c"}]), "linux.devices[0]: major and minor are missing"),
            ("linux.resources.pids", json!({"limit": "many"}), "linux.resources.pids.limit"),
            ("hooks", json!({"prestart": [{"path": "x", "timeout": 0}]}), "hooks.prestart[0].path: not absolute"),
        ];
        for (path, value, fault) in cases {
            let mut spec = Spec::new(default::spec(Version::V1));
            spec.set(path, value);
            let faults = faults(&spec);
            assert!(faults.iter().any(|f| f.starts_with(fault)), "{path}: {faults:?}");
        }
    }
}
