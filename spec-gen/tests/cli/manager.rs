//! Tests podman's flags for the files that a container engine provides.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::*;

/// Returns type, source and options of the mount at a destination.
fn mount(spec: &Value, destination: &str) -> Value {
    let found = spec["mounts"].as_array().unwrap().iter().find(|m| m["destination"] == destination);
    found.map_or(Value::Null, |m| json!([m["type"], m["source"], m["options"]]))
}

fn env(spec: &Value) -> Vec<&str> {
    spec["process"]["env"].as_array().unwrap().iter().filter_map(Value::as_str).collect()
}

const READ_ONLY: [&str; 6] = ["bind", "rprivate", "ro", "nosuid", "noexec", "nodev"];

/// Returns a container config in libpod's format, extended with the keys of `more`.
fn libpod(more: Value) -> String {
    let mut config = json!({
        "id": "0123456789abcdef", "staticDir": "/s/overlay-containers/ID/userdata",
        "spec": {"ociVersion": "1.2.0", "process": {"args": ["sh"], "cwd": "/", "user": {"uid": 0, "gid": 0}},
            "root": {"path": "rootfs"}, "mounts": [], "linux": {"namespaces": [{"type": "uts"}]}}
    });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    config.to_string()
}

fn with_zones(dir: &Dir, args: &[&str], input: &str) -> Output {
    fs::create_dir_all(dir.path("zones/Europe")).unwrap();
    dir.write("zones/Europe/Berlin", "TZif2");
    let mut command = Command::new(env!("CARGO_BIN_EXE_spec-gen"));
    dir.run_with(command.args(args).env("TZDIR", dir.path("zones")), input)
}

#[test]
fn a_time_zone_is_a_read_only_bind_mount_of_the_hosts_file() {
    let dir = Dir::new();
    let spec = |args: &[&str], input: &str| -> Value {
        let output = with_zones(&dir, args, input);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", message(&output)))
    };
    let zone = json!(["bind", dir.path("zones/Europe/Berlin"), READ_ONLY]);
    let new = spec(&["--new", "--tz", "Europe/Berlin"], "");
    assert_eq!(mount(&new, "/etc/localtime"), zone);
    assert!(!env(&new).iter().any(|e| e.starts_with("TZ=")), "podman sets none");
    let state = r#"{"bindMounts":{"/etc/localtime":"/run/localtime"}}"#;
    dir.write("state.json", state);
    for flags in [&["--tz", "Europe/Berlin"][..], &["--tz", "Europe/Berlin", "--state", "state.json"]] {
        let config = libpod(json!({"timezone": "UTC"}));
        assert_eq!(mount(&spec(flags, &config), "/etc/localtime"), zone);
    }
    let own = spec(&["--new", "--tz", "Europe/Berlin", "-v", "/my/zone:/etc/localtime"], "");
    assert_eq!(mount(&own, "/etc/localtime")[1], "/my/zone");
    for (zone, status, text) in [
        ("../../etc/passwd", 2, "--tz ../../etc/passwd: expected the name of a time zone"),
        ("/etc/passwd", 2, "expected the name of a time zone"),
        ("Europe/Paris", 1, "--tz Europe/Paris: no such time zone"),
        ("Europe", 1, "--tz Europe: not a time zone"),
    ] {
        let output = with_zones(&dir, &["--new", "--tz", zone], "");
        assert_eq!((output.status.code(), output.stdout.len()), (Some(status), 0), "{zone}");
        assert!(message(&output).contains(text), "{zone}: {}", message(&output));
    }
}

#[test]
fn secrets_become_files_or_variables() {
    let dir = Dir::new();
    fs::create_dir(dir.path("secrets")).unwrap();
    dir.write("secrets/s1", "s3cret\n");
    dir.write("key", "k");
    let spec = dir.spec(
        &[
            "--new",
            "--secret-root",
            "secrets",
            "--secret",
            "s1",
            "--secret",
            "s1,type=env,target=VAR",
            "--secret",
            "k,src=key,target=/abs.txt",
            "--secret",
            "s1,type=env",
        ],
        "",
    );
    assert_eq!(mount(&spec, "/run/secrets/s1"), json!(["bind", dir.path("secrets/s1"), READ_ONLY]));
    assert_eq!(mount(&spec, "/abs.txt"), json!(["bind", dir.path("key"), READ_ONLY]));
    assert!(env(&spec).contains(&"VAR=s3cret\n") && env(&spec).contains(&"s1=s3cret\n"));
    #[rustfmt::skip]
    let cases: &[(&[&str], i32, &str)] = &[
        (&["--secret", "s1"], 2, "--secret s1: its file is not known\nhint: --secret s1,src=FILE, or add --secret-root DIR"),
        (&["--secret", "s1,type=env"], 2, "--secret s1: its file is not known"),
        (&["--secret", "s1,src=nowhere"], 1, "nowhere: No such file or directory"),
        (&["--secret", "s1,src=secrets"], 1, "secrets: not a file"),
        (&["--secret", "s1,src=key,mode=0400"], 2, "need a copy of the secret\nhint: add --secret-copies DIR --apply"),
        (&["--secret", "../x,src=key"], 2, "expected a name of letters, digits, '_', '.' and '-' that starts with a letter or digit"),
        (&["--secret", "s1,src=key,target=../../etc/shadow"], 2, "expected the path of a file"),
    ];
    for (flags, status, text) in cases {
        let output = dir.run(&[&["--new"], *flags].concat(), "");
        assert_eq!((output.status.code(), output.stdout.len()), (Some(*status), 0), "{flags:?}");
        assert!(message(&output).contains(text), "{flags:?}: {}", message(&output));
    }
}

#[test]
fn secret_copies_have_owner_and_mode_and_are_not_in_the_list() {
    let dir = Dir::new();
    dir.write("key", "k3y");
    let me = fs::metadata(dir.path("key")).unwrap();
    let secret = format!("k,src=key,target=foo,uid={},gid={},mode=0440", me.uid(), me.gid());
    let flags = ["--new", "--read-only=false", "--secret", &secret, "--secret-copies", "copies"];
    dir.spec(&[&flags[..], &["--actions", "list"]].concat(), "");
    let list = fs::read_to_string(dir.path("list")).unwrap();
    assert!(list.contains(r#""action":"copy""#) && !list.contains("k3y"), "{list}");
    assert!(!fs::exists(dir.path("copies")).unwrap());
    for content in ["k3y", "other"] {
        dir.write("key", content);
        let spec = dir.spec(&[&flags[..], &["--apply"]].concat(), "");
        assert_eq!(
            mount(&spec, "/run/secrets/foo"),
            json!(["bind", dir.path("copies/k"), ["bind", "rprivate"]])
        );
        assert_eq!(fs::read_to_string(dir.path("copies/k")).unwrap(), content);
        assert_eq!(fs::metadata(dir.path("copies/k")).unwrap().permissions().mode() & 0o7777, 0o440);
    }
    // A symbolic link at the path of the copy is replaced, not followed.
    fs::remove_file(dir.path("copies/k")).unwrap();
    symlink(dir.path("rootfs/etc/group"), dir.path("copies/k")).unwrap();
    dir.spec(&[&flags[..], &["--apply"]].concat(), "");
    assert_eq!(fs::read_to_string(dir.path("copies/k")).unwrap(), "other");
    assert!(fs::read_to_string(dir.path("rootfs/etc/group")).unwrap().starts_with("root:"));
}

#[test]
fn network_files_are_also_mounted_in_chroots_or_omitted() {
    let dir = Dir::new();
    let flags = ["--new", "--bind-mount", "/etc/hosts=h", "--chrootdirs", "/chr", "--chrootdirs", "/b/"];
    let spec = dir.spec(&flags, "");
    for at in ["/etc/hosts", "/chr/etc/hosts", "/b/etc/hosts"] {
        assert_eq!(mount(&spec, at)[1], dir.path("h"), "{at}");
    }
    assert_eq!(mount(&spec, "/chr/etc/resolv.conf"), Value::Null);
    let state = json!({"runDir": "/r"});
    dir.write("state.json", &state.to_string());
    let state = json!({"bindMounts": {"/etc/hosts": "/r/h", "/chr/etc/hosts": "/r/h", "/etc/hostname": "/r/n", "/etc/resolv.conf": "/r/r"}});
    dir.write("started.json", &state.to_string());
    let config = libpod(json!({"chroot_directories": ["/chr"]}));
    for state in ["state.json", "started.json"] {
        let all = dir.spec(&["--state", state], &config);
        assert_ne!(mount(&all, "/chr/etc/hosts"), Value::Null, "{state}");
        let spec = dir.spec(&["--state", state, "--no-hosts", "--no-hostname"], &config);
        for at in ["/etc/hosts", "/chr/etc/hosts", "/etc/hostname"] {
            assert_eq!(mount(&spec, at), Value::Null, "{state} {at}");
        }
        assert_ne!(mount(&spec, "/etc/resolv.conf"), Value::Null, "{state}");
    }
    assert_eq!(dir.run(&["--new", "--chrootdirs", "rel"], "").status.code(), Some(2));
}

#[ignore = "needs root"]
#[test]
fn only_sdnotify_container_passes_the_notify_socket() {
    let dir = Dir::new();
    let told = |spec: &Value| {
        let socket = spec["process"]["env"].to_string().contains("NOTIFY_SOCKET=/run/notify/notify.sock");
        (socket, mount(spec, "/run/notify")[1].as_str().map(str::to_owned))
    };
    let by_flag = ["--new", "--sdnotify", "container", "--bind-mount", "/run/notify=n"];
    let spec = dir.spec(&by_flag, "");
    assert_eq!(told(&spec), (true, Some(dir.path("n"))));
    // A second run changes nothing, and another value removes the socket.
    let text = spec.to_string();
    assert_eq!(dir.spec(&["--sdnotify", "container"], &text), spec);
    for who in ["conmon", "ignore", "healthy"] {
        assert_eq!(told(&dir.spec(&["--sdnotify", who], &text)), (false, None), "{who}");
    }
    let config = libpod(json!({"sdnotifySocket": "/run/systemd/notify", "sdnotifyMode": "container"}));
    assert_eq!(
        told(&dir.spec(&[], &config)),
        (true, Some("/s/overlay-containers/ID/userdata/notify".into()))
    );
    assert_eq!(told(&dir.spec(&["--sdnotify", "conmon"], &config)), (false, None));
    fs::create_dir(dir.path("b")).unwrap();
    let made = dir.run(&["--new", "--sdnotify", "container", "--bundle", "b", "--apply"], "");
    assert!(made.status.success(), "{}", message(&made));
    assert!(fs::metadata(dir.path("b/notify")).unwrap().is_dir());
    let output = dir.run(&["--new", "--sdnotify", "container"], "");
    assert_eq!(output.status.code(), Some(2));
    assert!(message(&output).contains("hint: add --bind-mount /run/notify=DIR"), "{}", message(&output));
}

#[ignore = "needs root"]
#[test]
fn image_volume_determines_how_image_volumes_are_mounted() {
    let dir = Dir::new();
    fs::create_dir_all(dir.path("rootfs/ivol")).unwrap();
    fs::set_permissions(dir.path("rootfs/ivol"), fs::Permissions::from_mode(0o750)).unwrap();
    dir.write("image.json", r#"{"config":{"Volumes":{"/ivol":{},"/other":{}}}}"#);
    let run = |flags: &[&str]| {
        dir.run(&[&["--image-config", "image.json", "--rootfs", "rootfs"], flags].concat(), "")
    };
    let spec = |flags: &[&str]| -> Value { serde_json::from_slice(&run(flags).stdout).unwrap() };
    let tmpfs = json!(["tmpfs", "tmpfs", ["rprivate", "rw", "nodev", "exec", "nosuid", "tmpcopyup"]]);
    for flags in [&[][..], &["--image-volume", "tmpfs"]] {
        assert_eq!(mount(&spec(flags), "/ivol"), tmpfs);
    }
    assert_eq!(mount(&spec(&["--image-volume", "ignore"]), "/ivol"), Value::Null);
    for flags in
        [&["--image-volume", "ignore"][..], &["--image-volume", "anonymous", "--volume-root", "v", "--apply"]]
    {
        let spec = spec(&[flags, &["-v", "/mine:/ivol/"]].concat());
        assert_eq!(mount(&spec, "/ivol/")[1], "/mine", "{spec}");
    }
    assert!(!fs::exists(dir.path("v/image-ivol")).unwrap(), "nobody needs it");
    let flags = ["--image-volume", "bind", "--volume-root", "v", "--apply", "--id", "web"];
    let options = ["rprivate", "rw", "nodev", "exec", "nosuid", "rbind"];
    assert_eq!(mount(&spec(&flags), "/ivol"), json!(["bind", dir.path("v/web-ivol/_data"), options]));
    let made = fs::metadata(dir.path("v/web-ivol/_data")).unwrap();
    assert_eq!(made.permissions().mode() & 0o7777, 0o750);
    assert_eq!(message(&run(&flags)), "");
    dir.write("rootfs/ivol/f", "");
    assert!(
        message(&run(&flags))
            .contains("the image's files at /ivol are not copied; run: cp -a rootfs/ivol/. ")
    );
    let output = run(&["--image-volume", "anonymous"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(message(&output).contains("hint: add --volume-root DIR"), "{}", message(&output));
    assert_eq!(run(&["--image-volume", "foo"]).status.code(), Some(2));
}

#[test]
fn an_image_volume_link_reveals_nothing_about_the_host() {
    let dir = Dir::new();
    symlink("/etc", dir.path("rootfs/out")).unwrap();
    fs::remove_dir(dir.path("rootfs/home/alice")).unwrap();
    dir.write("image.json", r#"{"config":{"Volumes":{"/out":{}}}}"#);
    let flags = [
        "--image-config",
        "image.json",
        "--rootfs",
        "rootfs",
        "--image-volume",
        "anonymous",
        "--volume-root",
        "v",
    ];
    let output = dir.run(&[&flags[..], &["--actions", "list"]].concat(), "");
    assert!(output.status.success());
    // The link resolves to the image's own /etc, which contains passwd and group.
    assert!(message(&output).contains("the image's files at /out are not copied"), "{}", message(&output));
    symlink("/root", dir.path("rootfs/out2")).unwrap();
    dir.write("image.json", r#"{"config":{"Volumes":{"/out2":{}}}}"#);
    assert_eq!(message(&dir.run(&[&flags[..], &["--actions", "list"]].concat(), "")), "");
}

#[test]
fn volumes_from_copies_the_volumes_of_a_container() {
    let dir = Dir::new();
    let config: Value = serde_json::from_str(&libpod(json!({
        "userVolumes": ["/data", "/data4", "/t", "/vol"],
        "staticDir": "/s/overlay-containers/ID/userdata",
        "namedVolumes": [{"volumeName": "nv", "dest": "/vol", "options": ["nocopy", "nodev", "rw", "rprivate", "rbind"]}],
        "overlayVolumes": [{"source": "/d", "dest": "/data4", "options": []}],
    })))
    .unwrap();
    let mut config = config;
    config["spec"]["mounts"] = json!([
        {"destination": "/data", "type": "bind", "source": "/d", "options": ["rw", "noexec", "Z", "rprivate", "rbind"]},
        {"destination": "/t", "type": "tmpfs", "source": "tmpfs"},
        {"destination": "/not-the-users", "type": "bind", "source": "/x"},
    ]);
    dir.write("config.dump", &config.to_string());
    let spec = dir.spec(&["--new", "--volumes-from", "config.dump"], "");
    assert_eq!(mount(&spec, "/data"), json!(["bind", "/d", ["rw", "noexec", "rprivate", "rbind"]]));
    assert_eq!(
        mount(&spec, "/vol"),
        json!(["bind", "/s/volumes/nv/_data", ["nodev", "rw", "rprivate", "rbind"]])
    );
    for at in ["/t", "/data4", "/not-the-users"] {
        assert_eq!(mount(&spec, at), Value::Null, "{at}");
    }
    // --volumes-from changes only the given options. podman drops noexec in this case.
    let spec = dir.spec(&["--new", "--volumes-from", "config.dump:ro", "-v", "/mine:/vol"], "");
    assert_eq!(mount(&spec, "/data"), json!(["bind", "/d", ["ro", "noexec", "rprivate", "rbind"]]));
    assert_eq!(mount(&spec, "/vol")[1], "/mine");
    // In a bundle, mounts of the container engine and of the runtime are not volumes.
    fs::create_dir(dir.path("bundle")).unwrap();
    let made = dir.spec(
        &["--new", "-v", "/d:/data:ro", "--tmpfs", "/t", "--bind-mount", "/etc/hosts=h", "--init-path", "i"],
        "",
    );
    dir.write("bundle/config.json", &made.to_string());
    for other in ["bundle", "bundle/config.json"] {
        let spec = dir.spec(&["--new", "--volumes-from", other], "");
        assert_eq!(mount(&spec, "/data"), json!(["bind", "/d", ["ro", "rprivate", "rbind"]]));
        for at in ["/t", "/etc/hosts", "/run/podman-init"] {
            assert_eq!(mount(&spec, at), Value::Null, "{other} {at}");
        }
    }
    // A document with the keys of both formats is a spec, both as input and for --volumes-from.
    let both = r#"{"ociVersion":"1.2.0","mounts":[{"destination":"/data","type":"bind","source":"/own"}],
        "spec":{"ociVersion":"1.2.0"},"userVolumes":["/data"]}"#;
    dir.write("both.json", both);
    let spec = dir.spec(&["--new", "--volumes-from", "both.json"], "");
    assert_eq!(mount(&spec, "/data")[1], mount(&dir.spec(&[], both), "/data")[1]);
    assert_eq!(mount(&spec, "/data")[1], "/own");
    dir.write("neither.json", "{}");
    dir.write(
        "bad.json",
        r#"{"ociVersion":"1","mounts":[{"destination":"rel","type":"bind","source":"/x"}]}"#,
    );
    #[rustfmt::skip]
    let cases = [
        ("nowhere", 1, "nowhere: No such file or directory"), ("config.dump:U", 2, "the options are ro, rw and z"),
        ("rootfs/etc/passwd", 1, "not valid JSON"), ("neither.json", 1, "neither.json: neither an OCI spec (key ociVersion) nor"), ("bad.json", 1, "rel: a mount's destination must be an absolute path"),
    ];
    for (other, status, text) in cases {
        let output = dir.run(&["--new", "--volumes-from", other], "");
        assert_eq!((output.status.code(), output.stdout.len()), (Some(status), 0), "{other}");
        assert!(message(&output).contains(text), "{other}: {}", message(&output));
    }
}

#[test]
fn an_init_is_prepended_to_the_command_only_once() {
    let dir = Dir::new();
    fs::create_dir(dir.path("bin")).unwrap();
    dir.write("bin/init", "");
    let flags = ["--init-path", "bin/init"];
    let spec = dir.spec(&[&["--new"], &flags[..]].concat(), "");
    assert_eq!(spec["process"]["args"], json!(["/run/podman-init", "--", "sh"]));
    assert_eq!(
        mount(&spec, "/run/podman-init"),
        json!(["bind", dir.path("bin/init"), ["bind", "ro", "private"]])
    );
    assert_eq!(spec["annotations"]["io.podman.annotations.init"], "TRUE");
    assert_eq!(dir.spec(&flags, &spec.to_string()), spec);
    let output = dir.run(&["--new", "--pid", "host", "--init-path", "bin/init"], "");
    assert_eq!(output.status.code(), Some(2));
    assert!(message(&output).contains("the container has no PID namespace of its own"));
}

#[test]
fn env_merge_expands_the_variables_of_the_image() {
    let dir = Dir::new();
    dir.write("image.json", r#"{"config":{"Env":["hello=world","PATH=/bin"]}}"#);
    #[rustfmt::skip]
    let cases: &[(&[&str], &[&str])] = &[
        (&["--env-merge", "hello=${hello}-some"], &["hello=world-some"]),
        (&["--env-merge", "new=${hello}", "-e", "hello=mine"], &["hello=mine", "new=world"]),
        (&["--env-merge", "hello=${hello}2", "--env-merge", "hello=${hello}3"], &["hello=world23"]),
        (&["--env-merge", "hello=$hello-x", "-e", "hello=y"], &["hello=y"]),
        (&["--env-merge", "new=$hello", "--unsetenv", "hello"], &["new=world"]),
        (&["--env-merge", "A=${B}", "-e", "B=1"], &["A=", "B=1", "hello=world"]),
        (&["--env-merge", "PATH=$PATH:/x=y"], &["PATH=/bin:/x=y", "hello=world"]),
    ];
    for (flags, expected) in cases {
        let spec = dir.spec(&[&["--image-config", "image.json"], *flags].concat(), "");
        let mut found = env(&spec);
        found.retain(|e| !e.starts_with("TERM=") && *e != "PATH=/bin");
        found.sort_unstable();
        assert_eq!(found, *expected, "{flags:?}");
    }
    for bad in ["hello", "=x", "N=${hello", "N='x"] {
        let output = dir.run(&["--new", "--env-merge", bad], "");
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{bad}");
        assert!(message(&output).contains(&format!("--env-merge {bad}: ")), "{}", message(&output));
    }
}

#[test]
fn a_flag_that_config_json_cannot_express_is_reported() {
    let dir = Dir::new();
    let output = dir.run(&["--new", "--timeout", "5"], "");
    assert!(output.status.success());
    assert!(message(&output).contains("warning: --timeout ignored: config.json cannot express it"));
    for flags in [&["--subuidname", "x", "--userns", "host"][..], &["--subgidname", "x", "--uidmap", "0:1:1"]]
    {
        assert_eq!(dir.run(&[&["--new"], flags].concat(), "").status.code(), Some(2), "{flags:?}");
    }
    let output = dir.run(&["--new", "--subuidname", "no body"], "");
    assert_eq!(output.status.code(), Some(1));
    assert!(message(&output).contains("/etc/subuid: no body: no subordinate IDs are assigned to this name"));
}

#[test]
fn lookup_user_prints_what_user_would_resolve_to() {
    let dir = Dir::new();
    dir.write(
        "rootfs/etc/passwd",
        "root:x:0:0::/root:\n# c:x:0:0::/:\nalice:x:1000:1000::/home/alice:\nshort:x:7\n",
    );
    let run = |args: &[&str]| dir.run(&[&["lookup-user", "--rootfs", "rootfs"], args].concat(), "");
    let found = |args: &[&str]| -> Value {
        let output = run(args);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", message(&output)))
    };
    assert_eq!(
        found(&["alice"]),
        json!({"uid": 1000, "gid": 1000, "groups": [10], "home": "/home/alice", "found": "rootfs/etc/passwd:3"})
    );
    assert_eq!(found(&["alice:wheel"])["groups"], json!([]));
    assert_eq!(found(&["alice", "--group-add", "wheel", "--group-add", "7"])["groups"], json!([10, 7]));
    assert_eq!(found(&["4242"]), json!({"uid": 4242, "gid": 0, "groups": [], "home": null, "found": null}));
    for (args, status, text) in [
        (&["short"][..], 1, "user short: unable to find user short"),
        (&["# c"], 1, "unable to find user # c"),
        (&["-5"], 2, "uids and gids must be in range"),
        (&["alice", "--group-add", "2147483648"], 2, "uids and gids must be in range"),
        (&["alice", "--group-add", "none"], 1, "unable to find group none"),
        (&[], 2, "<USER[:GROUP]>"),
    ] {
        let output = run(args);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(status), 0), "{args:?}");
        assert!(message(&output).contains(text), "{args:?}: {}", message(&output));
    }
    assert!(message(&run(&["alice"])).contains("passwd:4: fewer than 4 fields, line ignored"));
    for quiet in ["-q", "--quiet"] {
        let output = dir.run(&[quiet, "lookup-user", "alice", "--rootfs", "rootfs"], "");
        assert_eq!((output.status.code(), message(&output).as_str()), (Some(0), ""), "{quiet}");
    }
    assert_eq!(dir.run(&["lookup-user", "alice"], "").status.code(), Some(2), "without a root file system");
    fs::remove_file(dir.path("rootfs/etc/passwd")).unwrap();
    symlink("/etc/passwd", dir.path("rootfs/etc/passwd")).unwrap();
    assert!(message(&run(&["root"])).contains("Too many levels of symbolic links"));
}
