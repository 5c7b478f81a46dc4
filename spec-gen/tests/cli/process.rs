//! Tests what flags and container config give the process: environment, user, capabilities, init
//! and working directory.

use super::*;

/// Returns a container config in libpod's format, with keys of its process and of the config.
fn libpod(process: Value, more: Value) -> String {
    let mut config = json!({
        "id": "0123456789abcdef", "staticDir": "/s/overlay-containers/ID/userdata",
        "spec": {"ociVersion": "1.2.0", "process": {"args": ["sh"], "cwd": "/", "user": {"uid": 0, "gid": 0}},
            "root": {"path": "rootfs"}, "mounts": [], "linux": {"namespaces": [{"type": "uts"}, {"type": "pid"}]}}
    });
    config["spec"]["process"].as_object_mut().unwrap().extend(process.as_object().unwrap().clone());
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    config.to_string()
}

/// Returns the entries of the environment of a spec for which `wanted` returns true.
fn env(spec: &Value, wanted: impl Fn(&str) -> bool) -> Vec<&str> {
    let env = spec["process"]["env"].as_array().into_iter().flatten().filter_map(Value::as_str);
    env.filter(|entry| wanted(entry)).collect()
}

#[test]
fn proxies_and_own_variables_are_passed_on_by_choice() {
    let dir = Dir::new();
    let input = spec_with("/process/env", json!(["HTTPS_PROXY=mine", "OWN_A=image"]));
    let own = [
        ("http_proxy", "1"),
        ("HTTP_PROXY", "2"),
        ("https_proxy", "3"),
        ("HTTPS_PROXY", "4"),
        ("ftp_proxy", "5"),
        ("FTP_PROXY", "6"),
        ("no_proxy", "7"),
        ("NO_PROXY", "8"),
        ("Http_Proxy", "9"),
        ("OWN_A", "host"),
        ("OWN_B", "host"),
    ];
    let proxies = ["FTP_PROXY=6", "HTTP_PROXY=2", "HTTPS_PROXY=mine", "NO_PROXY=8"];
    let lower = ["ftp_proxy=5", "http_proxy=1", "https_proxy=3", "no_proxy=7"];
    let image = ["HTTPS_PROXY=mine", "OWN_A=image"];
    let host = ["Http_Proxy=9", "OWN_A=image", "OWN_B=host"];
    let none: &[&str] = &[];
    for (flags, expected) in [
        (&[][..], image.to_vec()),
        (&["--http-proxy=false", "--env-host=false"], image.to_vec()),
        (&["--http-proxy"], [&proxies[..], &lower, &["OWN_A=image"]].concat()),
        (&["--env-host"], [&proxies[..], &lower, &host].concat()),
        (&["-e", "OWN_*"], ["HTTPS_PROXY=mine", "OWN_A=host", "OWN_B=host"].to_vec()),
        (&["--unsetenv-all"], none.to_vec()),
        (&["--unsetenv", "OWN_A"], vec!["HTTPS_PROXY=mine"]),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_spec-gen"));
        let output = dir.run_with(command.envs(own).args(flags), &input);
        let spec: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", message(&output)));
        let is_tested = |entry: &str| own.iter().any(|(name, _)| entry.split('=').next() == Some(*name));
        let mut found = env(&spec, is_tested);
        found.sort_unstable();
        let mut expected = expected;
        expected.sort_unstable();
        assert_eq!(found, expected, "{flags:?}");
    }
}

#[test]
fn home_follows_the_user_unless_the_flags_set_it() {
    let dir = Dir::new();
    dir.write("env", "OTHER=1\n");
    dir.write("home", "HOME=/root\n");
    let input = spec_with("/process/env", json!(["HOME=/root"]));
    for (flags, expected) in [
        (&[][..], "HOME=/home/alice"),
        (&["--env-merge", "OTHER=1"], "HOME=/home/alice"),
        (&["--env-merge", "HOME=/root"], "HOME=/root"),
        (&["--env-file", "env"], "HOME=/home/alice"),
        (&["--env-file", "home"], "HOME=/root"),
        (&["-e", "OTHER=1"], "HOME=/home/alice"),
    ] {
        let spec = dir.spec(&[&["--rootfs", "rootfs", "--user", "alice"], flags].concat(), &input);
        assert_eq!(env(&spec, |e| e.starts_with("HOME=")), [expected], "{flags:?}");
    }
    // A container config already has the home directory of its user.
    let config = libpod(json!({"env": ["HOME=/root"]}), json!({"user": "alice"}));
    let spec = dir.spec(&["--rootfs", "rootfs"], &config);
    assert_eq!(env(&spec, |e| e.starts_with("HOME=")), ["HOME=/root"]);
}

#[test]
fn a_variable_of_a_file_replaces_the_secret_of_its_name() {
    let dir = Dir::new();
    dir.write("env", "SEC=own\n");
    dir.write("other", "OTHER=1\n");
    dir.write("secret", "s3cret");
    let config = libpod(json!({}), json!({"secret_env": {"SEC": {"name": "sec"}}}));
    for (flags, expected) in [
        (&["--env-file", "env"][..], "SEC=own"),
        (&["--env-file", "other"], "SEC=s3cret"),
        (&["--env-merge", "SEC=merged"], "SEC=merged"),
        (&["-e", "SEC=flag"], "SEC=flag"),
        (&[], "SEC=s3cret"),
    ] {
        let spec =
            dir.spec(&[&["-q", "--rootfs", "rootfs", "--secret-env=sec=secret"], flags].concat(), &config);
        assert_eq!(env(&spec, |e| e.starts_with("SEC=")), [expected], "{flags:?}");
    }
}

#[test]
fn a_missing_working_directory_is_an_error_or_a_warning() {
    let dir = Dir::new();
    let missing = ["--rootfs", "rootfs", "--workdir", "/missing"];
    for (flags, status, is_reported) in [
        (&[][..], 1, true),
        (&["--check-cwd", "error"], 1, true),
        (&["--check-cwd", "warn"], 0, true),
        (&["--check-cwd", "off"], 0, false),
    ] {
        let output = dir.run(&[&missing[..], flags].concat(), SPEC);
        assert_eq!(output.status.code(), Some(status), "{flags:?}");
        let found = message(&output).contains("workdir \"/missing\" does not exist in rootfs");
        assert_eq!(found, is_reported, "{flags:?}: {}", message(&output));
    }
}

#[test]
fn a_flag_for_another_user_also_changes_its_capabilities() {
    let dir = Dir::new();
    let (one, two) = (json!(["CAP_CHOWN"]), json!(["CAP_KILL"]));
    let before = json!({"bounding": one, "ambient": two, "inheritable": two});
    let root = json!({"bounding": one, "effective": one, "permitted": one});
    #[rustfmt::skip]
    let cases: [(&str, &[&str], &Value); 6] = [
        ("alice", &[], &before),
        ("alice", &["--user", "root"], &root),
        ("alice", &["--user", "0"], &root),
        ("alice", &["--user", "4242"], &before),
        ("root", &["--user", "root"], &before),
        ("root", &["--user", "alice"], &json!({"bounding": one})),
    ];
    for (user, flags, expected) in cases {
        let config = libpod(json!({"capabilities": before}), json!({"user": user}));
        let spec = dir.spec(&[&["-q", "--rootfs", "rootfs"], flags].concat(), &config);
        assert_eq!(&spec["process"]["capabilities"], expected, "{user} {flags:?}");
    }
}

#[test]
fn the_users_of_the_image_come_before_those_of_the_host() {
    let dir = Dir::new();
    let root = nix::unistd::User::from_uid(0.into()).unwrap().unwrap().name;
    dir.write("rootfs/etc/passwd", &format!("{root}:x:77:88::/home/alice:/bin/sh\n"));
    let config = libpod(json!({}), json!({"user": root, "HostUsers": [root]}));
    let spec = dir.spec(&["-q", "--rootfs", "rootfs"], &config);
    assert_eq!((&spec["process"]["user"]["uid"], &spec["process"]["user"]["gid"]), (&json!(77), &json!(88)));
    dir.write("rootfs/etc/passwd", "alice:x:1000:1000::/home/alice:/bin/sh\n");
    let spec = dir.spec(&["-q", "--rootfs", "rootfs"], &config);
    assert_eq!(spec["process"]["user"]["uid"], 0);
}

#[test]
fn an_init_is_found_in_the_search_path() {
    use std::os::unix::fs::PermissionsExt;
    let dir = Dir::new();
    dir.write("catatonit", "");
    fs::set_permissions(dir.path("catatonit"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", dir.path("."));
    let run = |flag: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_spec-gen"));
        let output = dir.run_with(command.env("PATH", &path).args(["--new", flag]), "");
        serde_json::from_slice::<Value>(&output.stdout).unwrap_or_else(|_| panic!("{}", message(&output)))
    };
    let spec = run("--init");
    let mount = spec["mounts"].as_array().unwrap().iter().find(|m| m["destination"] == "/run/podman-init");
    let source = mount.unwrap()["source"].as_str().unwrap();
    assert!(source.ends_with("/catatonit") && Path::new(source).is_file(), "{source}");
    assert_eq!(spec["process"]["args"][0], "/run/podman-init");
    assert!(!run("--init=false").to_string().contains("podman-init"));
}

#[test]
fn only_the_notify_socket_of_podman_is_removed() {
    let dir = Dir::new();
    let own = "NOTIFY_SOCKET=/run/notify/notify.sock";
    for (entry, is_kept) in [(own, false), ("NOTIFY_SOCKET=/mine", true), ("NOTIFY_SOCKET=", true)] {
        let mut spec: Value = serde_json::from_str(SPEC).unwrap();
        spec["process"]["env"] = json!(["A=1", entry]);
        spec["mounts"] =
            json!([{"destination": "/run/notify", "type": "bind", "source": "/n", "options": ["bind"]}]);
        let made = dir.spec(&["--sdnotify", "conmon"], &spec.to_string());
        let expected = if is_kept { vec!["A=1", entry] } else { vec!["A=1"] };
        assert_eq!(env(&made, |_| true), expected, "{entry}");
        assert_eq!(made["mounts"].as_array().is_some_and(|m| m.len() == 1), is_kept, "{entry}");
    }
}

#[test]
fn a_mount_on_run_hides_the_engines_file_unless_it_is_a_tmpfs() {
    let dir = Dir::new();
    dir.write("state.json", r#"{"runDir": "/r"}"#);
    let mount = |destination: &str, kind: &str| json!({"destination": destination, "type": kind, "source": "/mine", "options": ["rbind"]});
    for (mounts, expected) in [
        (json!([]), Some("/r/.containerenv")),
        (json!([mount("/run", "tmpfs")]), Some("/r/.containerenv")),
        (json!([mount("/run", "bind")]), None),
        (json!([mount("/run/.containerenv", "bind")]), Some("/mine")),
        (json!([mount("/runner", "bind")]), Some("/r/.containerenv")),
    ] {
        let mut config: Value = serde_json::from_str(&libpod(json!({}), json!({}))).unwrap();
        config["spec"]["mounts"] = mounts.clone();
        let spec = dir.spec(&["--rootfs", "rootfs", "--state", "state.json"], &config.to_string());
        let found =
            spec["mounts"].as_array().unwrap().iter().find(|m| m["destination"] == "/run/.containerenv");
        assert_eq!(found.and_then(|m| m["source"].as_str()), expected, "{mounts}");
    }
}
