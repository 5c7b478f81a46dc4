//! Tests the values of podman's flags. The expected results were recorded with `podman create` and
//! `podman init` of podman 5.4.2.

use super::*;

const LIMITED: &str = r#"{"ociVersion":"1.2.0","process":{"user":{"uid":0,"gid":0},"args":["sh"],"cwd":"/","rlimits":[{"type":"RLIMIT_CORE","hard":1,"soft":1}]},
    "root":{"path":"rootfs"},"mounts":[{"destination":"/proc","type":"proc","source":"proc","options":["nosuid","noexec","nodev"]}],
    "linux":{"namespaces":[{"type":"mount"},{"type":"network"}],"maskedPaths":["/proc/kcore"],"readonlyPaths":["/proc/sys"],"resources":{"memory":{"limit":5,"swap":6,"reservation":7,"swappiness":8},
        "cpu":{"shares":1,"quota":2,"period":3,"realtimePeriod":4,"realtimeRuntime":5,"cpus":"0"},"pids":{"limit":1},"blockIO":{"weight":10}}}}"#;

/// A value of zero also removes a limit of the input, because a runtime could apply 0 literally.
#[test]
fn a_limit_of_zero_removes_the_limit() {
    let dir = Dir::new();
    #[rustfmt::skip]
    let cases: &[(&[&str], &str, Value)] = &[
        (&["--memory", "0"], "memory/limit", Value::Null),
        (&["--memory", "0"], "memory/swap", Value::Null),
        (&["-m", "50m", "-m", "0b"], "memory/limit", Value::Null),
        (&["--memory", "100m", "--memory-swap", "-1"], "memory/swap", Value::Null),
        (&["--memory-swap", "0"], "memory/swap", Value::Null),
        (&["--memory-reservation", "0"], "memory/reservation", Value::Null),
        (&["--memory-swappiness", "-1"], "memory/swappiness", Value::Null),
        (&["--memory-swappiness", "0"], "memory/swappiness", json!(0)),
        (&["--cpus", "0"], "cpu/quota", Value::Null),
        (&["--cpus", "0.0"], "cpu/period", Value::Null),
        (&["--cpus=-1"], "cpu/quota", Value::Null),
        (&["--cpu-shares", "0"], "cpu/shares", Value::Null),
        (&["--cpu-quota", "0"], "cpu/quota", Value::Null),
        (&["--cpu-quota", "-1"], "cpu/quota", Value::Null),
        (&["--cpu-period", "0"], "cpu/period", Value::Null),
        (&["--cpu-rt-period", "0"], "cpu/realtimePeriod", Value::Null),
        (&["--cpu-rt-runtime", "0"], "cpu/realtimeRuntime", Value::Null),
        (&["--cpuset-cpus", ""], "cpu/cpus", Value::Null),
        (&["--pids-limit", "0"], "pids/limit", json!(-1)),
        (&["--pids-limit", "-1"], "pids/limit", json!(-1)),
        (&["--blkio-weight", "0"], "blockIO/weight", Value::Null),
        (&["-c", "512"], "cpu/shares", json!(512)),
        (&["--cpus", ".5"], "cpu/quota", json!(50_000)),
        (&["--memory", "10 m"], "memory/limit", json!(10 << 20)),
        (&["--memory", "1p"], "memory/limit", json!(1_i64 << 50)),
    ];
    for (flags, key, expected) in cases {
        let spec = dir.spec(flags, LIMITED);
        let found = spec.pointer(&format!("/linux/resources/{key}")).unwrap_or(&Value::Null);
        assert_eq!(found, expected, "{flags:?}");
    }
}

#[test]
fn flag_values_are_interpreted_as_in_podman() {
    let dir = Dir::new();
    let rlimit = |kind: &str, soft: u64, hard: u64| json!({"type": kind, "hard": hard, "soft": soft});
    let rule = |access: &str| json!([{"allow": true, "type": "c", "major": 1, "minor": 5, "access": access}]);
    let signal = |n: &str| json!(n);
    const STOP: &str = "/annotations/org.systemd.property.KillSignal";
    #[rustfmt::skip]
    let cases: Vec<(&[&str], &str, Value)> = vec![
        (&["--ulimit", "host"], "/process/rlimits", Value::Null),
        (&["--ulimit", "core=10:-1"], "/process/rlimits", json!([rlimit("RLIMIT_CORE", 10, u64::MAX)])),
        (&["--ulimit", "CORE=5,nofile=6:7"], "/process/rlimits", json!([rlimit("RLIMIT_CORE", 5, 5), rlimit("RLIMIT_NOFILE", 6, 7)])),
        (&["--ulimit", "core=5", "--ulimit", "core=6"], "/process/rlimits", json!([rlimit("RLIMIT_CORE", 6, 6)])),
        (&["--stop-signal", "SIGRTMAX-1"], STOP, signal("63")),
        (&["--stop-signal", "rtmin+3"], STOP, signal("37")),
        (&["--stop-signal", "CLD"], STOP, signal("17")),
        (&["--stop-signal", "09"], STOP, signal("9")),
        (&["--stop-timeout", "0"], "/annotations/org.systemd.property.TimeoutStopUSec", Value::Null),
        (&["--security-opt", "systempaths=unconfined"], "/linux/maskedPaths", Value::Null),
        (&["--security-opt", "systempaths=unconfined"], "/linux/readonlyPaths", Value::Null),
        (&["--security-opt", "mask=ALL"], "/linux/maskedPaths", json!(["/proc/kcore"])),
        (&["--security-opt", "mask=/a:/b"], "/linux/maskedPaths", json!(["/proc/kcore", "/a", "/b"])),
        (&["--security-opt", "no-new-privileges:true"], "/process/noNewPrivileges", json!(true)),
        (&["--security-opt", "no-new-privileges=1"], "/process/noNewPrivileges", json!(true)),
        (&["--security-opt", "no-new-privileges", "--security-opt", "no-new-privileges=f"], "/process/noNewPrivileges", json!(false)),
        (&["--security-opt", "proc-opts=hidepid=2", "--security-opt", "proc-opts=subset=pid"], "/mounts/0/options", json!(["subset=pid"])),
        (&["--device", "/dev/zero::r"], "/linux/resources/devices", rule("r")),
        (&["--device", "/dev/zero:"], "/linux/resources/devices", rule("rwm")),
        (&["--device", "/dev/zero:/dev/x:wm"], "/linux/devices/0/path", json!("/dev/x")),
        (&["--http-proxy=false"], "/process/env", Value::Null),
        (&["--uidmap", "0:@0:10"], "/linux/uidMappings", json!([{"containerID": 0, "hostID": 0, "size": 10}])),
        (&["--uidmap", "u0:1000:10", "--gidmap", "g0:2000:10"], "/linux/gidMappings", json!([{"containerID": 0, "hostID": 2000, "size": 10}])),
        (&["--uidmap", "u0:1000:10"], "/linux/gidMappings", Value::Null),
        (&["--umask", "0022", "--umask", "0027"], "/process/user/umask", json!(0o27)),
        (&["--hostname", "a", "--hostname", "b", "--uts", "host", "--uts", "private"], "/hostname", json!("b")),
        (&["--read-only", "--read-only=0"], "/root/readonly", json!(false)),
        (&["--tty=T"], "/process/terminal", json!(true)),
        (&["--init=f"], "/process/args", json!(["sh"])),
        (&["--workdir", "/x", "--workdir", "/data"], "/process/cwd", json!("/data")),
        (&["-l", "a=1", "-l", "b"], "/annotations", json!({"a": "1", "b": ""})),
        (&["--sysctl", "net.a=1,net.b=2"], "/linux/sysctl", json!({"net.a": "1", "net.b": "2"})),
        (&["--sysctl", "net.a=1,2"], "/linux/sysctl", json!({"net.a": "1,2"})),
        (&["--cap-add", "\"KILL\",CHOWN"], "/process/capabilities/bounding", json!(["CAP_CHOWN", "CAP_KILL"])),
        (&["-e", "  A=b c", "-e", "B =x"], "/process/env", json!(["A=b c", "B =x"])),
        (&["--entrypoint", "["], "/process/args", json!(["["])),
        (&["--entrypoint", "[\"\"]", "--", "x"], "/process/args", json!(["x"])),
    ];
    for (flags, pointer, expected) in &cases {
        let spec = dir.spec(&[&["-q", "--rootfs", "rootfs"], *flags].concat(), LIMITED);
        assert_eq!(spec.pointer(pointer).unwrap_or(&Value::Null), expected, "{flags:?}");
    }
    #[rustfmt::skip]
    let refused: &[(&[&str], &str)] = &[
        (&["--ulimit", "host", "--ulimit", "core=5"], "--ulimit core=5 has no effect with --ulimit host"),
        (&["--stop-signal", "RTMAX-31"], "not a signal"),
        (&["--read-only=yes"], "expected true or false"),
        (&["--cpus", "0.001"], "expected a number of at least 0.01"),
        (&["--uidmap", "0:1:5", "--uidmap", "3:9:1"], "overlap"),
        (&["--uidmap", "g0:1:1", "--gidmap", "u0:1:1"], "no ID is mapped"),
        (&["--shm-size=-1"], "expected a size of at least 0"),
        (&["--group-add", "keep-groups,wheel"], "--group-add wheel conflicts with --group-add keep-groups"),
        (&["-v", "/a:/x", "--tmpfs", "/x/"], "/x: more than one of --volume, --mount and --tmpfs"),
        (&["-v", "/x"], "anonymous volume at /x: its directory is not known"),
        (&["--rootfs", "rootfs"], "cannot be used multiple times"),
    ];
    for (flags, text) in refused {
        let output = dir.run(&[&["--rootfs", "rootfs"], *flags].concat(), LIMITED);
        assert_eq!(
            (output.status.code(), output.stdout.len()),
            (Some(2), 0),
            "{flags:?}: {}",
            message(&output)
        );
        assert!(message(&output).contains(text), "{flags:?}: {}", message(&output));
    }
}

#[test]
fn mounts_have_the_same_options_as_in_podman() {
    let dir = Dir::new();
    fs::create_dir(dir.path("a,b")).unwrap();
    let quoted = format!("type=bind,\"src={}\",dst=/x", dir.path("a,b"));
    const NAMED: &str = "rw,rprivate,nosuid,nodev,rbind";
    #[rustfmt::skip]
    let cases: &[(&[&str], &str)] = &[
        (&["-v", "/s:/x:cached"], "rw,rprivate,rbind"),
        (&["-v", "/s:/x:ro,delegated"], "ro,rprivate,rbind"),
        (&["-v", "/s:/x:Z,U"], "rw,rprivate,rbind"),
        (&["-v", "nv:/x"], NAMED),
        (&["-v", "nv:/x:cached"], NAMED),
        (&["-v", "nv:/x:z"], NAMED),
        (&["-v", "nv:/x:ro"], "ro,rprivate,nosuid,nodev,rbind"),
        (&["-v", "nv:/x:suid"], "suid,rw,rprivate,nodev,rbind"),
        (&["-v", "nv:/x:dev,exec"], "dev,exec,rw,rprivate,nosuid,rbind"),
        (&["-v", "nv:/x:bind"], "bind,rw,private,nosuid,nodev"),
        (&["-v", "/x"], NAMED),
        (&["--mount", "type=volume,dst=/x"], NAMED),
        (&["--mount", "type=volume,src=nv,dst=/x"], NAMED),
        (&["--mount", "type=volume,src=nv,dst=/x,dev,suid,exec"], "dev,suid,exec,rw,rprivate,rbind"),
        (&["--mount", &quoted], "rw,rprivate,rbind"),
        (&["--mount", "type=bind,dst=/x,ro=true"], "ro,rprivate,rbind"),
        (&["--mount", "type=bind,src=/s,dst=/x,Z=false"], "rw,rprivate,rbind"),
        (&["--mount", "type=bind,src=/s,dest=/x,consistency=cached,rw=false"], "ro,rprivate,rbind"),
        (&["--mount", "type=tmpfs,dst=/x,noswap"], "noswap,rw,rprivate,nosuid,nodev,tmpcopyup"),
        (&["-v", "/s:/x", "-v", "/s:/x"], "rw,rprivate,rbind"),
    ];
    for (flags, expected) in cases {
        let spec =
            dir.spec(&[&["-q", "--rootfs", "rootfs", "--volume-root", "vols"], *flags].concat(), LIMITED);
        let mounts = spec["mounts"].as_array().unwrap().iter().filter(|m| m["destination"] == "/x");
        let options: Vec<&Value> = mounts.map(|m| &m["options"]).collect();
        assert_eq!(options, [&json!(expected.split(',').collect::<Vec<_>>())], "{flags:?}");
    }
}

#[test]
fn users_groups_and_home_are_resolved_as_in_podman() {
    let dir = Dir::new();
    dir.write(
        "rootfs/etc/group",
        "root:x:0:\nwheel:x:10:alice\n77:x:2077:\nseven:x:77:\nlast:x:88:\n88:x:2088:\n",
    );
    dir.write("env", "# c\n\n  HOME=/root\n");
    let groups = |flags: &[&str]| {
        dir.spec(&[&["--new", "--rootfs", "rootfs"], flags].concat(), "")["process"]["user"]["additionalGids"]
            .clone()
    };
    for (group, gid) in [("77", 2077), ("2077", 2077), ("seven", 77), ("88", 88), ("99", 99), ("0077", 77)] {
        assert_eq!(groups(&["--group-add", group]), json!([gid]), "{group}");
    }
    assert_eq!(groups(&["--group-add", "wheel,\"last\"", "--group-add", "10"]), json!([10, 88]));
    // In --user, by contrast, a numeric group is always a GID.
    assert_eq!(groups(&["--user", "alice:77"]), json!([77]));

    let image = |name: &str, config: Value| {
        dir.write(name, &json!({"architecture": "amd64", "config": config}).to_string())
    };
    image("home", json!({"User": "alice", "Env": ["HOME=/root"]}));
    image("empty", json!({"User": "alice", "Env": ["HOME="]}));
    image("none", json!({"User": "alice"}));
    #[rustfmt::skip]
    let cases: &[(&[&str], &str)] = &[
        (&["--new", "--user", "alice"], "HOME=/home/alice"),
        (&["--new", "--user", "alice", "--env-file", "env"], "HOME=/root"),
        (&["--new", "--user", "alice", "-e", "HOM*"], "HOME=/root"),
        (&["--new", "--user", "alice", "-e", "*"], "HOME=/root"),
        (&["--new", "--user", "alice", "-e", "HOME"], "HOME=/root"),
        (&["--new", "--user", "alice", "-e", "HOMEX*"], "HOME=/home/alice"),
        (&["--new", "--user", "alice", "-e", "HOME="], "HOME="),
        (&["--image-config", "home"], "HOME=/root"),
        (&["--image-config", "home", "--user", "root"], "HOME=/root"),
        (&["--image-config", "home", "--user", "4242"], "HOME=/root"),
        (&["--image-config", "home", "--unsetenv", "HOME"], "HOME=/home/alice"),
        (&["--image-config", "empty"], "HOME="),
        (&["--image-config", "none"], "HOME=/home/alice"),
        (&["--image-config", "none", "--env-merge", "HOME=/x${HOME}"], "HOME=/x"),
    ];
    for (flags, expected) in cases {
        let mut command = Command::new(env!("CARGO_BIN_EXE_spec-gen"));
        let output =
            dir.run_with(command.env("HOME", "/root").args(["-q", "--rootfs", "rootfs"]).args(*flags), "");
        let spec: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", message(&output)));
        let env = spec["process"]["env"].as_array().unwrap();
        let found: Vec<&str> =
            env.iter().filter_map(Value::as_str).filter(|e| e.starts_with("HOME=")).collect();
        assert_eq!(found, [*expected], "{flags:?}");
    }
}

#[test]
fn image_configs_are_read_as_in_podman() {
    let dir = Dir::new();
    let run = |image: Value, flags: &[&str]| {
        dir.write("image", &image.to_string());
        dir.spec(&[&["-q", "--image-config", "image", "--rootfs", "rootfs"], flags].concat(), "")
    };
    let args = |config: Value, flags: &[&str]| {
        run(json!({"os": "linux", "config": config}), flags)["process"]["args"].clone()
    };
    #[rustfmt::skip]
    let cases = [
        (json!({"Entrypoint": [""], "Cmd": ["/bin/echo", "hi"]}), &[][..], json!(["/bin/echo", "hi"])),
        (json!({"Entrypoint": [""], "Cmd": ["c"]}), &["--", "sh"], json!(["sh"])),
        (json!({"Entrypoint": [], "Cmd": ["c"]}), &[], json!(["c"])),
        (json!({"Entrypoint": null, "Cmd": ["c"]}), &[], json!(["c"])),
        (json!({"Entrypoint": "/e", "Cmd": "c"}), &[], json!(["/e", "c"])),
        (json!({"Entrypoint": ["", ""], "Cmd": ["c"]}), &[], json!(["", "", "c"])),
        (json!({"Entrypoint": ["/e"], "Cmd": ["c"]}), &["--", "x", "y"], json!(["/e", "x", "y"])),
        (json!({"Entrypoint": ["/e"], "Cmd": ["c"]}), &["--entrypoint", "", "--", "x"], json!(["x"])),
        (json!({"Entrypoint": ["/e"], "Cmd": ["c"]}), &["--entrypoint", "/f"], json!(["/f"])),
    ];
    for (config, flags, expected) in cases {
        assert_eq!(args(config.clone(), flags), expected, "{config} {flags:?}");
    }
    // "config" is optional (image-spec, config.md).
    for image in [
        json!({"architecture": "amd64", "os": "linux"}),
        json!({"os": "linux", "config": null}),
        json!({"rootfs": {}}),
        json!({"Os": "linux", "Config": {}}),
    ] {
        assert_eq!(run(image.clone(), &["--", "sh"])["process"]["args"], json!(["sh"]), "{image}");
    }
    // A relative volume path is relative to the root directory.
    for (volume, destination) in [("data", "/data"), ("/a/../b/", "/b"), ("./x", "/x")] {
        let spec = run(json!({"config": {"Volumes": {volume: {}}}}), &[]);
        let mount =
            spec["mounts"].as_array().unwrap().iter().find(|m| m["destination"] == destination).cloned();
        assert_eq!(
            mount.unwrap()["options"],
            json!(["rprivate", "rw", "nodev", "exec", "nosuid", "tmpcopyup"])
        );
        let spec = run(
            json!({"config": {"Volumes": {volume: {}}}}),
            &["--tmpfs", &format!("{destination}:size=1m")],
        );
        assert_eq!(
            spec["mounts"].as_array().unwrap().iter().filter(|m| m["destination"] == destination).count(),
            1
        );
    }
}

/// On a host without AppArmor, runc and crun start no container with a profile, not even
/// "unconfined".
#[test]
fn no_apparmor_profile_is_written_without_apparmor() {
    if fs::read_to_string("/sys/module/apparmor/parameters/enabled").is_ok_and(|t| t.starts_with('Y')) {
        return;
    }
    let dir = Dir::new();
    let config = |profile: &str| {
        json!({"id": "0123456789ab", "spec": {"ociVersion": "1.2.0", "process": {"args": ["sh"], "cwd": "/", "apparmorProfile": profile}, "root": {"path": "rootfs"}}})
            .to_string()
    };
    for flag in ["apparmor=unconfined", "apparmor:unconfined"] {
        let spec = dir.spec(&["--new", "--security-opt", flag], "");
        assert_eq!(spec["process"].get("apparmorProfile"), None, "{flag}");
    }
    assert_eq!(dir.spec(&["--new", "--apparmor", "unconfined"], "")["process"].get("apparmorProfile"), None);
    for (profile, warning) in [
        ("unconfined", ""),
        ("containers-default-0.62.2", "process.apparmorProfile: containers-default-0.62.2 dropped"),
    ] {
        let output = dir.run(&["--rootfs", "rootfs"], &config(profile));
        assert!(output.status.success() && message(&output).contains(warning), "{}", message(&output));
        let spec: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(spec["process"].get("apparmorProfile"), None, "{profile}");
    }
    for flags in [["--apparmor", "mine"], ["--security-opt", "apparmor=mine"]] {
        let output = dir.run(&[&["--new"], &flags[..]].concat(), "");
        assert_eq!(output.status.code(), Some(1), "{}", message(&output));
        assert!(
            message(&output).contains("--apparmor mine: AppArmor is disabled on the host"),
            "{}",
            message(&output)
        );
    }
    // Without an AppArmor flag, the profile of the input spec is kept.
    let spec = spec_with("/process/apparmorProfile", json!("mine"));
    assert_eq!(dir.spec(&[], &spec)["process"]["apparmorProfile"], "mine");
}
