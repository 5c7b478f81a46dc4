//! The spec of `--new`, which equals the spec that `runc spec` writes since runc 1.3.

use serde_json::{Value, json};

use crate::input::cgroup_version::CgroupVersion;

/// Returns the default spec. On cgroup v2 it has a cgroup namespace, like the spec that `runc spec`
/// writes.
pub fn spec(cgroups: CgroupVersion) -> Value {
    let capabilities = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];
    let mut namespaces: Vec<Value> =
        ["pid", "network", "ipc", "uts", "mount"].iter().map(|kind| json!({ "type": kind })).collect();
    if cgroups == CgroupVersion::V2 {
        namespaces.push(json!({ "type": "cgroup" }));
    }
    json!({
        "ociVersion": "1.2.1",
        "process": {
            "terminal": true,
            "user": { "uid": 0, "gid": 0 },
            "args": ["sh"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": {
                "bounding": capabilities,
                "effective": capabilities,
                "permitted": capabilities
            },
            "rlimits": [{ "type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024 }],
            "noNewPrivileges": true
        },
        "root": { "path": "rootfs", "readonly": true },
        "hostname": "runc",
        "mounts": mounts(),
        "linux": {
            "resources": { "devices": [{ "allow": false, "access": "rwm" }] },
            "namespaces": namespaces,
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi"
            ],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
        }
    })
}

fn mounts() -> Value {
    json!([
        { "destination": "/proc", "type": "proc", "source": "proc" },
        {
            "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
            "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]
        },
        {
            "destination": "/dev/pts", "type": "devpts", "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]
        },
        {
            "destination": "/dev/shm", "type": "tmpfs", "source": "shm",
            "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]
        },
        {
            "destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
            "options": ["nosuid", "noexec", "nodev"]
        },
        {
            "destination": "/sys", "type": "sysfs", "source": "sysfs",
            "options": ["nosuid", "noexec", "nodev", "ro"]
        },
        {
            "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
            "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]
        }
    ])
}

/// Changes a spec so that an unprivileged user can start it, like `runc spec --rootless`: the spec
/// gets a user namespace with one ID and the host's network, and has no mount that needs more IDs.
pub fn make_rootless(spec: &mut Value, uid: u32, gid: u32) {
    let Some(linux) = spec["linux"].as_object_mut() else { return };
    if let Some(namespaces) = linux.get_mut("namespaces").and_then(Value::as_array_mut) {
        namespaces.retain(|n| n["type"] != "network" && n["type"] != "user");
        namespaces.push(json!({ "type": "user" }));
    }
    linux.insert("uidMappings".into(), json!([{ "containerID": 0, "hostID": uid, "size": 1 }]));
    linux.insert("gidMappings".into(), json!([{ "containerID": 0, "hostID": gid, "size": 1 }]));
    // An unprivileged user has no cgroup in which to set limits.
    linux.shift_remove("resources");
    let Some(mounts) = spec["mounts"].as_array_mut() else { return };
    for mount in mounts {
        if mount["type"] == "sysfs" {
            // Only the owner of the network namespace may mount sysfs.
            *mount = json!({
                "destination": mount["destination"], "type": "none", "source": "/sys",
                "options": ["rbind", "nosuid", "noexec", "nodev", "ro"]
            });
        } else if let Some(options) = mount.get_mut("options").and_then(Value::as_array_mut) {
            options.retain(|o| !o.as_str().is_some_and(|o| o.starts_with("gid=") || o.starts_with("uid=")));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::runtime_spec::{Spec, validate};

    use super::*;

    #[test]
    fn the_default_spec_is_valid() {
        for version in [CgroupVersion::V1, CgroupVersion::V2] {
            assert_eq!(validate::faults(&Spec::new(spec(version))), Vec::<String>::new());
        }
        let mut rootless = spec(CgroupVersion::V2);
        make_rootless(&mut rootless, 1000, 1000);
        assert_eq!(validate::faults(&Spec::new(rootless)), Vec::<String>::new());
    }
}
