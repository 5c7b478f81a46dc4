//! Tests what the flags of podman and oci-runtime-tool write.

use super::*;

#[test]
fn flags_write_the_same_values_as_podman() {
    let dir = Dir::new();
    #[rustfmt::skip]
    let cases: &[(&[&str], &str, Value)] = &[
        (&["--rdt-class", "guaranteed"], "/linux/intelRdt/closID", json!("guaranteed")),
        (&["--linux-intelRdt-closid", "x"], "/linux/intelRdt/closID", json!("x")),
        (&["--blkio-weight-device", "/dev/zero:200"], "/linux/resources/blockIO/weightDevice", json!([{"major": 1, "minor": 5, "weight": 200}])),
        (&["--security-opt", "proc-opts=hidepid=2,subset=pid"], "/mounts/0/options", json!(["hidepid=2", "subset=pid"])),
        (&["--rootfs", "rootfs", "--process-groups", "10", "--process-groups", "11"], "/process/user/additionalGids", json!([10, 11])),
    ];
    for (flags, path, expected) in cases {
        let spec = dir.spec(&[&["--new"], *flags].concat(), "");
        assert_eq!(spec.pointer(path), Some(expected), "{flags:?}");
    }
    dir.write("spec.json", SPEC);
    assert_eq!(dir.spec(&["--template", "spec.json"], "").to_string(), dir.spec(&[], SPEC).to_string());
}

/// A complete spec as podman writes it, for flags that change an existing spec.
const MADE: &str = r#"{"ociVersion":"1.2.0","process":{"user":{"uid":0,"gid":0},"args":["sh"],"cwd":"/","noNewPrivileges":true,
    "env":["HOSTNAME=old"],"capabilities":{"bounding":["CAP_CHOWN","CAP_KILL"],"effective":["CAP_CHOWN"],"permitted":["CAP_CHOWN"],
        "ambient":["CAP_CHOWN"]}},
    "root":{"path":"rootfs"},"hostname":"old","annotations":{"org.systemd.property.KillSignal":"15"},
    "linux":{"namespaces":[{"type":"uts"},{"type":"network"}],"sysctl":{"net.ipv4.ip_forward":"1"},
        "maskedPaths":["/proc/acpi"],"readonlyPaths":["/proc/sys"]}}"#;

/// The expected values are those that podman 5.4.2 writes for the same flags.
#[test]
fn flags_change_a_complete_spec_as_podman_would() {
    let dir = Dir::new();
    let both = json!(["CAP_CHOWN", "CAP_KILL"]);
    #[rustfmt::skip]
    let cases: &[(&[&str], &str, Option<Value>)] = &[
        (&["--user", "alice"], "/process/capabilities", Some(json!({"bounding": both}))),
        (&["--user", "alice", "--cap-add", "KILL"], "/process/capabilities/ambient", Some(json!(["CAP_KILL"]))),
        (&["--user", "root"], "/process/capabilities/effective", Some(json!(["CAP_CHOWN"]))),
        (&["--privileged"], "/process/noNewPrivileges", Some(json!(false))),
        (&["--privileged=false"], "/process/capabilities/bounding", Some(both.clone())),
        (&["--privileged", "--user", "alice"], "/process/capabilities/effective", None),
        (&["--privileged", "--user", "alice"], "/process/capabilities/ambient", None),
        (&["--hostname", "h"], "/process/env", Some(json!(["HOSTNAME=h"]))),
        (&["--hostname", "h", "-e", "HOSTNAME=mine"], "/process/env", Some(json!(["HOSTNAME=mine"]))),
        (&["--stop-signal", "USR1"], "/annotations", Some(json!({"org.systemd.property.KillSignal": "10", "org.opencontainers.image.stopSignal": "10"}))),
        (&["--network", "host"], "/linux/sysctl", None),
        (&["--security-opt", "unmask=/proc/*"], "/linux/readonlyPaths", None),
        (&["--unmask", "/proc/acpi"], "/linux/maskedPaths", None),
        (&["--device-cgroup-rule", "c 42:* rmw"], "/linux/resources/devices", Some(json!([{"allow": true, "type": "c", "major": 42, "access": "rmw"}]))),
        (&["--mount", "type=bind,src=/s,dst=/d,bind-nonrecursive"], "/mounts/0/options", Some(json!(["bind", "rw", "private"]))),
        (&["-v", "/s:/d:bind,rslave"], "/mounts/0/options", Some(json!(["bind", "rslave", "rw"]))),
        (&["--mount", "type=devpts,dst=/d,mode=600,max=5"], "/mounts/0/options", Some(json!(["mode=600", "max=5"]))),
        (&["--oom-kill-disable=false"], "/linux/resources/memory/disableOOMKiller", Some(json!(false))),
        (&["--unsetenv-all=false"], "/process/env", Some(json!(["HOSTNAME=old"]))),
        (&["--env-merge", "HOSTNAME=${HOSTNAME}er", "--env-merge", "N=$HOSTNAME"], "/process/env", Some(json!(["HOSTNAME=older", "N=older"]))),
        (&["--env-merge", "A=$HOSTNAME", "--unsetenv", "HOSTNAME", "-e", "B=c"], "/process/env", Some(json!(["A=old", "B=c"]))),
        (&["--memory", "1.5g"], "/linux/resources/memory/limit", Some(json!(3_i64 << 29))),
        (&["--personality", "linux32"], "/linux/personality/domain", Some(json!("LINUX32"))),
        (&["--systemd", "always"], "/mounts/0/destination", Some(json!("/run"))),
        (&["--systemd", "--", "/sbin/init"], "/mounts/0/destination", Some(json!("/run"))),
    ];
    for (flags, path, expected) in cases {
        let spec = dir.spec(&[&["--rootfs", "rootfs", "--cgroup-version", "2"], *flags].concat(), MADE);
        assert_eq!(spec.pointer(path), expected.as_ref(), "{flags:?}");
    }
    // HOME follows the user unless the user has set another value.
    let home = |flags: &[&str], home: &str| {
        let spec = MADE.replace("\"HOSTNAME=old\"", &format!("\"HOME={home}\""));
        let spec = dir.spec(&[&["--rootfs", "rootfs"], flags].concat(), &spec);
        spec["process"]["env"][0].as_str().unwrap().to_owned()
    };
    assert_eq!(home(&["--user", "alice"], "/root"), "HOME=/home/alice");
    assert_eq!(home(&["--user", "4242"], "/root"), "HOME=/");
    assert_eq!(home(&["--user", "alice", "-e", "HOME=/root"], "/root"), "HOME=/root");
    assert_eq!(home(&["--user", "alice"], "/srv"), "HOME=/srv");
    // Conversely, root gets all capabilities of the bounding set.
    let users = dir.spec(&["--rootfs", "rootfs", "--user", "alice"], MADE).to_string();
    let roots = dir.spec(&["--rootfs", "rootfs", "--user", "root"], &users);
    assert_eq!(
        roots["process"]["capabilities"],
        json!({"bounding": both, "effective": both, "permitted": both})
    );
}

#[test]
fn labels_become_annotations_and_flags_override_files() {
    let dir = Dir::new();
    dir.write("one", "# none\n\n a=file\nb=x=y \nb=last\nalone\n");
    dir.write("two", "a=second\nc=2");
    let flags = [
        "--label-file",
        "one",
        "--label-file",
        "two",
        "--label",
        "c=own",
        "--label",
        "d",
        "--annotation",
        "d=mine",
    ];
    let spec = dir.spec(&flags, SPEC);
    assert_eq!(
        spec["annotations"],
        json!({"a": "second", "b": "last", "alone": "", "c": "own", "d": "mine"})
    );
    dir.write("bad", "a=b\n=x\n");
    dir.write("blank", "a b=c\n");
    for (flags, status, text) in [
        (["--label-file", "bad"], 1, "bad:2: expected KEY[=VALUE]"),
        (["--label-file", "blank"], 1, "blank:1: expected KEY[=VALUE], KEY without blanks"),
        (["--label-file", "nowhere"], 1, "nowhere: No such file"),
        (["--label", "=x"], 2, "--label =x: expected KEY[=VALUE]"),
        (["--annotation", "x"], 2, "--annotation x: expected KEY=VALUE"),
    ] {
        let output = dir.run(&flags, SPEC);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(status), 0), "{flags:?}");
        assert!(message(&output).contains(text), "{}", message(&output));
    }
}

#[test]
fn a_glob_pattern_mounts_every_matching_path() {
    let dir = Dir::new();
    fs::create_dir(dir.path("g")).unwrap();
    for name in ["g/b", "g/a1", "g/a2", "g/.a"] {
        dir.write(name, "");
    }
    let top = dir.path("g");
    let mounts = |flag: &str| {
        let spec = dir.spec(&["--mount", flag], SPEC);
        let mounts = spec["mounts"].as_array().unwrap().iter().filter(|m| m["type"] == "bind").cloned();
        mounts.collect::<Vec<_>>()
    };
    let mount = |name: &str, destination: &str, rw: &str| json!({"destination": destination, "type": "bind", "source": format!("{top}/{name}"), "options": [rw, "rprivate", "rbind"]});
    assert_eq!(
        mounts(&format!("type=glob,src={top}/a*,dst=/m")),
        [mount("a1", "/m/a1", "rw"), mount("a2", "/m/a2", "rw")]
    );
    assert_eq!(mounts("type=glob,src=g/[^a],dst=/m/,ro"), [mount("b", "/m/b", "ro"),]);
    assert_eq!(mounts(&format!("type=glob,src={top}/*a")), [mount(".a", &format!("{top}/.a"), "rw")]);
    for (flag, status, text) in [
        ("type=glob,src=g/z*,dst=/m", 1, "--mount type=glob,src=g/z*,dst=/m: no path matches"),
        ("type=glob,src=g/[,dst=/m", 2, "[: not a pattern"),
        ("type=glob,src=g/a*", 2, "expected an absolute path, or dst=DIR"),
    ] {
        let output = dir.run(&["--mount", flag], SPEC);
        assert_eq!(output.status.code(), Some(status), "{flag}");
        assert!(message(&output).contains(text), "{}", message(&output));
    }
}

#[test]
fn config_json_in_a_bundle_is_replaced_only_with_force() {
    let dir = Dir::new();
    let made = |flags: &[&str]| dir.run(&[&["--new", "--bundle", "."], flags].concat(), "");
    // The root file system of a bundle needs no --rootfs.
    let output = made(&["--user", "alice"]);
    assert!(output.status.success() && output.stdout.is_empty(), "{}", message(&output));
    let written = fs::read_to_string(dir.path("config.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&written).unwrap()["process"]["user"]["uid"], 1000);
    let output = made(&[]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        message(&output),
        "spec-gen: error: ./config.json: already exists\nhint: add --force to replace it\n"
    );
    assert_eq!(fs::read_to_string(dir.path("config.json")).unwrap(), written);
    assert!(made(&["--force"]).status.success());
    assert_ne!(fs::read_to_string(dir.path("config.json")).unwrap(), written);
    fs::create_dir(dir.path("bundle")).unwrap();
    fs::rename(dir.path("rootfs"), dir.path("bundle/rootfs")).unwrap();
    dir.write("spec.json", SPEC);
    let output = dir.run(&["-i", "spec.json", "--bundle", "bundle", "--user", "alice", "--sort-keys"], "");
    assert!(output.status.success(), "{}", message(&output));
    let keys: serde_json::Map<String, Value> =
        serde_json::from_str(&fs::read_to_string(dir.path("bundle/config.json")).unwrap()).unwrap();
    assert_eq!(keys.keys().collect::<Vec<_>>(), ["linux", "ociVersion", "process", "root"]);
    assert_eq!(dir.run(&["--new", "--bundle", ".", "-o", "x"], "").status.code(), Some(2));
}

#[test]
fn invalid_flag_values_are_reported() {
    let dir = Dir::new();
    #[rustfmt::skip]
    let cases: &[(&[&str], i32, &str)] = &[
        (&["--new", "--blkio-weight-device", "/dev/zero:5"], 2, "--blkio-weight-device /dev/zero:5: expected DEVICE:WEIGHT, a weight from 10 to 1000"),
        (&["--new", "--blkio-weight-device", "/dev/nowhere:50"], 1, "/dev/nowhere: No such file or directory"),
        (&["--security-opt", "proc-opts=hidepid=2"], 2, "the spec has no mount of proc"),
        (&["--new", "--mount", "type=bind,src=/s,dst=/d,subpath=x"], 2, "subpath: only for volumes and images"),
        (&["--new", "--mount", "type=tmpfs,dst=/d,bind-nonrecursive"], 2, "bind-nonrecursive: only for type=bind"),
        (&["--new", "--mount", "type=image,src=i,dst=/d,U"], 2, "U: not an option of type=image"),
        (&["--new", "--personality", "FOO"], 2, "expected LINUX or LINUX32"),
        (&["--new", "--userns", "auto"], 2, "only the container engine knows which IDs are free; pass them with --uidmap"),
        (&["--new", "--userns", "keep-id:pid=1"], 2, "expected keep-id[:uid=N,gid=N]"),
        (&["--new", "--userns", "keep-id", "--uidmap", "0:1:1"], 2, "--userns names another"),
        (&["--restore", "--userns", "nomap"], 2, "the mappings of a restored container are in its checkpoint"),
        (&["--new", "--cgroup-manager", "lxc", "--id", "a"], 2, "--cgroup-manager: \"lxc\" is not one of cgroupfs, systemd"),
        (&["--new", "--cap-add", "KILL", "--cap-drop", "CAP_KILL"], 2, "CAP_KILL is both added and dropped"),
        (&["--new", "--cap-add", "ALL", "--cap-drop", "ALL"], 2, "--cap-add ALL conflicts with --cap-drop ALL"),
        (&["--new", "--cap-drop", "all,KILL", "--cap-add", "all"], 2, "--cap-add ALL conflicts with --cap-drop ALL"),
        (&["--new", "--mount", "type=tmpfs,dst=/x,src=/nonexist"], 2, "src=/nonexist: a tmpfs mount has no source"),
        (&["--new", "--mount", "type=ramfs,source=/s,dst=/x"], 2, "src=/s: a ramfs mount has no source"),
        (&["--new", "--mount", "type=devpts,dst=/x,src=devpts"], 2, "src=devpts: a devpts mount has no source"),
        (&["--new", "--device", "null"], 2, "--device null: expected absolute paths"),
        (&["--new", "--device-cgroup-rule", "c"], 2, "expected 'TYPE MAJOR:MINOR ACCESS'"),
        (&["--new", "--device-read-bps", "/dev/zero"], 2, "expected DEVICE:RATE"),
        (&["--new", "--device-read-bps", "/dev/nowhere:5"], 1, "/dev/nowhere: No such file or directory"),
        (&["--new", "--hugetlb", "2MB"], 2, "--hugetlb 2MB: expected SIZE=BYTES"),
        (&["--new", "--sysctl", "a"], 2, "--sysctl a: expected KEY=VALUE"),
        (&["--new", "--sysctl", "kernel.core_pattern=x"], 2, "kernel.core_pattern belongs to no namespace"),
        (&["--new", "--sysctl", "=1"], 2, "belongs to no namespace"),
        (&["--new", "--sysctl", "net..a=1"], 2, "belongs to no namespace"),
        (&["--new", "--sysctl", "vm.swappiness=1"], 2, "belongs to no namespace"),
        (&["--new", "--network", "host", "--sysctl", "net.core.somaxconn=1"], 2, "no network namespace of its own"),
        (&["--new", "--ipc", "host", "--sysctl", "kernel.shmmax=1"], 2, "no ipc namespace of its own"),
        (&["--new", "--sysctl", "user.max_user_namespaces=1"], 2, "no user namespace of its own"),
        (&["--new", "--cpuset-cpus", "a"], 2, "--cpuset-cpus a: expected numbers and ranges"),
        (&["--new", "--cpuset-cpus", "3-1"], 2, "the range ends before it starts"),
        (&["--new", "--cpuset-mems", "0-"], 2, "--cpuset-mems 0-: expected numbers and ranges"),
        (&["--new", "--cpuset-cpus", ","], 2, "expected numbers and ranges"),
        (&["--new", "--memory-swap", "1g"], 2, "memory has no limit"),
        (&["--new", "--memory", "2g", "--memory-swap", "1g"], 2, "less than the limit of memory"),
        (&["--new", "--memory=-1", "--memory-swap", "1g"], 2, "memory has no limit"),
        (&["--new", "--hugetlb", "3MB=1m"], 2, "expected a page size such as 64KB, 2MB or 1GB, found \"3MB\""),
        (&["--new", "--hugetlb", "2M=1m"], 2, "expected a page size"),
        (&["--new", "--cgroup-conf", "a"], 2, "--cgroup-conf a: expected KEY=VALUE"),
        (&["--new", "--tmpfs", "t"], 2, "--tmpfs t: t: a mount's destination must be an absolute path"),
        (&["--new", "--bind-mount", "etc=x"], 2, "etc: a mount's destination must be an absolute path"),
        (&["--new", "-e", "=1"], 2, "--env =1: no name before the '='"),
        (&["--new", "--entrypoint", "[\"a\""], 2, "--entrypoint [\"a\": expected an array of strings"),
        (&["--new", "--entrypoint", ""], 2, "--entrypoint is empty, and there are no ARGS"),
        (&["--new", "--shm-size-systemd=-1"], 2, "--shm-size-systemd"),
        (&["--new", "--cgroups", "some", "--id", "a"], 2, "--cgroups: \"some\" is not one of enabled"),
        (&["--new", "--cgroup-parent", "/x"], 2, "--id: missing, and the cgroup path needs the container ID"),
    ];
    for (flags, status, text) in cases {
        let output = dir.run(flags, SPEC);
        let found = message(&output);
        assert_eq!(output.status.code(), Some(*status), "{flags:?}: {found}");
        assert!(found.contains(text) && output.stdout.is_empty(), "{flags:?}: {found}");
    }
}

#[test]
fn env_host_does_not_override_variables_of_the_image() {
    let dir = Dir::new();
    let output = Command::new(env!("CARGO_BIN_EXE_spec-gen"))
        .args(["--new", "--env-host", "-e", "C=flag"])
        .env_clear()
        .envs([("PATH", "/host"), ("A", "1"), ("C", "host")])
        .current_dir(dir.0.path())
        .output()
        .unwrap();
    let spec: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        spec["process"]["env"],
        json!([
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "TERM=xterm",
            "A=1",
            "C=flag"
        ])
    );
}

#[test]
fn keep_id_uses_the_ids_of_the_current_user_namespace() {
    let dir = Dir::new();
    let in_namespace = |mode: &str| {
        Command::new("unshare")
            .args(["--user", "--map-root-user", env!("CARGO_BIN_EXE_spec-gen"), "--new", "--userns", mode])
            .args(["--rootfs", "rootfs", "--cgroup-version", "2"])
            .current_dir(dir.0.path())
            .output()
            .unwrap()
    };
    let output = in_namespace("keep-id:uid=1000,gid=1000");
    let spec: Value = serde_json::from_slice(&output.stdout).unwrap();
    let map = json!([{"containerID": 1000, "hostID": 0, "size": 1}]);
    assert_eq!((&spec["linux"]["uidMappings"], &spec["linux"]["gidMappings"]), (&map, &map));
    assert_eq!(spec["process"]["user"]["uid"], 1000);
    assert!(spec["process"]["env"].as_array().unwrap().contains(&json!("HOME=/home/alice")));
    assert!(message(&in_namespace("nomap")).contains("there are no subordinate IDs"));
    // Outside a rootless user namespace, keep-id is an error.
    let map = fs::read_to_string("/proc/self/uid_map").unwrap();
    if map.split_whitespace().last() == Some("4294967295") {
        let output = dir.run(&["--new", "--userns", "keep-id"], "");
        assert_eq!(output.status.code(), Some(1));
        assert!(message(&output).contains("hint: podman unshare spec-gen"), "{}", message(&output));
    }
}

#[test]
fn image_configs_are_converted_as_the_image_spec_requires() {
    let dir = Dir::new();
    let image = json!({
        "os": "linux", "architecture": "arm64", "variant": "v8", "author": "A", "created": "2026-01-01T00:00:00Z",
        "config": {"Cmd": ["sh"], "StopSignal": "SIGTERM", "ExposedPorts": {"80/tcp": {}, "443/tcp": {}},
            "Labels": {"org.opencontainers.image.author": "B", "mine": "x"}}
    });
    dir.write("image.json", &image.to_string());
    let annotations = |flags: &[&str]| dir.spec(flags, "")["annotations"].clone();
    assert_eq!(
        annotations(&["--image-config", "image.json"]),
        json!({
            "org.opencontainers.image.stopSignal": "SIGTERM", "org.opencontainers.image.os": "linux",
            "org.opencontainers.image.architecture": "arm64", "org.opencontainers.image.variant": "v8",
            "org.opencontainers.image.author": "B", "org.opencontainers.image.created": "2026-01-01T00:00:00Z",
            "org.opencontainers.image.exposedPorts": "443/tcp,80/tcp", "mine": "x"
        })
    );
    // `docker inspect` and `podman inspect` print this format.
    dir.write(
        "inspect.json",
        r#"[{"Id":"x","Os":"linux","Architecture":"amd64","Config":{"Cmd":["true"],"ExposedPorts":null}}]"#,
    );
    let spec = dir.spec(&["--image-config", "inspect.json"], "");
    assert_eq!(spec["process"]["args"], json!(["true"]));
    assert_eq!(spec["annotations"]["org.opencontainers.image.architecture"], "amd64");
    for (text, fault) in [
        ("[]", "two.json: expected one image, found a list of 0"),
        (r#"[{"Config":{}},{"Config":{}}]"#, "two.json: expected one image, found a list of 2"),
        ("[5]", "two.json: expected an image config, found the number 5"),
        (r#"{"os":5,"config":{}}"#, "two.json: os: expected a string, found the number 5"),
    ] {
        dir.write("two.json", text);
        let output = dir.run(&["--image-config", "two.json"], "");
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
        assert!(message(&output).contains(fault), "{}", message(&output));
    }
}
