//! Tests the flags for security, namespaces and mounts, and what `--restore` accepts from an
//! archive.

use super::restore::{RESTORE, plain, write_images};
use super::*;

const PROCESS: &str = "system_u:system_r:container_t:s0:c1,c2";

/// Returns a container config in libpod's format, extended with the keys of `more`.
fn libpod(mounts: Value, more: Value) -> String {
    let mut config = json!({
        "id": "0123456789abcdef", "staticDir": "/s/overlay-containers/ID/userdata",
        "spec": {"ociVersion": "1.2.0", "process": {"args": ["sh"], "cwd": "/", "user": {"uid": 0, "gid": 0}},
            "root": {"path": "rootfs"}, "mounts": mounts, "linux": {"namespaces": [{"type": "uts"}, {"type": "network"}]}}
    });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    config.to_string()
}

fn sources(spec: &Value, destination: &str) -> Vec<String> {
    let mounts = spec["mounts"].as_array().unwrap().iter().filter(|m| m["destination"] == destination);
    mounts.map(|m| m["source"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_security_option_is_valid_only_with_a_value() {
    let dir = Dir::new();
    for option in [
        "label=user:",
        "label=range:s0",
        "label=",
        "label=type",
        "seccomp=",
        "apparmor=",
        "mask=",
        "unmask=",
        "proc-opts=",
        "no-new-privileges=",
        "no-new-privileges=maybe",
        "systempaths=",
        "other=x",
    ] {
        let output = dir.run(&["--new", "--security-opt", option], "");
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{option}");
        let expected = format!("--security-opt {option}: ");
        assert!(message(&output).contains(&expected), "{}", message(&output));
    }
    for (option, flag) in [
        ("seccomp=unconfined", &["--seccomp", "unconfined"][..]),
        ("apparmor=unconfined", &["--apparmor", "unconfined"]),
        ("no-new-privileges", &["--no-new-privileges"]),
    ] {
        let output = dir.run(&[&["--new", "--security-opt", option], flag].concat(), "");
        assert_eq!(output.status.code(), Some(2), "{option}");
        assert!(message(&output).contains("set the same value"), "{}", message(&output));
    }
    // The action of the profile shows that the file was read.
    dir.write("profile.json", r#"{"defaultAction":"SCMP_ACT_LOG"}"#);
    let spec = dir.spec(&["--new", "--security-opt", "seccomp=profile.json"], "");
    assert_eq!(spec["linux"]["seccomp"], json!({"defaultAction": "SCMP_ACT_LOG", "syscalls": []}));
}

#[test]
fn a_field_of_a_label_is_ignored_only_without_a_label() {
    let dir = Dir::new();
    let labeled = spec_with("/process/selinuxLabel", json!(PROCESS));
    let output = dir.run(&["--security-opt", "label=type:spc_t"], &labeled);
    assert_eq!((output.status.code(), message(&output)), (Some(0), String::new()));
    let spec: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(spec["process"]["selinuxLabel"], "system_u:system_r:spc_t:s0:c1,c2");
    let spec = dir.spec(&["--security-opt", "label=disable"], &labeled);
    assert_eq!(spec["process"].get("selinuxLabel"), None);
    let output = dir.run(&["--security-opt", "label=type:spc_t"], SPEC);
    if fs::exists("/sys/fs/selinux/enforce").unwrap() {
        assert_eq!(output.status.code(), Some(2));
    } else {
        let expected = "label=type:spc_t ignored: the host has no SELinux";
        assert!(output.status.success() && message(&output).contains(expected), "{}", message(&output));
    }
}

#[test]
fn the_network_namespace_of_the_engine_has_its_path() {
    let dir = Dir::new();
    dir.write("state.json", r#"{"netns": "/run/netns/web"}"#);
    dir.write("empty.json", "{}");
    for (create, late, state, path) in [
        (true, false, "state.json", Some("/run/netns/web")),
        // The runtime creates this namespace.
        (true, true, "state.json", None),
        (true, false, "empty.json", None),
        (false, false, "state.json", None),
    ] {
        let config = libpod(json!([]), json!({"createNetNS": create, "postConfigureNetNS": late}));
        let spec = dir.spec(&["--rootfs", "rootfs", "--state", state], &config);
        let found = spec["linux"]["namespaces"].as_array().unwrap().iter().find(|n| n["type"] == "network");
        assert_eq!(found.unwrap().get("path").and_then(Value::as_str), path, "{create} {late} {state}");
    }
}

#[test]
fn an_automatic_user_namespace_has_the_mappings_of_the_engine() {
    let dir = Dir::new();
    fs::create_dir(dir.path("volume")).unwrap();
    let map = json!([{"container_id": 0, "host_id": 100_000, "size": 1000}]);
    let config = |automatic: bool, map: &Value| {
        let options = json!({"AutoUserNs": automatic, "UIDMap": map, "GIDMap": map});
        libpod(json!([]), json!({"idMappingsOptions": options}))
    };
    let has = |spec: &Value| spec["linux"]["namespaces"].to_string().contains(r#""user""#);
    let expected = json!([{"containerID": 0, "hostID": 100_000, "size": 1000}]);
    let flags = ["--rootfs", "rootfs"];
    let spec = dir.spec(&flags, &config(true, &map));
    assert!(has(&spec));
    assert_eq!((&spec["linux"]["uidMappings"], &spec["linux"]["gidMappings"]), (&expected, &expected));
    assert!(!has(&dir.spec(&flags, &config(false, &map))));
    assert!(!has(&dir.spec(&flags, &config(true, &json!([])))));
    // The owner of a volume is an ID of the mappings, and with --userns host the ID itself.
    let volume = format!("{}:/x:U", dir.path("volume"));
    for (more, owner) in [(&[][..], r#""uid":100000"#), (&["--userns", "host"], r#""uid":0"#)] {
        let flags = [&flags[..], &["-v", &volume, "--actions", "-", "-o", "/dev/null"], more].concat();
        let output = dir.run(&flags, &config(true, &map));
        let actions = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(actions.contains("chown") && actions.contains(owner), "{actions} {}", message(&output));
    }
}

#[test]
fn keep_id_does_not_replace_the_user_of_a_spec() {
    let dir = Dir::new();
    dir.write(
        "spec.json",
        &spec_with("/process/user", json!({"uid": 1000, "gid": 1000, "additionalGids": [10]})),
    );
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", env!("CARGO_BIN_EXE_spec-gen"), "-i", "spec.json", "-q"])
        .args(["--userns", "keep-id:uid=1000,gid=1000", "--rootfs", "rootfs", "--cgroup-version", "2"])
        .current_dir(dir.0.path())
        .output()
        .unwrap();
    let spec: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", message(&output)));
    assert_eq!(spec["process"]["user"], json!({"uid": 1000, "gid": 1000, "additionalGids": [10]}));
}

#[test]
fn a_read_only_root_has_writable_directories_by_choice() {
    let dir = Dir::new();
    let mounts = json!([
        {"destination": "/dev/", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid"]},
        {"destination": "/tmp", "type": "bind", "source": "/mine", "options": ["rbind"]}
    ]);
    let three = ["/run", "/tmp", "/var/tmp"];
    let writable = spec_with("/mounts", mounts.clone());
    let mut read_only: Value = serde_json::from_str(&writable).unwrap();
    read_only["root"]["readonly"] = json!(true);
    let read_only = read_only.to_string();
    // The flags, the input, the directories that are mounts, and whether /dev is read-only.
    #[rustfmt::skip]
    let cases: [(&[&str], &str, &[&str], bool); 7] = [
        (&[], &writable, &["/tmp"], false),
        (&["--read-only"], &writable, &three, false),
        (&["--read-only", "--read-only-tmpfs=false"], &writable, &["/tmp"], true),
        (&["--read-only=false"], &read_only, &["/tmp"], false),
        (&[], &read_only, &["/tmp"], false),
        (&["--read-only-tmpfs"], &read_only, &three, false),
        (&["--read-only-tmpfs=false"], &read_only, &["/tmp"], true),
    ];
    for (flags, input, expected, is_dev_read_only) in cases {
        let spec = dir.spec(flags, input);
        let found: Vec<&str> = three.into_iter().filter(|d| !sources(&spec, d).is_empty()).collect();
        assert_eq!(found, expected, "{flags:?}");
        assert_eq!(sources(&spec, "/tmp"), ["/mine"], "{flags:?}");
        let dev = spec["mounts"].as_array().unwrap().iter().find(|m| m["destination"] == "/dev/").unwrap();
        let options = if is_dev_read_only { json!(["nosuid", "ro"]) } else { json!(["nosuid"]) };
        assert_eq!(dev["options"], options, "{flags:?}");
        // The same flags change nothing the second time.
        assert_eq!(dir.spec(flags, &spec.to_string()), spec, "{flags:?}");
    }
    for (propagation, status) in [("rslave", 0), ("slaves", 2)] {
        let output = dir.run(&["--rootfs-propagation", propagation], SPEC);
        assert_eq!(output.status.code(), Some(status), "{propagation}");
    }
}

#[test]
fn the_size_of_shared_memory_changes_only_its_tmpfs() {
    let dir = Dir::new();
    let tmpfs = |destination: &str| json!({"destination": destination, "type": "tmpfs", "source": "shm", "options": ["size=64k", "mode=1777"]});
    let bind = json!({"destination": "/dev/shm", "type": "bind", "source": "/shm", "options": ["rbind"]});
    let input = spec_with("/mounts", json!([tmpfs("/tmp"), tmpfs("/dev/shm/")]));
    let spec = dir.spec(&["--shm-size", "1m"], &input);
    let options: Vec<&Value> = spec["mounts"].as_array().unwrap().iter().map(|m| &m["options"]).collect();
    assert_eq!(options, [&json!(["size=64k", "mode=1777"]), &json!(["mode=1777", "size=1048576"])]);
    for mounts in [json!([]), json!([bind]), json!([tmpfs("/tmp"), bind])] {
        let output = dir.run(&["--shm-size", "1m"], &spec_with("/mounts", mounts));
        assert_eq!(output.status.code(), Some(2));
        assert!(message(&output).contains("there is no tmpfs on /dev/shm"), "{}", message(&output));
    }
    for flags in [["--shm-dir", "x"], ["--ipc", "host"]] {
        let output = dir.run(&[&["--shm-size", "1m"], &flags[..]].concat(), &input);
        assert_eq!(output.status.code(), Some(2), "{flags:?}");
        assert!(message(&output).contains("--shm-size has no effect"), "{}", message(&output));
    }
    // --ipc host replaces the engine's shared memory, but no mount of the user.
    for (source, expected) in [("/old/shm", "/dev/shm"), ("/mine", "/mine")] {
        let mount =
            json!([{"destination": "/dev/shm", "type": "bind", "source": source, "options": ["rbind"]}]);
        let config = libpod(mount, json!({"ShmDir": "/old/shm"}));
        let spec = dir.spec(&["--rootfs", "rootfs", "--ipc", "host"], &config);
        assert_eq!(sources(&spec, "/dev/shm"), [expected]);
    }
}

#[test]
fn each_volume_has_the_directory_of_its_flag() {
    let dir = Dir::new();
    let flags = ["-v", "a:/a", "-v", "b:/b", "-v", "c:/c", "--volume-path", "a=x", "--volume-path", "b=/y"];
    let spec = dir.spec(&[&["--volume-root", "vols"], &flags[..]].concat(), SPEC);
    let found = ["/a", "/b", "/c"].map(|destination| sources(&spec, destination).concat());
    assert_eq!(found, [dir.path("x"), "/y".into(), dir.path("vols/c/_data")]);
    let output = dir.run(&flags, SPEC);
    assert!(message(&output).contains("volume c: its directory is not known"), "{}", message(&output));
}

#[test]
fn a_restored_bind_mount_to_its_own_path_is_still_refused() {
    let dir = Dir::new();
    let bind = |source: &str, destination: &str, option: &str| json!({"destination": destination, "type": "bind", "source": source, "options": ["rbind", option]});
    let cgroup = |kind: &str, option: &str| json!({"destination": "/sys/fs/cgroup", "type": kind, "source": "cgroup", "options": [option]});
    let plain_mount = |kind: &str| json!({"destination": "/x", "type": kind, "source": kind});
    // The mount, whether the container has a cgroup namespace, and whether the mount is refused.
    #[rustfmt::skip]
    let cases = [
        (bind("/etc", "/etc", "ro"), true, true),
        (bind("/root", "/root", "rw"), true, true),
        (bind("/sys", "/sys", "ro"), true, false),
        (bind("/sys", "/sys", "rw"), true, true),
        (bind("/sys", "/mnt", "ro"), true, true),
        (bind("/sys/fs/cgroup/x", "/sys/fs/cgroup/x", "ro"), true, false),
        (bind("/sys/kernel", "/sys/kernel", "ro"), true, true),
        (cgroup("cgroup", "ro"), false, false),
        (cgroup("cgroup", "rw"), false, true),
        (cgroup("cgroup2", "rw"), false, true),
        (cgroup("cgroup2", "rw"), true, false),
        (plain_mount("tmpfs"), false, false),
        (plain_mount("mqueue"), false, false),
        (plain_mount("nfs"), true, true),
    ];
    for (mount, has_namespace, is_refused) in cases {
        let mut spec = plain();
        spec["mounts"] = json!([mount]);
        if has_namespace {
            spec["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "cgroup"}));
        }
        let output = dir.run(&RESTORE, &spec.to_string());
        let status = i32::from(is_refused);
        assert_eq!(output.status.code(), Some(status), "{mount}: {}", message(&output));
        assert_eq!(message(&output).contains("belongs to the host"), is_refused, "{mount}");
    }
}

#[test]
fn a_dropped_cgroup_path_is_reported_unless_a_flag_sets_one() {
    let dir = Dir::new();
    let mut spec = plain();
    spec["linux"]["cgroupsPath"] = json!("/system.slice/sshd.service");
    for (flags, is_reported) in [
        (&[][..], true),
        (&["--cgroups-path", "/mine"], false),
        (&["--cgroup-manager", "cgroupfs", "--id", "new"], false),
        (&["--cgroup-parent", "/mine", "--id", "new"], false),
        (&["--cgroups", "disabled"], false),
    ] {
        let output = dir.run(&[&RESTORE[..], flags].concat(), &spec.to_string());
        assert_eq!(output.status.code(), Some(0), "{flags:?}: {}", message(&output));
        let found = message(&output).contains("linux.cgroupsPath: /system.slice/sshd.service: dropped");
        assert_eq!(found, is_reported, "{flags:?}: {}", message(&output));
        assert!(!String::from_utf8_lossy(&output.stdout).contains("sshd"), "{flags:?}");
    }
}

#[test]
fn only_missing_mount_points_in_directories_are_listed() {
    let dir = Dir::new();
    fs::create_dir_all(dir.path("volume/there")).unwrap();
    dir.write("file", "");
    let bind = |destination: &str| json!({"destination": destination, "type": "bind", "source": "/old", "options": ["bind"]});
    for (source, point, is_listed) in [
        ("volume", "/data/new", true),
        ("volume", "/data/there", false),
        ("nowhere", "/data/new", false),
        ("file", "/data/new", false),
    ] {
        let mut spec = plain();
        spec["mounts"] = json!([bind("/data"), bind(point)]);
        let (data, inner) =
            (format!("{}:/data", dir.path(source)), format!("{}:{point}", dir.path("volume")));
        let flags = ["-v", &data, "-v", &inner, "--actions", "-", "-o", "/dev/null"];
        let output = dir.run(&[&RESTORE[..], &flags].concat(), &spec.to_string());
        assert_eq!(output.status.code(), Some(0), "{}", message(&output));
        let actions = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(actions.contains("/volume/new"), is_listed, "{source} {point}: {actions}");
        assert_eq!(actions.contains("mkdir"), is_listed, "{source} {point}: {actions}");
    }
}

#[test]
fn images_are_checked_for_their_maker_and_namespaces() {
    let dir = Dir::new();
    write_images(&dir, 1, None);
    let output = dir.run(&[&RESTORE[..], &["--images", "images"]].concat(), &plain().to_string());
    assert_eq!(output.status.code(), Some(0), "{}", message(&output));
    assert!(!message(&output).contains("crun made the images"), "{}", message(&output));
    // A path in the spec agrees with an external namespace in the images.
    let mut spec = plain();
    spec["linux"]["namespaces"][1] = json!({"type": "network", "path": "/run/netns/web"});
    write_images(&dir, 1, Some(b"\x42\x0cextRootNetNS"));
    let flags = [&RESTORE[..], &["--trust-archive", "--images", "images"]].concat();
    assert_eq!(dir.spec(&flags, &spec.to_string())["linux"]["namespaces"][1]["path"], "/run/netns/web");
    fs::remove_file(dir.path("images/mountpoints-13.img")).unwrap();
    let output = dir.run(&[&RESTORE[..], &["--images", "images"]].concat(), &plain().to_string());
    assert_eq!(output.status.code(), Some(1));
    assert!(message(&output).contains("found no mountpoints-*.img"), "{}", message(&output));
}
