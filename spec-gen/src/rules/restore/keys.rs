//! The table of all keys of an archive's spec, with what `--restore` does with each key. The code,
//! the manual page and a test use this table.

use serde_json::{Map, Value};

use crate::runtime_spec::Spec;

/// What `--restore` does with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Keeps the key.
    Kept,
    /// Reports an error unless a flag sets the value for this host.
    Repointed,
    /// Keeps the key if [`harmless`](super::harmless) accepts its value, and otherwise drops the
    /// key.
    Checked,
    /// Drops the key with a warning that names the key.
    Dropped,
}

/// Keys that `--restore` treats alike for the same reason. A key includes all keys below it.
pub struct Rule {
    pub fate: Fate,
    /// The title of the rule in the manual, before `reason` and `keys`.
    #[cfg_attr(not(test), allow(dead_code))]
    pub title: &'static str,
    #[cfg_attr(not(test), allow(dead_code))]
    pub reason: &'static str,
    /// Paths in the spec: `[]` means every element of an array, `*` every key of an object.
    pub keys: &'static [&'static str],
}

use Fate::{Checked, Dropped, Kept, Repointed};

/// Every key of runtime-spec 1.3. Other keys are unknown and are dropped.
#[rustfmt::skip]
pub const RULES: &[Rule] = &[
    Rule { fate: Kept, title: "the container",
        reason: "These keys describe the container and name nothing outside it.",
        keys: &["ociVersion", "hostname", "domainname", "root.readonly", "mounts[].destination", "linux.namespaces[].type",
            "linux.maskedPaths", "linux.readonlyPaths"] },
    Rule { fate: Kept, title: "the process",
        reason: "CRIU restores the process from its images, whatever these keys say.",
        keys: &["process.terminal", "process.consoleSize.height", "process.consoleSize.width", "process.user.uid",
            "process.user.gid", "process.user.umask", "process.user.additionalGids", "process.user.username",
            "process.args", "process.env", "process.cwd", "process.capabilities.bounding",
            "process.capabilities.effective", "process.capabilities.inheritable", "process.capabilities.permitted",
            "process.capabilities.ambient", "process.noNewPrivileges", "process.oomScoreAdj", "process.rlimits[].type",
            "process.rlimits[].soft", "process.rlimits[].hard", "process.ioPriority.class",
            "process.ioPriority.priority", "process.scheduler.policy", "process.scheduler.nice",
            "process.scheduler.priority", "process.scheduler.flags", "process.scheduler.runtime",
            "process.scheduler.deadline", "process.scheduler.period", "process.execCPUAffinity.initial",
            "process.execCPUAffinity.final", "linux.personality.domain", "linux.personality.flags",
            "linux.timeOffsets.boottime.secs", "linux.timeOffsets.boottime.nanosecs",
            "linux.timeOffsets.monotonic.secs", "linux.timeOffsets.monotonic.nanosecs", "linux.memoryPolicy.mode",
            "linux.memoryPolicy.nodes", "linux.memoryPolicy.flags"] },
    Rule { fate: Kept, title: "labels and profiles",
        reason: "A process without a label or profile is restricted less, so an archive gains nothing from these keys. \
            --apparmor, --selinux-label and --mount-label replace the values.",
        keys: &["process.apparmorProfile", "process.selinuxLabel", "linux.mountLabel"] },
    Rule { fate: Kept, title: "ID mappings",
        reason: "The images hold the same mappings, and CRIU can restore no others.",
        keys: &["linux.uidMappings[].containerID", "linux.uidMappings[].hostID", "linux.uidMappings[].size",
            "linux.gidMappings[].containerID", "linux.gidMappings[].hostID", "linux.gidMappings[].size",
            "mounts[].uidMappings[].containerID", "mounts[].uidMappings[].hostID", "mounts[].uidMappings[].size",
            "mounts[].gidMappings[].containerID", "mounts[].gidMappings[].hostID", "mounts[].gidMappings[].size"] },
    Rule { fate: Kept, title: "seccomp filter",
        reason: "The filter restricts the process.",
        keys: &["linux.seccomp.defaultAction", "linux.seccomp.defaultErrnoRet", "linux.seccomp.flags",
            "linux.seccomp.architectures", "linux.seccomp.syscalls[].names", "linux.seccomp.syscalls[].action",
            "linux.seccomp.syscalls[].errnoRet", "linux.seccomp.syscalls[].args[].index",
            "linux.seccomp.syscalls[].args[].value", "linux.seccomp.syscalls[].args[].valueTwo",
            "linux.seccomp.syscalls[].args[].op"] },
    Rule { fate: Kept, title: "limits",
        reason: "The limits apply only to the container's own cgroup. The options under Limits replace the values.",
        keys: &["linux.resources.memory.limit", "linux.resources.memory.reservation", "linux.resources.memory.swap",
            "linux.resources.memory.kernel", "linux.resources.memory.kernelTCP", "linux.resources.memory.swappiness",
            "linux.resources.memory.disableOOMKiller", "linux.resources.memory.useHierarchy",
            "linux.resources.memory.checkBeforeUpdate", "linux.resources.cpu.shares", "linux.resources.cpu.quota",
            "linux.resources.cpu.burst", "linux.resources.cpu.period", "linux.resources.cpu.realtimeRuntime",
            "linux.resources.cpu.realtimePeriod", "linux.resources.cpu.cpus", "linux.resources.cpu.mems",
            "linux.resources.cpu.idle", "linux.resources.pids.limit", "linux.resources.blockIO.weight",
            "linux.resources.blockIO.leafWeight", "linux.resources.hugepageLimits[].pageSize",
            "linux.resources.hugepageLimits[].limit"] },
    Rule { fate: Repointed, title: "root file system",
        reason: "--rootfs, --root-path or --state sets the path.",
        keys: &["root.path"] },
    Rule { fate: Repointed, title: "mounts",
        reason: "A mount of the host's files (a bind mount, an overlay, a disk, a network file system) needs --volume, \
            --bind-mount, --shm-dir, --manager-files or --mount-remove. File systems of the kernel are kept. \
            A read-only bind mount of /sys, or of a path below /sys/fs/cgroup, is kept if its source and destination \
            are the same path.",
        keys: &["mounts[].type", "mounts[].source"] },
    Rule { fate: Repointed, title: "namespaces given by path",
        reason: "--network, --ipc, --uts, --pid, --userns, --cgroupns or --time selects the namespace.",
        keys: &["linux.namespaces[].path"] },
    Rule { fate: Checked, title: "cgroup path",
        reason: "The path is dropped, and the runtime chooses the cgroup, unless --cgroups-path, --cgroup-parent, \
            --cgroup-manager or --cgroups sets a path. --id keeps a path below the default parent of podman, Docker, \
            nerdctl or containerd, and puts the new ID into the path.",
        keys: &["linux.cgroupsPath"] },
    Rule { fate: Checked, title: "devices",
        reason: "The pseudo devices null, zero, full, random, urandom, tty, ptmx, fuse and net/tun, and FIFOs, are kept. \
            Any other device is dropped: --device SRC:DST makes the device at DST the host's SRC.",
        keys: &["linux.devices[].path", "linux.devices[].type", "linux.devices[].major", "linux.devices[].minor",
            "linux.devices[].fileMode", "linux.devices[].uid", "linux.devices[].gid"] },
    Rule { fate: Checked, title: "device rules",
        reason: "Rules that deny, that allow only mknod(2) for one type, or that allow one of these pseudo devices or a \
            terminal, are kept. Other rules are dropped, and all other devices are then denied.",
        keys: &["linux.resources.devices[].allow", "linux.resources.devices[].type", "linux.resources.devices[].major",
            "linux.resources.devices[].minor", "linux.resources.devices[].access"] },
    Rule { fate: Checked, title: "cgroup v2 files",
        reason: "Limits of the controllers cpu, cpuset, hugetlb, io, memory, misc and pids are kept, unless they name a \
            disk or take processors from the host (cpuset.cpus.exclusive, cpuset.cpus.partition). Other files, such as \
            cgroup.procs, are dropped.",
        keys: &["linux.resources.unified.*"] },
    Rule { fate: Checked, title: "kernel parameters",
        reason: "A parameter of a namespace that the container has is kept (net.*, fs.mqueue.*, kernel.msg*, kernel.sem, \
            kernel.shm*, kernel.domainname, kernel.hostname, user.*). Other parameters belong to the host and are dropped.",
        keys: &["linux.sysctl.*"] },
    Rule { fate: Checked, title: "mount propagation",
        reason: "The values shared and rshared, which let mounts of the container appear on the host, are dropped, and \
            so are values that are not a propagation.",
        keys: &["linux.rootfsPropagation", "mounts[].options"] },
    Rule { fate: Checked, title: "annotations",
        reason: "Annotations that runtimes obey are dropped: bundle, cdi.*, dev.gvisor.*, io.containers.trace-syscall, \
            io.katacontainers.*, krun.*, the annotations in which the CRI names a sandbox, module.wasm.image/*, \
            org.criu.*, run.oci.*, and org.systemd.property.* except KillSignal and TimeoutStopUSec. \
            Other annotations are kept.",
        keys: &["annotations.*"] },
    Rule { fate: Dropped, title: "hooks",
        reason: "Hooks are commands that the runtime runs on the host.",
        keys: &["hooks.prestart", "hooks.createRuntime", "hooks.createContainer", "hooks.startContainer", "hooks.poststart",
            "hooks.poststop"] },
    Rule { fate: Dropped, title: "network devices",
        reason: "The runtime would move the host's interface of that name into the container.",
        keys: &["linux.netDevices.*"] },
    Rule { fate: Dropped, title: "seccomp listener",
        reason: "The listener is a socket of the host.",
        keys: &["linux.seccomp.listenerPath", "linux.seccomp.listenerMetadata"] },
    Rule { fate: Dropped, title: "resource control",
        reason: "The value names a group in the host's /sys/fs/resctrl. --rdt-class sets a group.",
        keys: &["linux.intelRdt"] },
    Rule { fate: Dropped, title: "limits of named devices",
        reason: "These keys name disks, interfaces and adapters of the host. --blkio-weight-device and \
            --device-read-bps, --device-write-bps, --device-read-iops and --device-write-iops set such limits.",
        keys: &["linux.resources.blockIO.weightDevice", "linux.resources.blockIO.throttleReadBpsDevice",
            "linux.resources.blockIO.throttleWriteBpsDevice", "linux.resources.blockIO.throttleReadIOPSDevice",
            "linux.resources.blockIO.throttleWriteIOPSDevice", "linux.resources.network", "linux.resources.rdma"] },
    Rule { fate: Dropped, title: "other platforms",
        reason: "These keys have no meaning on Linux; vm names kernels and images of the host.",
        keys: &["process.commandLine", "windows", "solaris", "vm", "zos", "freebsd"] },
];

/// Returns the rule of a key, or of the object or array that contains it.
pub fn rule(key: &str) -> Option<&'static Rule> {
    let covers = |pattern: &str| {
        key.strip_prefix(pattern).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    RULES.iter().find(|rule| rule.keys.iter().any(|pattern| covers(pattern)))
}

/// Removes dropped and unknown keys. Returns the text of a warning for each removed key.
pub fn drop_keys(spec: &mut Spec) -> Vec<String> {
    let mut dropped = Vec::new();
    filter(spec.root_mut(), "", "", &mut dropped);
    dropped
}

/// Filters one object. `pattern` is its path in the table, `path` its path in the document.
fn filter(object: &mut Map<String, Value>, pattern: &str, path: &str, dropped: &mut Vec<String>) {
    let join = |path: &str, key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    // Runtimes treat a key that is null as absent. But in a map, the key is what counts: runc moves
    // the interface that `{"netDevices": {"eth0": null}}` names.
    let is_map = has_keys_below(&join(pattern, "*"));
    let keys: Vec<String> =
        object.iter().filter(|(_, v)| is_map || !v.is_null()).map(|(k, _)| k.clone()).collect();
    for key in keys {
        let here = join(path, &key);
        let pattern = join(pattern, if is_map { "*" } else { &key });
        let value = &mut object[&key];
        match rule(&pattern).map(|rule| rule.fate) {
            Some(Dropped) => dropped.push(format!("{}{}: dropped", here, summary(value))),
            Some(Kept | Repointed | Checked) => continue,
            None if has_keys_below(&pattern) => {
                let was_empty = value.as_object().is_none_or(Map::is_empty);
                descend(value, &pattern, &here, dropped);
                // An object that held only dropped keys is removed too, because runtimes reject
                // some empty objects.
                if was_empty || value.as_object().is_some_and(|left| !left.is_empty()) {
                    continue;
                }
            }
            None => dropped.push(format!("{here}: unknown key, dropped")),
        }
        object.shift_remove(&key);
    }
}

fn descend(value: &mut Value, pattern: &str, path: &str, dropped: &mut Vec<String>) {
    match value {
        Value::Object(object) => filter(object, pattern, path, dropped),
        Value::Array(list) => {
            for (i, element) in list.iter_mut().enumerate() {
                descend(element, &format!("{pattern}[]"), &format!("{path}[{i}]"), dropped);
            }
        }
        _ => {}
    }
}

/// Reports whether the table has a key below this key.
fn has_keys_below(pattern: &str) -> bool {
    let below = |key: &&str| {
        key.strip_prefix(pattern)
            .is_some_and(|rest| rest.is_empty() && pattern.ends_with('*') || rest.starts_with(['.', '[']))
    };
    RULES.iter().flat_map(|rule| rule.keys).any(below)
}

/// Returns a short form of a dropped value, for its warning.
fn summary(value: &Value) -> String {
    let path = |element: &Value| element.get("path").and_then(Value::as_str).map(str::to_owned);
    let named: Vec<String> = match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(list) => list.iter().filter_map(path).collect(),
        _ => Vec::new(),
    };
    if named.is_empty() { String::new() } else { format!(": {}", named.join(", ")) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;

    /// Every key of the JSON Schema of runtime-spec 1.3, one per line.
    const SCHEMA: &str = include_str!("../../../tests/data/runtime-spec-1.3-keys");

    #[test]
    fn every_key_of_the_schema_has_exactly_one_rule() {
        for key in SCHEMA.lines() {
            let rules = RULES.iter().filter(|rule| {
                rule.keys.iter().any(|k| {
                    key.strip_prefix(k).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
                })
            });
            assert_eq!(rules.count(), 1, "{key}");
        }
        // A rule for a key that does not exist is a typing mistake.
        let known: BTreeSet<&str> = SCHEMA.lines().collect();
        for key in RULES.iter().flat_map(|rule| rule.keys) {
            let found = known.iter().any(|k| {
                k.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
            });
            assert!(found, "{key}");
        }
    }

    #[test]
    fn unknown_keys_are_dropped_and_reported() {
        let mut spec = Spec::new(json!({
            "ociVersion": "1.9.0", "new": {"a": 1}, "process": {"args": ["sh"], "new": 1, "user": {"uid": 0, "new": 1}},
            "mounts": [{"destination": "/a", "new": "/host"}], "linux": {"new": "/host", "seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "new": 1},
            "resources": {"new": 1, "cpu": {"new": 1}}, "namespaces": [{"type": "pid"}, {"type": "ipc", "new": 1}], "timeOffsets": {"new": {"secs": 1}}}
        }));
        let dropped = drop_keys(&mut spec);
        let keys = [
            "new",
            "process.new",
            "process.user.new",
            "mounts[0].new",
            "linux.new",
            "linux.seccomp.new",
            "linux.resources.new",
            "linux.resources.cpu.new",
            "linux.namespaces[1].new",
            "linux.timeOffsets.new",
        ];
        assert_eq!(dropped, keys.map(|key| format!("{key}: unknown key, dropped")));
        assert_eq!(
            spec.value(),
            &json!({"ociVersion": "1.9.0", "process": {"args": ["sh"], "user": {"uid": 0}},
                "mounts": [{"destination": "/a"}], "linux": {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW"},
                "namespaces": [{"type": "pid"}, {"type": "ipc"}]}})
        );
    }

    #[test]
    fn the_manual_has_the_table() {
        const MANUAL: &str = include_str!("../../../../man/spec-gen.1");
        let wanted = manual();
        assert!(MANUAL.contains(&wanted), "put into man/spec-gen.1, below RESTORE:\n{wanted}");
    }

    /// Returns the table as the manual contains it.
    fn manual() -> String {
        let mut text = String::from(".SS Keys of runtime-spec 1.3\n");
        for rule in RULES {
            let fate = match rule.fate {
                Kept => "kept",
                Repointed => "error unless a flag sets it",
                Checked => "kept if harmless",
                Dropped => "dropped",
            };
            text.push_str(&format!(".TP\n.BR \"{}\" \", {fate}\"\n", capital(rule.title)));
            let reason = rule.reason.replace("--", "\\-\\-").replace(". ", ".\n");
            text.push_str(&wrap(&reason));
            text.push_str(&format!(".br\n{}", wrap(&format!("Keys: {}.", rule.keys.join(", ")))));
        }
        text
    }

    fn capital(title: &str) -> String {
        let mut chars = title.chars();
        chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
    }

    /// Wraps at 100 columns and starts each sentence on a new line, as mandoc requires.
    fn wrap(text: &str) -> String {
        let mut out = String::new();
        for sentence in text.lines() {
            let mut width = 0;
            for word in sentence.split_whitespace() {
                if width > 0 && width + 1 + word.len() > 100 {
                    out.push('\n');
                    width = 0;
                } else if width > 0 {
                    out.push(' ');
                    width += 1;
                }
                out.push_str(word);
                width += word.len();
            }
            out.push('\n');
        }
        out
    }

    #[test]
    fn only_objects_of_the_table_have_keys_below() {
        for (pattern, expected) in [
            ("process", true),
            ("process.user", true),
            ("mounts", true),
            ("annotations.*", true),
            ("linux.timeOffsets.*", false),
            ("process.cwd", false),
            ("process.args", false),
            ("process.us", false),
            ("new", false),
        ] {
            assert_eq!(has_keys_below(pattern), expected, "{pattern}");
        }
    }
}
