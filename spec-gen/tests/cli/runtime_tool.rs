//! Tests the flags of `oci-runtime-tool generate` in their own notation.

use super::*;

/// A spec with entries that the flags can remove.
const FULL: &str = r#"{"ociVersion":"1.2.0","process":{"user":{"uid":0,"gid":0},"args":["sh"],"cwd":"/",
    "capabilities":{"bounding":["CAP_CHOWN","CAP_KILL"],"effective":["CAP_KILL"],"permitted":["CAP_KILL"],"ambient":["CAP_KILL"]},
    "rlimits":[{"type":"RLIMIT_CORE","hard":1,"soft":1},{"type":"RLIMIT_NOFILE","hard":2,"soft":2}]},
    "root":{"path":"rootfs"},"hostname":"h","mounts":[{"destination":"/proc","type":"proc","source":"proc"}],
    "hooks":{"prestart":[{"path":"/old"}],"poststart":[{"path":"/old"}],"poststop":[{"path":"/old"}]},
    "linux":{"namespaces":[{"type":"uts"},{"type":"user"},{"type":"network"}],"uidMappings":[{"containerID":0,"hostID":1,"size":1}],
        "readonlyPaths":["/proc/bus"],"sysctl":{"net.ipv4.ip_forward":"1","kernel.shmmax":"1"},
        "devices":[{"path":"/dev/a","type":"c","major":1,"minor":1},{"path":"/dev/b","type":"c","major":1,"minor":2}],
        "resources":{"devices":[{"allow":false,"access":"rwm"}],"hugepageLimits":[{"pageSize":"2MB","limit":5},{"pageSize":"1GB","limit":6}],
            "network":{"priorities":[{"name":"eth0","priority":1},{"name":"eth1","priority":2}]},
            "blockIO":{"weightDevice":[{"major":8,"minor":0,"weight":100,"leafWeight":200}],"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":5}]}}}}"#;

#[test]
fn every_flag_writes_the_same_as_in_oci_runtime_tool() {
    let dir = Dir::new();
    let hook = r#"{"path":"/bin/x","args":["x","y"],"env":["A=b"],"timeout":5}"#;
    let mount = r#"{"destination":"/data","type":"bind","source":"/srv","options":["rbind","ro"],"uidMappings":[{"containerID":0,"hostID":5,"size":1}]}"#;
    let value = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    #[rustfmt::skip]
    let cases: &[(&[&str], &str, Value)] = &[
        (&["--args", "sh", "--args", "-c", "--args", "id"], "/process/args", json!(["sh", "-c", "id"])),
        (&["--process-uid", "5"], "/process/user", json!({"uid": 5, "gid": 0})),
        (&["--process-uid=5", "--process-gid=6"], "/process/user", json!({"uid": 5, "gid": 6})),
        (&["--process-consolesize", "80:40"], "/process/consoleSize", json!({"width": 80, "height": 40})),
        (&["--process-cap-add-ambient", "CAP_BPF"], "/process/capabilities/ambient", json!(["CAP_BPF", "CAP_KILL"])),
        (&["--process-cap-add-ambient", "CAP_BPF"], "/process/capabilities/effective", json!(["CAP_KILL"])),
        (&["--process-cap-add-bounding", "bpf"], "/process/capabilities/bounding", json!(["CAP_BPF", "CAP_CHOWN", "CAP_KILL"])),
        (&["--process-cap-add-effective", "CAP_BPF"], "/process/capabilities/effective", json!(["CAP_BPF", "CAP_KILL"])),
        (&["--process-cap-add-inheritable", "CAP_BPF"], "/process/capabilities/inheritable", json!(["CAP_BPF"])),
        (&["--process-cap-add-permitted", "CAP_BPF"], "/process/capabilities/permitted", json!(["CAP_BPF", "CAP_KILL"])),
        (&["--process-cap-drop-all"], "/process/capabilities", json!({})),
        (&["--process-cap-drop-all=false"], "/process/capabilities/bounding", json!(["CAP_CHOWN", "CAP_KILL"])),
        (&["--process-cap-drop-all", "--process-cap-add-bounding", "CAP_BPF"], "/process/capabilities", json!({"bounding": ["CAP_BPF"]})),
        (&["--process-cap-drop-bounding", "CAP_KILL"], "/process/capabilities/bounding", json!(["CAP_CHOWN"])),
        (&["--process-cap-add-inheritable", "CAP_KILL,CAP_BPF", "--process-cap-drop-inheritable", "CAP_KILL"], "/process/capabilities/inheritable", json!(["CAP_BPF"])),
        (&["--process-rlimits-add", "RLIMIT_NOFILE:2048:1024"], "/process/rlimits/1", json!({"type": "RLIMIT_NOFILE", "hard": 2048, "soft": 1024})),
        (&["--process-rlimits-add", "RLIMIT_CPU:-1:9"], "/process/rlimits/2", json!({"type": "RLIMIT_CPU", "hard": u64::MAX, "soft": 9})),
        (&["--process-rlimits-remove", "RLIMIT_CORE"], "/process/rlimits", json!([{"type": "RLIMIT_NOFILE", "hard": 2, "soft": 2}])),
        (&["--process-rlimits-remove-all", "--process-rlimits-add", "RLIMIT_CPU:9:9"], "/process/rlimits", json!([{"type": "RLIMIT_CPU", "hard": 9, "soft": 9}])),
        (&["--rootfs-readonly", "--mounts-remove-all"], "/mounts", json!([])),
        (&["--read-only", "--mounts-remove-all"], "/mounts/0/destination", json!("/run")),
        (&["--mounts-add", mount], "/mounts/1", value(mount)),
        (&["--mounts-remove-all", "--mounts-add", mount], "/mounts", json!([value(mount)])),
        (&["--hooks-prestart-add", hook], "/hooks/prestart/1", value(hook)),
        (&["--hooks-poststart-add", hook], "/hooks/poststart/1", value(hook)),
        (&["--hooks-poststop-add", hook], "/hooks/poststop/1", value(hook)),
        (&["--hooks-prestart-remove-all", "--hooks-prestart-add", hook], "/hooks/prestart", json!([value(hook)])),
        (&["--hooks-poststart-remove-all=true", "--hooks-poststop-remove-all"], "/hooks", json!({"prestart": [{"path": "/old"}]})),
        (&["--linux-namespace-add", "network:/run/netns/a"], "/linux/namespaces/2", json!({"type": "network", "path": "/run/netns/a"})),
        (&["--linux-namespace-add", "cgroup"], "/linux/namespaces/3", json!({"type": "cgroup"})),
        (&["--linux-namespace-remove", "network"], "/linux/namespaces", json!([{"type": "uts"}, {"type": "user"}])),
        (&["--linux-namespace-remove", "network"], "/linux/sysctl", json!({"kernel.shmmax": "1"})),
        (&["--linux-namespace-remove-all"], "/linux/namespaces", json!([])),
        (&["--linux-namespace-remove-all", "--linux-namespace-add", "pid"], "/linux/namespaces", json!([{"type": "pid"}])),
        (&["--linux-masked-paths", "/proc/kcore"], "/linux/maskedPaths", json!(["/proc/kcore"])),
        (&["--linux-readonly-paths", "/proc/sys", "--linux-readonly-paths", "/proc/bus"], "/linux/readonlyPaths", json!(["/proc/bus", "/proc/sys"])),
        (&["--linux-device-add", "c:10:229:/dev/fuse:fileMode=438:uid=1:gid=2"], "/linux/devices/2", json!({"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 438, "uid": 1, "gid": 2})),
        (&["--linux-device-remove", "/dev/a"], "/linux/devices", json!([{"path": "/dev/b", "type": "c", "major": 1, "minor": 2}])),
        (&["--linux-device-remove-all", "--linux-device-add", "b:7:0:/dev/loop0"], "/linux/devices", json!([{"path": "/dev/loop0", "type": "b", "major": 7, "minor": 0}])),
        (&["--linux-device-cgroup-add", "allow,type=c,major=10,minor=229,access=rw"], "/linux/resources/devices/1", json!({"allow": true, "type": "c", "major": 10, "minor": 229, "access": "rw"})),
        (&["--linux-device-cgroup-add", "deny,type=a", "--linux-device-cgroup-remove", "deny,access=rwm"], "/linux/resources/devices", json!([{"allow": false, "type": "a"}])),
        (&["--linux-mem-limit", "1048576"], "/linux/resources/memory", json!({"limit": 1_048_576})),
        (&["--linux-mem-kernel-limit", "7", "--linux-mem-kernel-tcp", "8"], "/linux/resources/memory", json!({"kernel": 7, "kernelTCP": 8})),
        (&["--linux-hugepage-limits-add", "2MB:9"], "/linux/resources/hugepageLimits", json!([{"pageSize": "1GB", "limit": 6}, {"pageSize": "2MB", "limit": 9}])),
        (&["--linux-hugepage-limits-drop", "1GB"], "/linux/resources/hugepageLimits", json!([{"pageSize": "2MB", "limit": 5}])),
        (&["--linux-network-classid", "1048577"], "/linux/resources/network/classID", json!(1_048_577)),
        (&["--linux-network-priorities", "eth0:7", "--linux-network-priorities", "eth1:-1"], "/linux/resources/network/priorities", json!([{"name": "eth0", "priority": 7}])),
        (&["--linux-blkio-leaf-weight", "300"], "/linux/resources/blockIO/leafWeight", json!(300)),
        (&["--linux-blkio-weight-device", "8:16:500"], "/linux/resources/blockIO/weightDevice/1", json!({"major": 8, "minor": 16, "weight": 500})),
        (&["--linux-blkio-weight-device", "8:0:-1"], "/linux/resources/blockIO/weightDevice", json!([{"major": 8, "minor": 0, "leafWeight": 200}])),
        (&["--linux-blkio-leaf-weight-device", "8:0:400"], "/linux/resources/blockIO/weightDevice", json!([{"major": 8, "minor": 0, "weight": 100, "leafWeight": 400}])),
        (&["--linux-blkio-read-bps-device", "8:0:9"], "/linux/resources/blockIO/throttleReadBpsDevice", json!([{"major": 8, "minor": 0, "rate": 9}])),
        (&["--linux-blkio-write-bps-device", "8:0:9"], "/linux/resources/blockIO/throttleWriteBpsDevice", json!([{"major": 8, "minor": 0, "rate": 9}])),
        (&["--linux-blkio-read-iops-device", "8:0:9"], "/linux/resources/blockIO/throttleReadIOPSDevice", json!([{"major": 8, "minor": 0, "rate": 9}])),
        (&["--linux-blkio-write-iops-device", "8:0:9"], "/linux/resources/blockIO/throttleWriteIOPSDevice", json!([{"major": 8, "minor": 0, "rate": 9}])),
        (&["--linux-intelRdt-l3CacheSchema", "L3:0=f"], "/linux/intelRdt/l3CacheSchema", json!("L3:0=f")),
        (&["--label", "a=b=c"], "/annotations", json!({"a": "b=c"})),
    ];
    for (flags, path, expected) in cases {
        assert_eq!(dir.spec(flags, FULL).pointer(path), Some(expected), "{flags:?}");
    }
    // Removing the last entry of a list also removes the list.
    for (flags, path) in [
        (&["--linux-blkio-read-bps-device", "8:0:-1"][..], "/linux/resources/blockIO/throttleReadBpsDevice"),
        (
            &["--linux-blkio-weight-device", "8:0:-1", "--linux-blkio-leaf-weight-device", "8:0:-1"],
            "/linux/resources/blockIO/weightDevice",
        ),
        (&["--process-cap-drop-ambient", "CAP_KILL"], "/process/capabilities/ambient"),
        (&["--process-cap-drop-effective", "CAP_KILL"], "/process/capabilities/effective"),
        (&["--process-cap-drop-permitted", "ALL"], "/process/capabilities/permitted"),
        (&["--process-rlimits-remove-all"], "/process/rlimits"),
        (&["--linux-device-remove-all"], "/linux/devices"),
        (&["--linux-namespace-remove-all"], "/hostname"),
        (&["--linux-namespace-remove-all"], "/linux/uidMappings"),
    ] {
        assert_eq!(dir.spec(flags, FULL).pointer(path), None, "{flags:?}");
    }
}

#[test]
fn added_mounts_are_sorted_and_flags_override_env_files() {
    let dir = Dir::new();
    dir.write("vars", "A=1\n# c\nB=2\n");
    let flags = [
        "--env-file",
        "vars",
        "--env",
        "B=3",
        "--mounts-add",
        r#"{"destination":"/a/b","options":["rslave"]}"#,
    ];
    let spec = dir.spec(&[&flags[..], &["--mounts-add", r#"{"destination":"/a"}"#]].concat(), FULL);
    assert_eq!(spec["process"]["env"], json!(["A=1", "B=3"]));
    let destinations: Vec<&str> =
        spec["mounts"].as_array().unwrap().iter().map(|m| m["destination"].as_str().unwrap()).collect();
    assert_eq!(destinations, ["/proc", "/a", "/a/b"]);
    assert_eq!(spec["linux"]["rootfsPropagation"], "rslave");
}

#[test]
fn host_first_mappings_are_refused_with_the_flag_to_use() {
    let dir = Dir::new();
    for (flag, ours, map, right) in [
        ("--linux-uidmappings", "--uidmap", "1000:0:10", "0:1000:10"),
        ("--linux-gidmappings", "--gidmap", "1000:0:10", "0:1000:10"),
        ("--linux-uidmappings", "--uidmap", "5", "CONTAINER:HOST:SIZE"),
    ] {
        let output = dir.run(&[flag, map], FULL);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
        let found = message(&output);
        assert!(
            found.starts_with(&format!("spec-gen: error: {flag} {map}: the host ID comes first")),
            "{found}"
        );
        assert!(found.ends_with(&format!("hint: write {ours} {right}\n")), "{found}");
    }
}

#[test]
fn invalid_values_are_reported() {
    let dir = Dir::new();
    #[rustfmt::skip]
    let cases: &[(&[&str], i32, &str)] = &[
        (&["--mounts-add", "x"], 2, "invalid value 'x' for '--mounts-add <JSON>'"),
        (&["--mounts-add", "{}"], 2, "--mounts-add {}: mounts[0].destination: missing, expected a string"),
        (&["--mounts-add", r#"{"destination":"data"}"#], 2, "data: a mount's destination must be an absolute path"),
        (&["--hooks-poststop-add", "{}"], 2, "hooks.poststop[0].path: missing, expected a string"),
        (&["--hooks-poststop-add", r#"{"path":"x"}"#], 2, "expected an absolute path"),
        (&["--linux-namespace-add", "net"], 2, "expected one of pid, network, ipc, uts, mount, user, cgroup, time"),
        (&["--process-cap-add-bounding", "CAP_X"], 2, "--process-cap-add-bounding CAP_X: not a capability"),
        (&["--process-rlimits-add", "RLIMIT_CPU:1:2"], 2, "the soft limit is above the hard limit"),
        (&["--process-uid", "5", "--user", "6"], 2, "cannot be used with"),
        (&["--args", "a", "--", "b"], 2, "cannot be used with"),
        (&["--linux-mem-limit", "5", "--memory", "6"], 2, "cannot be used with"),
        (&["--restore", "--linux-device-remove-all"], 2, "cannot be used with"),
    ];
    for (flags, status, text) in cases {
        let output = dir.run(flags, FULL);
        let found = message(&output);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(*status), 0), "{flags:?}: {found}");
        assert!(found.contains(text), "{flags:?}: {found}");
    }
}

#[test]
fn the_flags_are_in_the_manual_but_not_in_help() {
    let dir = Dir::new();
    let help = String::from_utf8(dir.run(&["--help"], "").stdout).unwrap();
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../man/spec-gen.1")).unwrap();
    let section = page.split(".SS oci-runtime-tool\n").nth(1).unwrap();
    let section = section.split("\n.S").next().unwrap().replace('\\', "");
    let source = include_str!("../../src/args/oci_runtime_tool.rs");
    let mut flags = 0;
    for field in source.lines().filter_map(|l| l.trim().strip_prefix("pub ")?.split_once(": ")) {
        let name = match field.0 {
            "words" => "args".to_owned(),
            "linux_intel_rdt_l3_cache_schema" => "linux-intelRdt-l3CacheSchema".into(),
            name => name.replace('_', "-"),
        };
        assert!(!help.contains(&format!("--{name}")), "{name}");
        assert!(
            section.contains(&format!("--{name} ")) || section.contains(&format!("--{name}\n")),
            "{name} is not in spec-gen.1"
        );
        flags += 1;
    }
    assert!(flags > 45, "{flags}");
}
