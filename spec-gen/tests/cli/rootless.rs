//! Tests `--rootless` with a container config, where podman behaves differently, and
//! `--check-host`.

use super::*;

fn container(more: Value) -> String {
    let mut config = json!({
        "id": "0123456789abcdef", "user": "", "staticDir": "/s/overlay-containers/ID/userdata",
        "spec": {"ociVersion": "1.2.0", "process": {"args": ["sh"], "cwd": "/", "oomScoreAdj": -1000},
            "root": {"path": "rootfs"}, "mounts": [{"destination": "/dev/null", "type": "bind", "source": "/mine"}],
            "linux": {"namespaces": [{"type": "uts"}], "resources": {"devices": [{"allow": false, "access": "rwm"}], "pids": {"limit": 7}}}}
    });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    config.to_string()
}

const FLAGS: [&str; 5] = ["--rootless", "--rootfs", "rootfs", "--cgroup-version", "2"];

#[test]
fn a_rootless_privileged_container_bind_mounts_devices() {
    let dir = Dir::new();
    let config = container(json!({"privileged": true, "mountAllDevices": true}));
    let spec = dir.spec(&[&FLAGS[..], &["-q"]].concat(), &config);
    let mounts = spec["mounts"].as_array().unwrap();
    let at = |path: &str| mounts.iter().find(|m| m["destination"] == path);
    assert_eq!(
        at("/dev/zero"),
        Some(
            &json!({"destination": "/dev/zero", "type": "bind", "source": "/dev/zero", "options": ["slave", "nosuid", "noexec", "rw", "rbind"]})
        )
    );
    assert_eq!(at("/dev/null").unwrap()["source"], "/mine", "a mount of the user wins");
    for path in ["/dev/tty", "/dev/ptmx", "/dev/tty0", "/dev/console"] {
        assert_eq!(at(path), None);
    }
    assert!(spec["linux"].get("devices").is_none());
    assert_eq!(spec["linux"]["resources"], json!({"pids": {"limit": 7}}));
    assert_eq!(spec["linux"]["rootfsPropagation"], "rslave");
    // If root runs podman, it creates device nodes instead.
    let spec = dir.spec(&[&FLAGS[1..], &["-q"]].concat(), &config);
    assert!(spec["linux"]["devices"].as_array().unwrap().iter().any(|d| d["path"] == "/dev/zero"));
    assert_eq!(spec["linux"]["resources"]["devices"], json!([{"allow": true, "access": "rwm"}]));
}

#[test]
fn a_bind_mounted_device_keeps_its_access_mode() {
    let dir = Dir::new();
    let flags = ["--new", "--rootless", "--device", "/dev/zero:/dev/a:r", "--device", "/dev/zero:/dev/b"];
    let spec = dir.spec(&flags, "");
    let option = |path: &str| {
        let mount = spec["mounts"].as_array().unwrap().iter().find(|m| m["destination"] == path).unwrap();
        mount["options"][3].clone()
    };
    assert_eq!((option("/dev/a"), option("/dev/b")), (json!("ro"), json!("rw")));
    let output = dir.run(&["--new", "--rootless", "--device", "/dev/nowhere"], "");
    assert!(message(&output).contains("--device /dev/nowhere: No such file or directory"));
}

#[test]
fn rootless_overlays_use_userxattr() {
    let dir = Dir::new();
    let config = container(json!({"overlayVolumes": [{"dest": "/o", "source": "/srv/o", "options": ["O"]}]}));
    let options = |flags: &[&str]| {
        let spec = dir.spec(flags, &config);
        spec["mounts"].as_array().unwrap().iter().find(|m| m["destination"] == "/o").unwrap()["options"]
            .clone()
    };
    let quiet = [&FLAGS[..], &["-q"]].concat();
    assert!(options(&quiet).as_array().unwrap().contains(&json!("userxattr")));
    assert!(!options(&quiet[1..]).as_array().unwrap().contains(&json!("userxattr")));
}

#[test]
fn rootless_writes_a_cgroup_path_only_for_a_custom_parent() {
    let dir = Dir::new();
    #[rustfmt::skip]
    let cases = [
        ("cgroupfs", "", None),
        ("cgroupfs", "/libpod_parent", None),
        ("cgroupfs", "/libpod_parent/pod", None),
        ("cgroupfs", "/user/mine", Some("/user/mine/libpod-0123456789abcdef")),
        ("systemd", "user.slice", Some("user.slice:libpod:0123456789abcdef")),
    ];
    for (manager, parent, expected) in cases {
        let config = container(json!({"cgroupManager": manager, "cgroupParent": parent}));
        let spec = dir.spec(&[&FLAGS[..], &["-q"]].concat(), &config);
        assert_eq!(spec["linux"].get("cgroupsPath").and_then(Value::as_str), expected, "{manager} {parent}");
    }
}

#[test]
fn an_oom_score_below_the_callers_is_raised_to_it() {
    let dir = Dir::new();
    let own: i64 = fs::read_to_string("/proc/self/oom_score_adj").unwrap().trim().parse().unwrap();
    let config = container(json!({}));
    let output = dir.run(&FLAGS, &config);
    let spec: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(spec["process"]["oomScoreAdj"], own);
    assert_eq!(message(&output).contains("oomScoreAdj: -1000 is lower than spec-gen's own"), own > -1000);
    assert_eq!(dir.spec(&FLAGS[1..], &config)["process"]["oomScoreAdj"], -1000);
}

#[test]
fn groups_outside_the_rootless_user_namespace_are_dropped() {
    let dir = Dir::new();
    let config = container(json!({"user": "alice"}));
    fs::write(dir.path("config.dump"), config).unwrap();
    let in_namespace = |rootless: &[&str]| {
        let output = Command::new("unshare")
            .args(["--user", "--map-root-user", env!("CARGO_BIN_EXE_spec-gen"), "--container", "config.dump"])
            .args(["--rootfs", "rootfs", "--cgroup-version", "2"])
            .args(rootless)
            .current_dir(dir.0.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", message(&output));
        let spec: Value = serde_json::from_slice(&output.stdout).unwrap();
        spec["process"]["user"]["additionalGids"].clone()
    };
    assert_eq!(in_namespace(&[]), json!([1000, 10]));
    assert_eq!(in_namespace(&["--rootless"]), json!([1000]));
}

#[test]
fn apparmor_profiles_are_checked_only_with_check_host() {
    let dir = Dir::new();
    let profile = |name: &str| spec_with("/process/apparmorProfile", json!(name));
    let wanted = profile("no such profile");
    assert!(dir.run(&[], &wanted).status.success());
    let output = dir.run(&["--check-host"], &wanted);
    let found = message(&output);
    let enabled =
        fs::read_to_string("/sys/module/apparmor/parameters/enabled").is_ok_and(|t| t.starts_with('Y'));
    let expected = match (nix::unistd::geteuid().is_root(), enabled) {
        (false, _) => "cannot load AppArmor profile \"no such profile\"",
        (true, false) => "profile \"no such profile\" specified but AppArmor is disabled on the host",
        (true, true) => "AppArmor profile \"no such profile\" specified but not loaded",
    };
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    assert!(
        found.contains(expected) && found.contains("standard input: process.apparmorProfile: "),
        "{found}"
    );
    // Simulates a host with the profile: a mount namespace replaces the host's /sys with copies of
    // the kernel's files.
    let has = "mount -t tmpfs none /sys \
        && mkdir -p /sys/module/apparmor/parameters /sys/kernel/security/apparmor \
        && echo Y > /sys/module/apparmor/parameters/enabled \
        && printf 'docker-default (enforce)\\nmine (complain)\\n' > /sys/kernel/security/apparmor/profiles && exec \"$@\"";
    for (name, expected) in [("mine", ""), ("min", "AppArmor profile \"min\" specified but not loaded")] {
        dir.write("aa.json", &profile(name));
        let output = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", has, "sh"])
            .args([env!("CARGO_BIN_EXE_spec-gen"), "--check-host", "-i", "aa.json"])
            .current_dir(dir.0.path())
            .output()
            .unwrap();
        assert_eq!(output.status.success(), expected.is_empty(), "{}", message(&output));
        assert!(message(&output).contains(expected), "{}", message(&output));
    }
    let output = dir.run(&["--check-host", "--rootless"], &wanted);
    assert!(message(&output).contains("cannot load AppArmor profile"), "{}", message(&output));
    for fine in [profile("unconfined"), SPEC.into()] {
        assert!(dir.run(&["--check-host"], &fine).status.success());
    }
}

/// podman sets `addCurrentUserPasswdEntry` for `--userns keep-id`: the container then has an entry
/// for the calling user.
#[ignore = "needs root"]
#[test]
fn the_calling_user_gets_entries_if_the_image_has_none() {
    let dir = Dir::new();
    let config = |more: Value| {
        let mut config = json!({
            "id": "0123456789abcdef", "user": "1:1", "passwd": true, "addCurrentUserPasswdEntry": true,
            "spec": {"ociVersion": "1.2.0", "process": {"args": ["sh"], "cwd": "/data", "user": {"uid": 0, "gid": 0}},
                "root": {"path": "rootfs"}, "mounts": [], "linux": {"namespaces": [{"type": "uts"}]}}
        });
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        config.to_string()
    };
    let run = |more: Value, as_daemon: bool| {
        let _ = fs::remove_dir_all(dir.path("accounts"));
        dir.write("config.dump", &config(more));
        let mut command = Command::new(if as_daemon { "setpriv" } else { env!("CARGO_BIN_EXE_spec-gen") });
        if as_daemon {
            command.args(["--reuid", "1", "--regid", "1", "--clear-groups", env!("CARGO_BIN_EXE_spec-gen")]);
        }
        command.args([
            "--container",
            "config.dump",
            "--rootfs",
            "rootfs",
            "--passwd-out",
            "accounts",
            "--actions",
            "-",
        ]);
        command.args(["-o", "/dev/null"]).current_dir(dir.0.path());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", message(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    fs::set_permissions(dir.0.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let known = run(json!({}), true);
    assert!(known.contains(r"daemon:*:1:1:daemon:/data:/bin/sh\n"), "{known}");
    assert!(known.contains(r"daemon:x:1:daemon\n"), "{known}");
    assert!(!known.contains("container user"), "one entry is enough: {known}");
    let root = run(json!({}), false);
    assert!(!root.contains("daemon") && root.contains(r"1:*:1:1:container user:/data:/bin/sh\n"), "{root}");
    let not_asked = run(json!({"addCurrentUserPasswdEntry": false}), true);
    assert!(!not_asked.contains("daemon"), "{not_asked}");
}
