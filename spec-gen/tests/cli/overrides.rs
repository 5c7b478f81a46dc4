//! Tests that flags win over the container config and the state, and that a flag without effect is
//! refused.

use super::*;

/// Returns a libpod container config that contradicts every flag below.
fn config() -> Value {
    serde_json::from_str(
        r#"{
        "id": "0123456789abcdef", "name": "c", "createNetNS": true, "user": "", "groups": [], "umask": "0022", "ShmDir": "/old/shm", "staticDir": "/old/userdata",
        "ipcNsCtr": "1111", "pidNsCtr": "1112", "utsNsCtr": "1113", "cgroupNsCtr": "1114",
        "cgroupManager": "cgroupfs", "cgroupParent": "/old", "stopSignal": 15, "stopTimeout": 10, "timezone": "local", "UseImageHosts": true,
        "createWorkingDir": true, "readWriteTmpfs": true, "systemd": true,
        "secret_env": {"SEC": {"name": "sec"}}, "secrets": [{"name": "s1"}, {"name": "s2", "Target": "/abs"}], "secretsPath": "/old/secrets",
        "namedVolumes": [{"volumeName": "nv", "dest": "/vol", "options": ["rw", "nosuid", "nodev", "rbind"]}, {"volumeName": "nv", "dest": "/nov", "options": ["O"]}],
        "overlayVolumes": [{"dest": "/ov", "source": "/srv/first", "options": ["rprivate"]}],
        "ctrImageVolumes": [{"dest": "/img", "source": "image"}],
        "spec": {
            "ociVersion": "1.2.0", "hostname": "old", "root": {"path": "rootfs", "readonly": true}, "annotations": {"k": "old"},
            "process": {"user": {"uid": 0, "gid": 0}, "args": ["/old"], "env": ["PATH=/bin", "A=old"], "cwd": "/data", "terminal": true, "noNewPrivileges": true,
                "capabilities": {"bounding": ["CAP_CHOWN", "CAP_KILL"], "effective": ["CAP_CHOWN", "CAP_KILL"], "permitted": ["CAP_CHOWN", "CAP_KILL"]}, "oomScoreAdj": 5},
            "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}, {"destination": "/bind", "type": "bind", "source": "/old", "options": ["rbind"]}],
            "linux": {"namespaces": [{"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}, {"type": "cgroup"}],
                "resources": {"memory": {"limit": 5}, "pids": {"limit": 7}}, "seccomp": {"defaultAction": "SCMP_ACT_ALLOW"}, "maskedPaths": ["/proc/kcore"]}
        }
    }"#,
    )
    .unwrap()
}

const STATE: &str = r#"{"netns": "/run/netns/old", "runDir": "/old/run"}"#;

/// The flags that every run needs in addition to the tested flag.
const NEEDED: [&str; 24] = [
    "-q",
    "--container",
    "config.dump",
    "--rootfs",
    "rootfs",
    "--volume-root",
    "vols",
    "--overlay-dir",
    "ovl",
    "--image-mount",
    "image=/image",
    "--container-pid",
    "1111=11",
    "--container-pid",
    "1112=12",
    "--container-pid",
    "1113=13,hostname=peer",
    "--container-pid",
    "1114=14",
    "--cgroup-version",
    "2",
    "--check-cwd",
    "off",
    "--secret-env=sec=secret",
];

fn generate(dir: &Dir, flags: &[&str]) -> Value {
    dir.write("config.dump", &config().to_string());
    dir.write("state", STATE);
    dir.write("secret", "s3cret");
    dir.spec(&[&NEEDED[..], flags].concat(), "")
}

fn mount_at(spec: &Value, destination: &str) -> Value {
    let mounts = spec["mounts"].as_array().unwrap().iter().filter(|m| m["destination"] == destination);
    let found: Vec<&Value> = mounts.collect();
    assert!(found.len() < 2, "{destination}: {found:?}");
    found.first().map_or(Value::Null, |m| (*m).clone())
}

#[test]
fn namespace_flags_win_over_config_and_state() {
    let dir = Dir::new();
    let namespace = |spec: &Value, kind: &str| {
        let found = spec["linux"]["namespaces"].as_array().unwrap().iter().find(|n| n["type"] == kind);
        found.map(|n| n.get("path").cloned().unwrap_or_default())
    };
    let before = generate(&dir, &["--state", "state"]);
    for (flag, kind, old) in [
        ("--network", "network", "/run/netns/old"),
        ("--ipc", "ipc", "/proc/11/ns/ipc"),
        ("--pid", "pid", "/proc/12/ns/pid"),
        ("--uts", "uts", "/proc/13/ns/uts"),
        ("--cgroupns", "cgroup", "/proc/14/ns/cgroup"),
    ] {
        assert_eq!(namespace(&before, kind), Some(json!(old)), "{kind}");
        for state in [&[][..], &["--state", "state"]] {
            for (mode, path) in [
                ("host", None),
                ("private", Some(Value::Null)),
                ("ns:/run/new", Some(json!("/run/new"))),
                (
                    "container:77",
                    Some(json!(format!("/proc/77/ns/{}", if kind == "network" { "net" } else { kind }))),
                ),
            ] {
                let spec = generate(&dir, &[&[flag, mode], state].concat());
                assert_eq!(namespace(&spec, kind), path, "{flag} {mode} {state:?}");
            }
        }
    }
    // Mounts and names that belong to a namespace change with it.
    assert_eq!(mount_at(&generate(&dir, &["--ipc", "host"]), "/dev/shm")["source"], "/dev/shm");
    assert_eq!(generate(&dir, &["--uts", "private", "--hostname", "mine"])["hostname"], "mine");
}

#[test]
fn mount_flags_win_over_config() {
    let dir = Dir::new();
    for destination in ["/vol", "/nov", "/ov", "/img", "/bind", "/ov/", "//vol"] {
        let at = format!("/{}", destination.trim_matches('/'));
        let (volume, long, tmpfs) = (
            format!("/new:{destination}"),
            format!("type=bind,src=/new,dst={destination}"),
            format!("{destination}:size=1m"),
        );
        for (flags, source) in
            [(["-v", volume.as_str()], "/new"), (["--mount", &long], "/new"), (["--tmpfs", &tmpfs], "tmpfs")]
        {
            let spec = generate(&dir, &flags);
            let found: Vec<&Value> = spec["mounts"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|m| m["destination"].as_str().unwrap().trim_matches('/') == at.trim_matches('/'))
                .collect();
            assert_eq!(found.len(), 1, "{flags:?}");
            assert_eq!(found[0]["source"], source, "{flags:?}");
        }
        let spec = generate(&dir, &["--mount-remove", destination]);
        assert_eq!(mount_at(&spec, &at), Value::Null, "{destination}");
    }
    for secret in ["/run/secrets/s1", "/abs", "/etc/hostname"] {
        assert_ne!(mount_at(&generate(&dir, &["--state", "state"]), secret), Value::Null, "{secret}");
        assert_eq!(
            mount_at(&generate(&dir, &["--state", "state", "--mount-remove", secret]), secret),
            Value::Null,
            "{secret}"
        );
    }
    let spec =
        generate(&dir, &["--mount-remove-all", "--systemd=false", "-v", "/new:/ov", "--state", "state"]);
    let left: Vec<&str> = spec["mounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["destination"].as_str().unwrap())
        .filter(|d| *d != "/etc/localtime")
        .collect();
    assert_eq!(left, ["/ov"]);
    let output = dir.run(&[&NEEDED[..], &["--mount-remove", "/nowhere"]].concat(), "");
    assert!(
        !output.status.success()
            && message(&output).contains("--mount-remove /nowhere: no mount at this destination"),
        "{}",
        message(&output)
    );
    assert_eq!(
        mount_at(&generate(&dir, &["--ipc", "private", "--shm-size", "5"]), "/dev/shm")["options"],
        json!(["nosuid", "noexec", "nodev", "mode=1777", "size=5"])
    );
}

#[test]
fn other_flags_win_over_config() {
    let dir = Dir::new();
    let bounding = json!(["CAP_CHOWN", "CAP_KILL"]);
    #[rustfmt::skip]
    let cases: &[(&[&str], &str, Value)] = &[
        (&["--user", "alice"], "/process/capabilities", json!({"bounding": bounding})),
        (&["--user", "alice", "--cap-add", "KILL"], "/process/capabilities/effective", json!(["CAP_KILL"])),
        (&["--user", "alice"], "/process/user/additionalGids", json!([1000, 10])),
        (&["--user", "4242:7"], "/process/user/gid", json!(7)),
        (&["--user", "root"], "/process/capabilities/effective", bounding.clone()),
        (&["--umask", "0077"], "/process/user/umask", json!(0o77)),
        (&["--workdir", "/"], "/process/cwd", json!("/")),
        (&["--entrypoint", "/new"], "/process/args", json!(["/new"])),
        (&["--", "/new", "x"], "/process/args", json!(["/new", "x"])),
        (&["--tty=false"], "/process/terminal", json!(false)),
        (&["--no-new-privileges=false"], "/process/noNewPrivileges", json!(false)),
        (&["--security-opt", "no-new-privileges=0"], "/process/noNewPrivileges", json!(false)),
        (&["--security-opt", "seccomp=unconfined"], "/linux/seccomp", Value::Null),
        (&["--security-opt", "systempaths=unconfined"], "/linux/maskedPaths", Value::Null),
        (&["--cap-drop", "ALL"], "/process/capabilities/bounding", Value::Null),
        (&["--read-only=false"], "/root/readonly", json!(false)),
        (&["--memory", "0"], "/linux/resources/memory/limit", Value::Null),
        (&["--pids-limit", "9"], "/linux/resources/pids/limit", json!(9)),
        (&["--oom-score-adj", "0"], "/process/oomScoreAdj", json!(0)),
        (&["--cgroup-parent", "/new"], "/linux/cgroupsPath", json!("/new/libpod-0123456789abcdef")),
        (&["--cgroups", "disabled"], "/linux/cgroupsPath", Value::Null),
        (&["--cgroups-path", "/new"], "/linux/cgroupsPath", json!("/new")),
        (&["--cgroup-manager", "systemd", "--cgroup-parent", "new.slice"], "/linux/cgroupsPath", json!("new.slice:libpod:0123456789abcdef")),
        (&["--id", "fedcba9876543210"], "/linux/cgroupsPath", json!("/old/libpod-fedcba9876543210")),
        (&["--stop-signal", "9"], "/annotations/org.systemd.property.KillSignal", json!("9")),
        (&["--stop-timeout", "0"], "/annotations/org.systemd.property.TimeoutStopUSec", Value::Null),
        (&["--annotation", "org.opencontainers.image.stopSignal=mine"], "/annotations/org.opencontainers.image.stopSignal", json!("mine")),
        (&["--annotation", "io.container.manager=mine"], "/annotations/io.container.manager", json!("mine")),
        (&["--label", "k=new"], "/annotations/k", json!("new")),
    ];
    for (flags, pointer, expected) in cases {
        let spec = generate(&dir, flags);
        assert_eq!(spec.pointer(pointer).unwrap_or(&Value::Null), expected, "{flags:?}");
    }
    let env = |flags: &[&str]| generate(&dir, flags)["process"]["env"].clone();
    let has = |flags: &[&str], entry: &str| {
        env(flags)
            .as_array()
            .unwrap()
            .iter()
            .filter(|e| e.as_str().unwrap().split('=').next() == entry.split('=').next())
            .cloned()
            .collect::<Vec<_>>()
            == [json!(entry)]
    };
    assert!(has(&[], "SEC=s3cret") && has(&[], "A=old"));
    assert!(has(&["-e", "A=new"], "A=new") && has(&["-e", "HOME=/mine", "--user", "alice"], "HOME=/mine"));
    assert!(has(&["--user", "alice"], "HOME=/home/alice"));
}

#[ignore = "needs root"]
#[test]
fn two_files_or_volumes_with_the_same_path_are_an_error() {
    let dir = Dir::new();
    dir.write("a", "A");
    dir.write("b", "B");
    fs::create_dir(dir.path("pw")).unwrap();
    fs::create_dir(dir.path("vol")).unwrap();
    std::os::unix::fs::symlink("pw", dir.path("link")).unwrap();
    let rootfs: &[&str] = &["--new", "--rootfs", "rootfs", "--user", "4242", "--passwd-out", "pw", "--apply"];
    let copies: &[&str] = &["--new", "--secret-copies", "sc", "--secret", "s1,src=a,target=/a", "--apply"];
    let volumes: &[&str] = &["--new", "-v", "a:/a", "-v", "b:/b", "--volume-path", "a=vol"];
    let two = "two actions make this file with different content";
    let output = "an action of --apply makes this file";
    #[rustfmt::skip]
    let cases: &[(&[&str], &[&str], &str)] = &[
        (rootfs, &["--secret-copies", "pw", "--secret", "passwd,src=a"], two),
        (rootfs, &["--secret-copies", "link", "--secret", "passwd,src=a"], two),
        (rootfs, &["-o", "pw/passwd"], output),
        (rootfs, &["-o", "link/passwd"], output),
        (rootfs, &["--actions", "pw/./passwd"], output),
        (copies, &["--secret", "s1,src=b,target=/b"], two),
        (copies, &["--secret", "s1,src=a,target=/b,mode=0400"], two),
        (volumes, &["--volume-path", "b=vol"], "volume a has the same directory"),
        (volumes, &["--volume-path", "b=./pw/../vol/"], "volume a has the same directory"),
    ];
    for (base, flags, text) in cases {
        let output = dir.run(&[*base, flags].concat(), "");
        let found = message(&output);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{flags:?}: {found}");
        assert!(found.contains(text), "{flags:?}: {found}");
        assert_eq!(fs::read_dir(dir.path("pw")).unwrap().count(), 0, "{flags:?}");
        assert!(!Path::new(&dir.path("sc")).exists(), "{flags:?}");
    }
    for (base, flags) in [
        (volumes, &["--volume-path", "b=pw"][..]),
        (copies, &["--secret", "s1,src=a,target=/b"]),
        (copies, &["--secret", "s2,src=b,target=/b"]),
        (rootfs, &["-o", "pw/config.json"]),
    ] {
        let output = dir.run(&[base, flags].concat(), "");
        assert!(output.status.success(), "{flags:?}: {}", message(&output));
    }
}

/// Returns a container config for a state that lists the files of the container engine.
fn listed(shm: &[Value]) -> Value {
    let mut config = config();
    config["chroot_directories"] = json!(["/ch"]);
    config["spec"]["mounts"].as_array_mut().unwrap().extend(shm.iter().cloned());
    config
}

#[test]
fn flags_win_over_the_files_that_the_state_lists() {
    let dir = Dir::new();
    dir.write("secret", "s3cret");
    dir.write("listing", r#"{"bindMounts": {"/etc/hosts": "/e/hosts", "/dev/shm": "/old/shm"}}"#);
    let tmpfs = json!({"destination": "/dev/shm", "type": "tmpfs", "source": "shm"});
    let generated = |shm: &[Value], flags: &[&str]| {
        dir.write("config.dump", &listed(shm).to_string());
        dir.spec(&[&NEEDED[..], flags].concat(), "")
    };
    let listing = ["--state", "listing"];
    let absolute = dir.path("x");
    #[rustfmt::skip]
    let cases: &[(&[Value], &[&str], &str, Value)] = &[
        (&[], &[], "/dev/shm", json!("/old/shm")),
        (&[], &["--ipc", "host"], "/dev/shm", json!("/dev/shm")),
        (&[], &["--ipc", "host"], "/etc/hosts", json!("/e/hosts")),
        (&[], &["--ipc", "host", "--mount-remove", "/etc/hosts"], "/dev/shm", json!("/dev/shm")),
        (&[], &["--shm-dir", "x"], "/dev/shm", json!(absolute)),
        (std::slice::from_ref(&tmpfs), &["--shm-dir", "x"], "/dev/shm", json!(absolute)),
        (&[], &[], "/ch/etc/hosts", json!("/e/hosts")),
        (&[], &["--mount-remove", "/ch/etc/hosts"], "/ch/etc/hosts", Value::Null),
        (&[], &["--mount-remove", "/ch//etc/hosts/"], "/ch/etc/hosts", Value::Null),
        (&[], &["--mount-remove", "/ch/etc/hosts"], "/etc/hosts", json!("/e/hosts")),
    ];
    for (shm, flags, destination, source) in cases {
        let spec = generated(shm, &[&listing[..], flags].concat());
        assert_eq!(mount_at(&spec, destination)["source"], *source, "{flags:?} {destination}");
    }
    let spec = generated(&[tmpfs], &["--shm-dir", "x"]);
    assert_eq!(mount_at(&spec, "/dev/shm")["source"], json!(absolute));
    let powercap = "/sys/devices/virtual/powercap";
    for (unmask, masked) in [
        ("/proc/kcore", json!([powercap])),
        ("/proc/*", json!([powercap])),
        (powercap, json!(["/proc/kcore"])),
        ("/nowhere", json!(["/proc/kcore", powercap])),
        ("ALL", Value::Null),
    ] {
        let spec = generated(&[], &["--unmask", unmask]);
        assert_eq!(spec["linux"]["maskedPaths"], masked, "{unmask}");
        // A path of --mask stays masked.
        let spec = generated(&[], &["--unmask", unmask, "--mask", "/proc/kcore:/proc/x"]);
        let masked = spec["linux"]["maskedPaths"].as_array().unwrap();
        assert!(["/proc/kcore", "/proc/x"].iter().all(|path| masked.contains(&json!(path))), "{masked:?}");
    }
}

#[test]
fn a_flag_without_effect_is_refused() {
    let dir = Dir::new();
    std::os::unix::fs::symlink("out", dir.path("link")).unwrap();
    dir.write("out", "old");
    fs::hard_link(dir.path("out"), dir.path("hard")).unwrap();
    #[rustfmt::skip]
    let cases: &[(&[&str], &str)] = &[
        (&["--new", "--image-volume", "tmpfs"], "--image-volume has no effect without --image-config"),
        (&["--new", "--no-precreate"], "--no-precreate has no effect without --hooks-dir"),
        (&["--new", "--trust-archive"], "--trust-archive has no effect without --restore"),
        (&["--new", "--manager-files", "x"], "--manager-files has no effect without --restore"),
        (&["--new", "--images", "x"], "--images has no effect without --restore"),
        (&["--new", "--force", "-o", "x"], "--force has no effect without --bundle"),
        (&["--new", "--cgroups", "disabled", "--cgroup-parent", "/x"], "--cgroup-parent has no effect with --cgroups disabled"),
        (&["--new", "--diff", "--compact"], "--compact has no effect with --diff"),
        (&["--new", "--explain", "--sort-keys"], "--sort-keys has no effect with --explain"),
        (&["--new", "--cgroups-path", "/x", "--cgroup-parent", "/y", "--id", "a"], "--cgroup-parent has no effect with --cgroups-path"),
        (&["--new", "--cgroups-path", "/x", "--cgroups", "enabled"], "--cgroups has no effect with --cgroups-path"),
        (&["--new", "--shm-size-systemd", "5m"], "--shm-size-systemd has no effect without --systemd"),
        (&["--new", "--tty=false", "--console-size", "80x40"], "--console-size has no effect with --tty=false"),
        (&["--new", "--shm-size", "5m", "--shm-dir", "x"], "--shm-size has no effect with --shm-dir"),
        (&["--new", "--shm-size", "5m", "--ipc", "host"], "--shm-size has no effect with --ipc host"),
        (&["--new", "--seccomp", "unconfined", "--security-opt", "seccomp=x"], "--security-opt seccomp=x and --seccomp set the same"),
        (&["--new", "--actions", "-"], "--actions -: the result is written to the same file"),
        (&["--new", "-o", "-", "--actions", "-"], "the result is written to the same file"),
        (&["--new", "-o", "out", "--actions", "out"], "the result is written to the same file"),
        (&["--new", "-o", "out", "--actions", "./link"], "the result is written to the same file"),
        (&["--new", "-o", "hard", "--actions", "out"], "the result is written to the same file"),
        (&["--new", "-o", "new", "--actions", "rootfs/../new"], "the result is written to the same file"),
        (&["--new", "--bundle", ".", "--actions", "config.json"], "the result is written to the same file"),
    ];
    for (flags, text) in cases {
        let output = dir.run(flags, "");
        assert_eq!(
            (output.status.code(), output.stdout.len()),
            (Some(2), 0),
            "{flags:?}: {}",
            message(&output)
        );
        assert!(message(&output).contains(text), "{flags:?}: {}", message(&output));
    }
    assert_eq!(fs::read_to_string(dir.path("out")).unwrap(), "old");
    assert!(!Path::new(&dir.path("config.json")).exists() && !Path::new(&dir.path("new")).exists());
    // Directories that a run may not need are accepted, and so are outputs to different files.
    for flags in [
        &[
            "--volume-root",
            "v",
            "--overlay-dir",
            "o",
            "--secret-root",
            "s",
            "--cdi-spec-dir",
            "c",
            "--cgroup-version",
            "2",
        ][..],
        &["-o", "a", "--actions", "b"],
        &["-o", "/dev/null", "--actions", "/dev/null"],
    ] {
        let output = dir.run(&[&["--new"], flags].concat(), "");
        assert!(output.status.success(), "{flags:?}: {}", message(&output));
    }
}
