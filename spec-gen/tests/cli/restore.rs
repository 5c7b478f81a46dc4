//! Tests `--restore`: what an archive may specify about the host, and what a restored container
//! needs from it.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::{Dir, message};

/// Returns a spec that can be restored without flags and without warnings.
pub fn plain() -> Value {
    json!({
        "ociVersion": "1.3.0", "process": {"user": {"uid": 0, "gid": 0}, "args": ["sh"], "cwd": "/"}, "root": {"path": "/old"},
        "hostname": "c", "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
        "linux": {"namespaces": [{"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}]}
    })
}

/// Sets `value` at a path whose keys are separated by dots.
fn put(spec: &mut Value, path: &str, value: Value) {
    let mut at = spec;
    for key in path.split('.') {
        at = &mut at[key];
    }
    *at = value;
}

pub const RESTORE: [&str; 3] = ["--restore", "--rootfs", "rootfs"];

#[test]
fn keys_that_name_host_resources_are_dropped() {
    let dir = Dir::new();
    let id = "ab".repeat(32);
    let other = format!("/libpod_parent/libpod-{id}");
    // The path, the value in the archive, the restored value, and the warning.
    #[rustfmt::skip]
    let cases: Vec<(&str, Value, Value, String)> = vec![
        ("linux.cgroupsPath", json!("/system.slice/sshd.service"), json!(null), "linux.cgroupsPath: /system.slice/sshd.service: dropped".into()),
        ("linux.cgroupsPath", json!("/"), json!(null), "linux.cgroupsPath: /: dropped".into()),
        ("linux.cgroupsPath", json!("../../x"), json!(null), "linux.cgroupsPath: ../../x: dropped".into()),
        ("linux.cgroupsPath", json!("/user.slice"), json!(null), "linux.cgroupsPath: /user.slice: dropped".into()),
        ("linux.cgroupsPath", json!("/docker/web"), json!(null), "linux.cgroupsPath: /docker/web: dropped".into()),
        ("linux.cgroupsPath", json!("system.slice:libpod:x"), json!(null), "linux.cgroupsPath: system.slice:libpod:x: dropped".into()),
        ("linux.cgroupsPath", json!(other), json!(null), format!("linux.cgroupsPath: {other}: dropped")),
        ("linux.netDevices", json!({"eth7": {"name": "eth0"}}), json!(null), "linux.netDevices.eth7: dropped".into()),
        ("linux.netDevices", json!({"eth7": null}), json!(null), "linux.netDevices.eth7: dropped".into()),
        ("linux.netDevices", json!({"eth7": {}}), json!(null), "linux.netDevices.eth7: dropped".into()),
        ("linux.intelRdt", json!({"closID": "guaranteed", "schemata": ["L3:0=1"]}), json!(null), "linux.intelRdt: dropped".into()),
        ("linux.seccomp", json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/s", "listenerMetadata": "m"}),
            json!({"defaultAction": "SCMP_ACT_ALLOW"}), "linux.seccomp.listenerPath: /run/s: dropped".into()),
        ("linux.resources", json!({"rdma": {"mlx5_1": {"hcaHandles": 3}}, "pids": {"limit": 5}}), json!({"pids": {"limit": 5}}), "linux.resources.rdma: dropped".into()),
        ("linux.resources", json!({"network": {"classID": 1, "priorities": [{"name": "eth0", "priority": 1}]}}), json!(null), "linux.resources.network: dropped".into()),
        ("linux.resources", json!({"blockIO": {"weight": 10, "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1}]}}), json!({"blockIO": {"weight": 10}}),
            "linux.resources.blockIO.throttleReadBpsDevice: dropped".into()),
        ("linux.resources", json!({"unified": {"cgroup.procs": "1", "memory.high": "1000"}}), json!({"unified": {"memory.high": "1000"}}), "linux.resources.unified: cgroup.procs: dropped".into()),
        ("linux.resources", json!({"unified": {"../x/cgroup.procs": "1"}}), json!({}), "linux.resources.unified: ../x/cgroup.procs: dropped".into()),
        ("linux.resources", json!({"unified": {"io.max": "8:0 rbps=1"}}), json!({}), "linux.resources.unified: io.max: dropped".into()),
        ("linux.resources", json!({"unified": {"cpuset.cpus.partition": "root"}}), json!({}), "unified: cpuset.cpus.partition: dropped".into()),
        ("linux.resources", json!({"devices": [{"allow": true, "access": "rwm"}]}), json!({"devices": [{"allow": false, "access": "rwm"}]}), "linux.resources.devices: a *:* rwm: dropped".into()),
        ("linux.resources", json!({"devices": [{"allow": false, "access": "rwm"}, {"allow": true, "type": "b", "major": 8, "minor": 0, "access": "rwm"}, {"allow": true, "type": "c", "access": "m"}]}),
            json!({"devices": [{"allow": false, "access": "rwm"}, {"allow": true, "type": "c", "access": "m"}]}), "linux.resources.devices: b 8:0 rwm: dropped".into()),
        ("linux.devices", json!([{"path": "/dev/sda", "type": "b", "major": 8, "minor": 0}, {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229}]),
            json!([{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229}]), "linux.devices: /dev/sda: dropped; --device /dev/sda adds the host's".into()),
        ("linux.devices", json!([{"path": "/dev/null", "type": "c", "major": 1, "minor": 1}]), json!([]), "linux.devices: /dev/null: dropped".into()),
        ("linux.sysctl", json!({"kernel.core_pattern": "|/x", "net.core.somaxconn": "9"}), json!({"net.core.somaxconn": "9"}), "linux.sysctl: kernel.core_pattern: dropped".into()),
        ("linux.sysctl", json!({"kernel/core_pattern": "|/x"}), json!(null), "linux.sysctl: kernel/core_pattern: dropped".into()),
        ("linux.sysctl", json!({"user.max_user_namespaces": "1"}), json!(null), "linux.sysctl: user.max_user_namespaces: dropped".into()),
        ("linux.rootfsPropagation", json!("rshared"), json!(null), "linux.rootfsPropagation: rshared: dropped".into()),
        ("hooks", json!({"createRuntime": [{"path": "/bin/evil"}], "new": []}), json!(null), "hooks.createRuntime: /bin/evil: dropped".into()),
        ("annotations", json!({"run.oci.hooks.stdout": "/etc/cron.d/x", "mine": "1"}), json!({"mine": "1"}), "annotations: run.oci.hooks.stdout: dropped".into()),
        ("annotations", json!({"org.systemd.property.ExecStopPost": "x", "org.systemd.property.KillSignal": "15"}), json!({"org.systemd.property.KillSignal": "15"}),
            "annotations: org.systemd.property.ExecStopPost: dropped".into()),
        ("annotations", json!({"module.wasm.image/variant": "compat"}), json!(null), "annotations: module.wasm.image/variant: dropped".into()),
        ("annotations", json!({"bundle": "/"}), json!(null), "annotations: bundle: dropped".into()),
        ("annotations", json!({"io.katacontainers.config.hypervisor.path": "/bin/evil"}), json!(null), "annotations: io.katacontainers.config.hypervisor.path: dropped".into()),
        ("vm", json!({"hypervisor": {"path": "/bin/evil"}}), json!(null), "vm: dropped".into()),
        ("windows", json!({"layerFolders": ["C:"]}), json!(null), "windows: dropped".into()),
        ("process.commandLine", json!("x"), json!(null), "process.commandLine: x: dropped".into()),
        ("process.next", json!("/host"), json!(null), "process.next: unknown key, dropped".into()),
        ("linux.next", json!({"path": "/host"}), json!(null), "linux.next: unknown key, dropped".into()),
    ];
    #[rustfmt::skip]
    let cases = cases.into_iter().chain([
        ("linux.resources", json!({"devices": [{"allow": true, "type": "a", "access": "m"}]}), json!({"devices": [{"allow": false, "access": "rwm"}]}), "linux.resources.devices: a *:* m: dropped".into()),
        ("linux.resources", json!({"devices": [{"allow": true, "access": "m"}]}), json!({"devices": [{"allow": false, "access": "rwm"}]}), "linux.resources.devices: a *:* m: dropped".into()),
        ("linux.rootfsPropagation", json!("Shared"), json!(null), "linux.rootfsPropagation: Shared: dropped".into()),
        ("annotations", json!({"io.kubernetes.cri.sandbox-id": "x", "a": "b"}), json!({"a": "b"}), "io.kubernetes.cri.sandbox-id: dropped".into()),
        ("annotations", json!({"io.kubernetes.cri-o.SandboxID": "x", "a": "b"}), json!({"a": "b"}), "io.kubernetes.cri-o.SandboxID: dropped".into()),
    ]);
    for (path, value, left, warning) in cases {
        let mut spec = plain();
        put(&mut spec, path, value.clone());
        let output = dir.run(&RESTORE, &spec.to_string());
        let found = message(&output);
        assert_eq!(output.status.code(), Some(0), "{path}: {value}: {found}");
        assert!(found.contains(&warning), "{warning}: {found}");
        let restored: Value = serde_json::from_slice(&output.stdout).unwrap();
        let at = path.split('.').fold(&restored, |at, key| &at[key]);
        assert_eq!(*at, left, "{path}: {value}");
        // With --trust-archive the value is kept.
        let trusted = dir.spec(&[&RESTORE[..], &["--trust-archive", "-q"]].concat(), &spec.to_string());
        assert_eq!(*path.split('.').fold(&trusted, |at, key| &at[key]), value, "{path}");
    }
}

#[test]
fn keys_that_only_describe_the_container_are_kept() {
    let dir = Dir::new();
    #[rustfmt::skip]
    let cases = [
        ("linux.sysctl", json!({"net.ipv4.ip_forward": "1", "kernel.shmmax": "1", "kernel.msgmax": "1", "fs.mqueue.msg_max": "1", "kernel.sem": "1 1 1 1"})),
        ("linux.resources", json!({"memory": {"limit": 1 << 20, "swap": -1}, "cpu": {"shares": 2, "cpus": "0"}, "pids": {"limit": 9},
            "hugepageLimits": [{"pageSize": "2MB", "limit": 1}], "unified": {"memory.high": "1", "pids.max": "9", "io.weight": "default 10"}})),
        ("linux.resources", json!({"devices": [{"allow": false, "access": "rwm"}, {"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rwm"},
            {"allow": true, "type": "c", "major": 136, "access": "rwm"}, {"allow": true, "type": "b", "access": "m"}]})),
        ("linux.devices", json!([{"path": "/dev/net/tun", "type": "c", "major": 10, "minor": 200}, {"path": "/dev/initctl", "type": "p"}])),
        ("linux.rootfsPropagation", json!("rslave")),
        ("linux.maskedPaths", json!(["/proc/kcore"])),
        ("linux.personality", json!({"domain": "LINUX32"})),
        ("linux.memoryPolicy", json!({"mode": "MPOL_BIND", "nodes": "0", "flags": []})),
        ("process.capabilities", json!({})),
        ("process.scheduler", json!({"policy": "SCHED_RR", "priority": 5})),
        ("process.apparmorProfile", json!("containers-default")),
        ("annotations", json!({"org.systemd.property.KillSignal": "15", "io.container.manager": "libpod", "cdi": "1", "bundles": "1"})),
    ];
    for (path, value) in cases {
        let mut spec = plain();
        put(&mut spec, path, value.clone());
        let output = dir.run(&RESTORE, &spec.to_string());
        assert_eq!(message(&output), "", "{path}");
        let restored: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(*path.split('.').fold(&restored, |at, key| &at[key]), value, "{path}");
    }
}

#[test]
fn flags_supply_host_resources_that_an_archive_may_not_name() {
    let dir = Dir::new();
    let mut spec = plain();
    let linux = spec["linux"].as_object_mut().unwrap();
    linux.insert("cgroupsPath".into(), json!("/system.slice"));
    linux.insert("intelRdt".into(), json!({"closID": "theirs"}));
    linux.insert("devices".into(), json!([{"path": "/dev/sda", "type": "b", "major": 8, "minor": 0}]));
    let rule = json!({"allow": true, "type": "b", "major": 8, "minor": 0, "access": "rwm"});
    linux.insert("resources".into(), json!({"devices": [{"allow": false, "access": "rwm"}, rule]}));
    let flags = ["--cgroups-path", "/mine", "--rdt-class", "mine", "--device", "/dev/full:/dev/sda"];
    let output = dir.run(&[&RESTORE[..], &flags].concat(), &spec.to_string());
    assert_eq!(message(&output), "spec-gen: warning: standard input: linux.intelRdt: dropped\n");
    let restored: Value = serde_json::from_slice(&output.stdout).unwrap();
    let linux = &restored["linux"];
    assert_eq!(linux["cgroupsPath"], "/mine");
    assert_eq!(linux["intelRdt"], json!({"closID": "mine"}));
    assert_eq!(linux["devices"][0]["path"], "/dev/sda");
    assert_eq!((&linux["devices"][0]["major"], &linux["devices"][0]["minor"]), (&json!(1), &json!(7)));
    assert_eq!(
        linux["resources"]["devices"],
        json!([{"allow": false, "access": "rwm"}, {"allow": true, "type": "c", "major": 1, "minor": 7, "access": "rwm"}])
    );
    for (flags, text) in [
        (["--device", "/dev/full"], "the checkpointed container has no device there"),
        (["--device", "vendor.com/class=x"], "absolute paths"),
    ] {
        let output = dir.run(&[&RESTORE[..], &flags].concat(), &spec.to_string());
        assert_ne!(output.status.code(), Some(0));
        assert!(message(&output).contains(text), "{flags:?}: {}", message(&output));
    }
}

#[test]
fn an_id_changes_only_a_cgroup_path_below_an_engines_parent() {
    let dir = Dir::new();
    let old = "ab".repeat(32);
    for (path, expected) in [
        (format!("/libpod_parent/libpod-{old}"), Some("/libpod_parent/libpod-NEW")),
        (format!("machine.slice:libpod:{old}"), Some("machine.slice:libpod:NEW")),
        (format!("/docker/{old}"), Some("/docker/NEW")),
        (format!("system.slice:docker:{old}"), Some("system.slice:docker:NEW")),
        (format!("/default/{old}"), Some("/default/NEW")),
        ("/default/web".into(), Some("/default/NEW")),
        (format!("/k8s.io/{old}"), Some("/k8s.io/NEW")),
        ("/default/..".into(), None),
        ("/docker/web".into(), None),
        (format!("/docker/x/{old}"), None),
        (format!("/kubepods/burstable/pod1/{old}"), None),
        (format!("kubepods-pod1.slice:cri-containerd:{old}"), None),
        (format!("/system.slice/sshd.service/libpod-{old}"), None),
        (format!("/libpod_parent/../system.slice/libpod-{old}"), None),
        (format!("system.slice:libpod:{old}"), None),
    ] {
        let mut spec = plain();
        spec["linux"]["cgroupsPath"] = json!(path);
        let restored = dir.spec(&[&RESTORE[..], &["--id", "NEW", "-q"]].concat(), &spec.to_string());
        assert_eq!(restored["linux"]["cgroupsPath"].as_str(), expected, "{path}");
    }
}

#[test]
fn mounts_cannot_propagate_to_the_host_or_control_it() {
    let dir = Dir::new();
    let mut spec = plain();
    let bind = |source: &str, destination: &str, options: &[&str]| json!({"destination": destination, "type": "bind", "source": source, "options": options});
    spec["mounts"] =
        json!([bind("/x", "/a", &["rbind", "rshared"]), bind("/x", "/b", &["bind", "shared", "ro"])]);
    let flags = ["-v", "/srv:/a", "-v", "/srv:/b:rslave,ro"];
    let output = dir.run(&[&RESTORE[..], &flags].concat(), &spec.to_string());
    assert!(message(&output).contains("mounts: /a: option rshared: dropped"), "{}", message(&output));
    let restored: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(restored["mounts"][0]["options"], json!(["rbind"]));
    assert!(!restored["mounts"][1]["options"].to_string().contains("shared"));
    // A writable cgroup tree gives control of the host: a process that writes release_agent can run
    // a command there.
    for options in [&["rbind"][..], &["rbind", "ro", "rw"]] {
        spec["mounts"] = json!([bind("/sys/fs/cgroup", "/sys/fs/cgroup", options)]);
        let output = dir.run(&RESTORE, &spec.to_string());
        assert_eq!(output.status.code(), Some(1), "{options:?}");
        assert!(
            message(&output).contains("mounts: /sys/fs/cgroup: /sys/fs/cgroup: belongs to the host"),
            "{}",
            message(&output)
        );
    }
}

#[test]
fn a_namespace_shared_with_the_host_is_reported() {
    let dir = Dir::new();
    for kind in ["pid", "network", "ipc", "uts"] {
        let mut spec = plain();
        spec["linux"]["namespaces"].as_array_mut().unwrap().retain(|n| n["type"] != kind);
        let output = dir.run(&RESTORE, &spec.to_string());
        let text = format!("no {kind} namespace: the container shares the host's");
        assert!(output.status.success() && message(&output).contains(&text), "{}", message(&output));
        let flag = format!("--{kind}");
        let flags = [&RESTORE[..], &[&flag, "host"]].concat();
        assert_eq!(message(&dir.run(&flags, &spec.to_string())), "", "{kind}");
    }
}

#[ignore = "needs root"]
#[test]
fn mount_points_in_bind_mounted_directories_are_created() {
    let dir = Dir::new();
    dir.write("s1", "secret");
    fs::create_dir_all(dir.path("volume")).unwrap();
    fs::create_dir_all(dir.path("tree")).unwrap();
    std::os::unix::fs::symlink("/nowhere", dir.path("volume/link")).unwrap();
    let bind = |destination: &str| json!({"destination": destination, "type": "bind", "source": "/old", "options": ["bind"]});
    let mut spec = plain();
    spec["mounts"] = json!([
        bind("/run/secrets"), bind("/run/secrets/s1"), bind("/run/secrets/deep/s2"), bind("/var/run/secrets"),
        bind("/var/run/secrets/s3"), bind("/run/secrets/tree"), {"destination": "/run/secrets/tmp", "type": "tmpfs", "source": "tmpfs"},
        bind("/data"), bind("/data/sub/file"),
    ]);
    let text = spec.to_string();
    let (file, tree, volume) = (dir.path("s1"), dir.path("tree"), dir.path("volume"));
    let mut flags = RESTORE.to_vec();
    let volumes: Vec<String> = [
        (&file, "/run/secrets/s1"),
        (&file, "/run/secrets/deep/s2"),
        (&file, "/var/run/secrets/s3"),
        (&tree, "/run/secrets/tree"),
        (&volume, "/data"),
        (&file, "/data/sub/file"),
    ]
    .iter()
    .map(|(from, to)| format!("{from}:{to}"))
    .collect();
    volumes.iter().for_each(|v| flags.extend(["-v", v]));
    flags.extend(["--manager-files", "mf", "--apply"]);
    for _ in 0..2 {
        dir.spec(&flags, &text);
        for path in ["mf/run/secrets/s1", "mf/run/secrets/deep/s2", "mf/run/secrets/s3", "volume/sub/file"] {
            assert!(Path::new(&dir.path(path)).is_file(), "{path}");
        }
        for path in ["mf/run/secrets/tree", "mf/run/secrets/tmp"] {
            assert!(Path::new(&dir.path(path)).is_dir(), "{path}");
        }
    }
    // The archive may contain a symbolic link in a volume, so no mount point is created through it.
    let text = text.replace("/data/sub/file", "/data/link/x/file");
    let flags: Vec<String> = flags.iter().map(|f| f.replace("/data/sub/file", "/data/link/x/file")).collect();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let output = dir.run(&flags, &text);
    assert_eq!(output.status.code(), Some(1));
    assert!(message(&output).contains("link: expected a directory"), "{}", message(&output));
}

#[test]
fn host_paths_and_hooks_of_an_archive_are_not_used() {
    let dir = Dir::new();
    let spec = json!({
        "ociVersion": "1.2.0", "root": {"path": "/other/rootfs"},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/data", "type": "bind", "source": "/srv/data", "options": ["rbind", "ro"]},
            {"destination": "/data/", "type": "bind", "source": "/", "options": ["rbind"]},
            {"destination": "/etc/hosts", "type": "bind", "source": "/run/hosts", "options": ["bind"]},
            {"destination": "/sys", "type": "none", "source": "/sys", "options": ["rbind", "ro"]},
            {"destination": "/none", "type": "none", "source": "/root", "options": ["rbind"]},
            {"destination": "/o", "type": "overlay", "source": "overlay", "options": ["lowerdir=/etc"]},
            {"destination": "/disk", "type": "ext4", "source": "/dev/sda1"},
        ],
        "annotations": {"org.criu.config": "/tmp/evil", "cdi.k8s.io/x": "v.com/d=a", "run.oci.handler": "x", "mine": "kept"},
        "hooks": {"poststop": [{"path": "/bin/evil"}]},
        "linux": {"namespaces": [{"type": "network", "path": "/proc/7/ns/net"}, {"type": "ipc", "path": "/proc/7/ns/ipc"}, {"type": "pid"}],
            "seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/evil.sock"}}
    })
    .to_string();
    let output = dir.run(&["--restore"], &spec);
    let found = message(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    for text in [
        "root.path: /other/rootfs: belongs to the host",
        "mounts: /data: /srv/data: belongs to the host",
        "mounts: /data/: /: belongs to the host",
        "mounts: /etc/hosts: /run/hosts: belongs to the host",
        "mounts: /none: /root: belongs to the host",
        "mounts: /o: overlay of overlay: belongs to the host",
        "mounts: /disk: ext4 of /dev/sda1: belongs to the host",
        "network: /proc/7/ns/net: belongs to the host",
        "ipc: /proc/7/ns/ipc: belongs to the host",
        "warning: standard input: hooks.poststop: /bin/evil: dropped",
        "org.criu.config: dropped",
        "cdi.k8s.io/x: dropped",
        "run.oci.handler: dropped",
        "linux.seccomp.listenerPath: /run/evil.sock: dropped",
        "hint: add --rootfs DIR -v DIR:/data",
    ] {
        assert!(found.contains(text), "{text} is not in\n{found}");
    }
    assert!(!found.contains("/sys:"), "{found}");

    let flags = [
        "--restore",
        "--rootfs",
        "rootfs",
        "-v",
        "/here/data:/data",
        "-v",
        "/here/hosts:/etc/hosts",
        "--mount-remove",
        "/none",
        "--mount-remove",
        "/disk",
        "--mount-remove",
        "/o",
        "--network",
        "ns:/run/netns/web",
        "--ipc",
        "ns:/proc/1/ns/ipc",
        "-q",
    ];
    let restored = dir.spec(&flags, &spec);
    assert_eq!(restored["root"]["path"], dir.path("rootfs"));
    assert!(restored.get("hooks").is_none());
    assert_eq!(restored["annotations"], json!({"mine": "kept"}));
    let sources: Vec<&str> =
        restored["mounts"].as_array().unwrap().iter().map(|m| m["source"].as_str().unwrap()).collect();
    assert_eq!(sources, ["proc", "/here/data", "/here/data", "/sys", "/here/hosts"]);
    assert_eq!(restored["mounts"][1]["options"], json!(["rbind", "ro"]));
    assert_eq!(
        restored["linux"]["namespaces"],
        json!([
        {"type": "network", "path": "/run/netns/web"}, {"type": "ipc", "path": "/proc/1/ns/ipc"}, {"type": "pid"}])
    );

    // With --trust-archive the values are kept. A namespace path, once present, cannot be removed.
    let trusted = dir.spec(&["--restore", "--trust-archive", "-q"], &spec);
    assert_eq!(trusted["hooks"], json!({"poststop": [{"path": "/bin/evil"}]}));
    assert_eq!(trusted["annotations"]["org.criu.config"], "/tmp/evil");
    let output = dir.run(&["--restore", "--trust-archive", "--network", "private"], &spec);
    assert!(message(&output).contains("can only be restored into such a namespace"), "{}", message(&output));
    // CRIU does not mount a destination that is missing in the checkpoint.
    let output = dir.run(&["--restore", "--trust-archive", "-v", "/a:/new"], &spec);
    assert!(
        message(&output).contains("the checkpointed container has no mount there"),
        "{}",
        message(&output)
    );
}

#[ignore = "needs root"]
#[test]
fn engine_files_of_the_old_host_come_from_manager_files() {
    let dir = Dir::new();
    let bind = |destination: &str| json!({"destination": destination, "type": "bind", "source": "/old/userdata/x", "options": ["bind", "rprivate"]});
    let mounts =
        ["/dev/shm", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/run/.containerenv"].map(bind);
    let spec = json!({
        "ociVersion": "1.2.0", "hostname": "web", "root": {"path": "/old"},
        "mounts": mounts,
    })
    .to_string();
    let flags = ["--restore", "--rootfs", "rootfs", "--manager-files", "files", "--shm-dir", "shm"];
    let restored = dir.spec(&[&flags[..], &["--actions", "list"]].concat(), &spec);
    assert!(!Path::new(&dir.path("files")).exists(), "nothing is made without --apply");
    assert_eq!(fs::read_to_string(dir.path("list")).unwrap().lines().count(), 5);
    let applied = dir.spec(&[&flags[..], &["--apply"]].concat(), &spec);
    assert_eq!(applied, restored);
    // A restored spec can be restored again without changes.
    let text = serde_json::to_string(&restored).unwrap();
    assert_eq!(dir.spec(&[&flags[..], &["-q"]].concat(), &text).to_string(), text);
    assert_eq!(fs::read_to_string(dir.path("files/hostname")).unwrap(), "web\n");
    for mount in applied["mounts"].as_array().unwrap() {
        let (destination, source) =
            (mount["destination"].as_str().unwrap(), mount["source"].as_str().unwrap());
        if destination == "/dev/shm" {
            assert_eq!(source, dir.path("shm"));
        } else {
            assert!(source.starts_with(&dir.path("files/")) && Path::new(source).is_file(), "{source}");
        }
    }
}

#[test]
fn a_restored_container_uses_its_new_id_and_state() {
    let dir = Dir::new();
    let old = "ab".repeat(32);
    let spec = json!({
        "ociVersion": "1.2.0", "root": {"path": "/old"},
        "mounts": [{"destination": "/etc/hosts", "type": "bind", "source": "/old/userdata/hosts"}],
        "linux": {"cgroupsPath": format!("/libpod_parent/libpod-{old}"), "namespaces": [{"type": "network", "path": "/run/netns/old"}]}
    })
    .to_string();
    dir.write(
        "state.json",
        r#"{"mountPoint":"/new","netns":"/run/netns/new","bindMounts":{"/etc/hosts":"/new/userdata/hosts"}}"#,
    );
    let restored = dir.spec(&["--restore", "--state", "state.json", "--id", "NEW"], &spec);
    assert_eq!(restored["root"]["path"], "/new");
    assert_eq!(restored["mounts"][0]["source"], "/new/userdata/hosts");
    assert_eq!(restored["linux"]["cgroupsPath"], "/libpod_parent/libpod-NEW");
    assert_eq!(restored["linux"]["namespaces"][0]["path"], "/run/netns/new");
    let restored = dir.spec(
        &[
            "--restore",
            "--state",
            "state.json",
            "--id",
            "NEW",
            "--cgroup-manager",
            "systemd",
            "--cgroup-parent",
            "a.slice",
        ],
        &spec,
    );
    assert_eq!(restored["linux"]["cgroupsPath"], "a.slice:libpod:NEW");
}

/// Writes images of the process 7 in network namespace 10. `network` is the content of netns-10.img.
pub fn write_images(dir: &Dir, criu_network: u8, network: Option<&[u8]>) {
    let image = |messages: &[&[u8]]| {
        let mut image = [0x5456_4319_u32, 1].map(u32::to_le_bytes).concat();
        for message in messages {
            image.extend_from_slice(&(message.len() as u32).to_le_bytes());
            image.extend_from_slice(message);
        }
        image
    };
    let images = dir.path("images");
    let put = |name: &str, messages: &[&[u8]]| {
        fs::create_dir_all(&images).unwrap();
        fs::write(format!("{images}/{name}.img"), image(messages)).unwrap();
    };
    put("mountpoints-13", &[]);
    put("pstree", &[b"\x08\x07\x10\0"]);
    // Field 5 is the PID namespace, field 6 the network namespace.
    put("ids-7", &[b"\x28\x0b\x30\x0a"]);
    put("inventory", &[&[0x08, 1, 0x1a, 4, 0x28, 2, 0x30, criu_network]]);
    // The root directory has the ID 5 and the mode 040555.
    put("fs-7", &[b"\x08\x05\x10\x05"]);
    put("files", &[b"\x08\x01\x10\x05\x1a\x07\x32\x01/\x50\xed\x82\x01"]);
    let _ = fs::remove_file(format!("{images}/netns-10.img"));
    if let Some(network) = network {
        put("netns-10", &[network]);
    }
}

#[test]
fn a_namespace_flag_that_criu_would_ignore_is_an_error() {
    let dir = Dir::new();
    let own = "CRIU restores it into a new one";
    let hosts = "CRIU restores it into the host's";
    let by_path = "can only be restored into such a namespace";
    let external: &[u8] = b"\x42\x0cextRootNetNS";
    let net = |path: Option<&str>| match path {
        Some(path) => json!({"type": "network", "path": path}),
        None => json!({"type": "network"}),
    };
    let private = vec![net(None)];
    let (pid, ipc) = (vec![json!({"type": "pid"})], vec![json!({"type": "ipc"})]);
    let at_path = vec![net(Some("/run/netns/old"))];
    // Images: the network namespace of CRIU, and whether that of the container was external.
    type Images = Option<(u8, bool)>;
    type Case<'a> = (&'a [Value], Images, &'a [&'a str], Option<(&'a str, &'a str)>);
    #[rustfmt::skip]
    let cases: Vec<Case> = vec![
        (&private, None, &["--network", "ns:/run/netns/web"],
            Some((own, "leave out --network, and run netstatus apply --netns /proc/PID/ns/net after the restore; --images DIR finds"))),
        (&private, None, &["--network", "container:77"], Some((own, "leave out --network"))),
        (&private, None, &["--network", "host"], Some((own, "leave out --network"))),
        (&private, None, &["--network", "private"], None),
        (&private, None, &[], None),
        (&[], None, &["--network", "ns:/run/netns/web"], Some((hosts, "leave out --network"))),
        (&[], None, &["--network", "private"], Some((hosts, "leave out --network"))),
        (&[], None, &["--network", "host"], None),
        (&at_path, None, &["--network", "ns:/run/netns/web"], None),
        (&at_path, None, &["--network", "host"], Some((by_path, "--network ns:PATH"))),
        (&pid, None, &["--pid", "ns:/proc/1/ns/pid"], Some((own, "leave out --pid"))),
        (&ipc, None, &["--ipc", "ns:/proc/1/ns/ipc"], None),
        (&ipc, None, &["--ipc", "host"], Some((own, "leave out --ipc\n"))),
        (&[], None, &["--uts", "private"], Some((hosts, "leave out --uts\n"))),
        // The images say more than the spec.
        (&private, Some((1, true)), &["--network", "ns:/run/netns/web"], None),
        (&private, Some((1, true)), &[], Some((by_path, "--network ns:PATH"))),
        (&private, Some((1, true)), &["--network", "private"], Some((by_path, "--network ns:PATH"))),
        (&private, Some((1, false)), &["--network", "ns:/run/netns/web"], Some((own, "leave out --network, and run netstatus apply --netns /proc/PID/ns/net after the restore\n"))),
        (&private, Some((1, false)), &[], None),
        (&private, Some((10, false)), &["--network", "private"], Some((hosts, "--network host\n"))),
        (&at_path, Some((1, false)), &["--network", "ns:/run/netns/web"], Some((own, "--network private, and run netstatus apply"))),
        (&at_path, Some((1, true)), &["--network", "ns:/run/netns/web"], None),
    ];
    for (namespaces, images, flags, expected) in cases {
        let mut spec = plain();
        spec["linux"]["namespaces"] = json!(namespaces);
        let mut args = RESTORE.to_vec();
        if let Some((criu_network, is_external)) = images {
            write_images(&dir, criu_network, is_external.then_some(external));
            args.extend(["--images", "images"]);
        }
        let output = dir.run(&[&args[..], flags].concat(), &spec.to_string());
        let (found, what) = (message(&output), format!("{namespaces:?} {images:?} {flags:?}"));
        match expected {
            None => assert_eq!(output.status.code(), Some(0), "{what}: {found}"),
            Some((error, hint)) => {
                assert_eq!(output.status.code(), Some(1), "{what}: {found}");
                assert!(found.contains(error), "{what}: {found}");
                assert!(found.contains(&format!("hint: {hint}")), "{what}: {found}");
            }
        }
    }
}

#[test]
fn a_root_directory_with_another_mode_than_at_the_dump_is_named() {
    use std::os::unix::fs::PermissionsExt;

    let dir = Dir::new();
    write_images(&dir, 1, None);
    let rootfs = dir.path("rootfs");
    let warning = format!("{rootfs}: mode 0755, but CRIU requires 0555 to restore: chmod 0555 {rootfs}");
    for (mode, warned) in [(0o755, true), (0o555, false)] {
        fs::set_permissions(&rootfs, fs::Permissions::from_mode(mode)).unwrap();
        let output = dir.run(&[&RESTORE[..], &["--images", "images"]].concat(), &plain().to_string());
        assert_eq!(output.status.code(), Some(0), "{}", message(&output));
        assert_eq!(message(&output).contains(&warning), warned, "{}", message(&output));
    }
}
