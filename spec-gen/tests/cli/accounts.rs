//! Tests users that the image does not know: their passwd and group entries, HOME and groups.

use super::*;

fn home(spec: &Value) -> Vec<&str> {
    let env = spec["process"]["env"].as_array().unwrap().iter();
    env.filter_map(|e| e.as_str()?.strip_prefix("HOME=")).collect()
}

/// Returns a container config in libpod's format, extended with the keys of `more`.
fn container(more: Value) -> String {
    let mut config = json!({
        "id": "0123456789abcdef",
        "spec": {"ociVersion": "1.2.0", "process": {"args": ["sh"], "cwd": "/data", "user": {"uid": 0, "gid": 0}},
            "root": {"path": "rootfs"}, "mounts": [], "linux": {"namespaces": [{"type": "uts"}]}}
    });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    config.to_string()
}

#[test]
fn an_unknown_user_gets_entries_only_in_copies_of_the_files() {
    let dir = Dir::new();
    let before = fs::read(dir.path("rootfs/etc/passwd")).unwrap();
    let flags = ["--new", "--rootfs", "rootfs", "--user", "4242:4343", "--passwd-out", "accounts", "--apply"];
    let spec = dir.spec(&flags, "");
    let sources: Vec<&str> = spec["mounts"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|m| m["source"].as_str())
        .filter(|s| s.contains("/accounts/"))
        .collect();
    assert_eq!(sources, [dir.path("accounts/group"), dir.path("accounts/passwd")]);
    let passwd = fs::read_to_string(dir.path("accounts/passwd")).unwrap();
    assert!(
        passwd.starts_with("root:") && passwd.ends_with("4242:*:4242:4343:container user:/:/bin/sh\n"),
        "{passwd}"
    );
    assert!(fs::read_to_string(dir.path("accounts/group")).unwrap().ends_with("4343:x:4343:4242\n"));
    assert_eq!(fs::read(dir.path("rootfs/etc/passwd")).unwrap(), before);
}

#[test]
fn the_entry_template_of_config_or_flag_also_determines_home() {
    let dir = Dir::new();
    let config = |user: &str| {
        container(json!({
            "user": user, "passwd_entry": "u$USERNAME:*:$UID:$GID:$NAME:$HOME/of-$UID:/bin/sh", "group_entry": "g$GROUPNAME:x:$GID:$USERLIST"
        }))
    };
    #[rustfmt::skip]
    let cases: &[(&str, &[&str], &[&str])] = &[
        ("4242:4343", &[], &["/data/of-4242"]),
        ("4242", &["--passwd-entry", "x:*:$UID:0::/flag:/bin/sh", "-q"], &["/flag"]),
        // An entry for another user, or an invalid one, defines no home. podman then sets an empty
        // HOME.
        ("4242", &["--passwd-entry", "x:*:1:0::/flag:/bin/sh", "-q"], &["/"]),
        ("4242", &["--passwd-entry", "nonsense", "-q"], &["/"]),
        ("4242", &["--passwd-entry", "nonsense", "-q", "--compat", "podman-5.4"], &[""]),
        ("4242", &["--compat", "podman-4.3"], &[]),
        ("4242", &["-e", "HOME=/mine"], &["/mine"]),
        ("4242", &["--passwd=false"], &["/"]),
        ("4242", &["--passwd=true"], &["/data/of-4242"]),
        // The user's own mount on the file hides any generated entry.
        ("4242", &["-v", "/nowhere/passwd:/etc/passwd"], &["/"]),
        // A user that the image knows keeps the home of the image.
        ("1000", &[], &["/home/alice"]),
        ("alice", &[], &["/home/alice"]),
    ];
    for (user, flags, expected) in cases {
        let spec = dir.spec(&[&["--rootfs", "rootfs", "--check-cwd", "off"], *flags].concat(), &config(user));
        assert_eq!(home(&spec), *expected, "{user} {flags:?}");
    }
    let flags = ["--rootfs", "rootfs", "--check-cwd", "off", "--passwd-out", "out", "--apply"];
    let contradicting = dir.run(&[&flags[..], &["--passwd=false"]].concat(), &config("4242:4343"));
    assert_eq!(contradicting.status.code(), Some(2), "{}", message(&contradicting));
    dir.spec(&flags, &config("4242:4343"));
    let last = |file: &str| {
        fs::read_to_string(dir.path(&format!("out/{file}"))).unwrap().lines().last().unwrap().to_owned()
    };
    assert_eq!(last("passwd"), "u4242:*:4242:4343:container user:/data/of-4242:/bin/sh");
    assert_eq!(last("group"), "g4343:x:4343:4242");
}

#[test]
fn an_entry_template_without_passwd_out_is_reported() {
    let dir = Dir::new();
    let flags = ["--new", "--rootfs", "rootfs", "--user", "7", "--passwd-entry", "x:*:$UID:0::/h:/bin/sh"];
    let output = dir.run(&flags, "");
    assert!(
        message(&output).contains("without --passwd-out DIR they change only HOME"),
        "{}",
        message(&output)
    );
    assert_eq!(home(&serde_json::from_slice(&output.stdout).unwrap()), ["/h"]);
}

#[test]
fn a_working_directory_cannot_inject_a_passwd_line() {
    let dir = Dir::new();
    let config = container(json!({"user": "4242"})).replace("\"/data\"", "\"/a\\nroot2:x:0:0::/:\"");
    let output = dir.run(&["--rootfs", "rootfs", "--check-cwd", "off"], &config);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    assert!(
        message(&output).contains("$HOME: \"/a\\nroot2:x:0:0::/:\" not allowed in an entry"),
        "{}",
        message(&output)
    );
}

#[test]
fn a_host_user_has_its_host_home_only_if_it_is_mounted() {
    let dir = Dir::new();
    let root = nix::unistd::User::from_uid(0.into()).unwrap().unwrap();
    let home_of_root = root.dir.to_str().unwrap().to_owned();
    fs::create_dir_all(dir.path("empty")).unwrap();
    let config = container(json!({"user": root.name, "HostUsers": [root.name]}));
    let flags = ["--rootfs", "empty", "--check-cwd", "off"];
    assert_eq!(home(&dir.spec(&flags, &config)), ["/data"]);
    let volume = format!("/srv/root:{home_of_root}");
    let flags = [&flags[..], &["-v", &volume, "--passwd-out", "out", "--apply"]].concat();
    assert_eq!(home(&dir.spec(&flags, &config)), [&home_of_root]);
    let passwd = fs::read_to_string(dir.path("out/passwd")).unwrap();
    assert!(
        passwd.starts_with(&format!("{}:*:0:0:", root.name)) && passwd.contains(&home_of_root),
        "{passwd}"
    );
    let missing = container(json!({"HostUsers": ["no-such-user-here"]}));
    let output = dir.run(&flags[..4], &missing);
    assert!(message(&output).contains("no-such-user-here: no such user on the host"), "{}", message(&output));
}

#[test]
fn a_host_user_that_only_getent_knows_is_found() {
    use std::os::unix::fs::PermissionsExt;
    let dir = Dir::new();
    fs::create_dir(dir.path("programs")).unwrap();
    let program = |status: u8, text: &str| {
        dir.write(
            "programs/getent",
            &format!("#!/bin/sh\necho \"$@\" >>calls\nprintf '{text}'\nexit {status}\n"),
        );
        fs::set_permissions(dir.path("programs/getent"), fs::Permissions::from_mode(0o755)).unwrap();
    };
    let config = container(json!({"user": "directory-user", "HostUsers": ["directory-user"]}));
    let flags =
        ["--rootfs", "rootfs", "--check-cwd", "off", "-v", "/srv:/home/d", "--passwd-out", "out", "--apply"];
    let run = |path: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_spec-gen"));
        dir.run_with(command.args(flags).env("PATH", path), &config)
    };
    let path = format!("{}:/usr/bin:/bin", dir.path("programs"));
    program(0, "directory-user:*:70001:70002:Name:/home/d:/bin/sh\\n");
    let output = run(&path);
    let spec: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", message(&output)));
    assert_eq!((home(&spec), &spec["process"]["user"]["uid"]), (vec!["/home/d"], &json!(70001)));
    assert_eq!(fs::read_to_string(dir.path("calls")).unwrap(), "passwd directory-user\n");

    // Status 2: there is no such user. Without getent, the host has only its files.
    program(2, "");
    for path in [path.as_str(), "/nowhere"] {
        let output = run(path);
        assert!(
            message(&output).contains("user directory-user: no such user on the host"),
            "{}",
            message(&output)
        );
    }
    for (status, text, expected) in [
        (1, "", "user directory-user: getent passwd directory-user: exit status: 1"),
        (0, "x:y\\n", "user directory-user: getent passwd directory-user: expected a line of 7 fields"),
    ] {
        program(status, text);
        let output = run(&path);
        assert_eq!(output.status.code(), Some(1));
        assert!(message(&output).contains(expected), "{}", message(&output));
    }
}

#[test]
fn a_group_outside_the_user_namespace_is_reported() {
    let dir = Dir::new();
    let config = container(json!({
        "user": "alice", "groups": ["5", "70000"],
        "idMappingsOptions": {"UIDMap": [{"container_id": 0, "host_id": 100_000, "size": 5000}], "GIDMap": [{"container_id": 0, "host_id": 100_000, "size": 5000}]}
    }));
    dir.write("rootfs/etc/group", "wheel:x:10:alice\nbig:x:60000:alice\n");
    let output = dir.run(&["--rootfs", "rootfs", "--check-cwd", "off"], &config);
    let (found, spec) = (message(&output), serde_json::from_slice::<Value>(&output.stdout).unwrap());
    assert_eq!(spec["process"]["user"]["additionalGids"], json!([1000, 5, 70000, 10]));
    assert!(found.contains("warning: --group-add 70000: not mapped in the user namespace"), "{found}");
    assert!(
        found.contains("warning: group 60000 of the user skipped: not mapped in the user namespace"),
        "{found}"
    );
    assert!(!found.contains("--group-add 5:"), "{found}");
}

#[test]
fn a_user_outside_the_user_namespace_is_refused() {
    let dir = Dir::new();
    let maps = ["--new", "--rootfs", "rootfs", "--uidmap", "0:100000:500", "--user", "alice"];
    assert!(message(&dir.run(&maps, "")).contains("don't map UID 1000"));
    // The mappings may also come from the input spec.
    let spec = dir.run(&["--new", "--uidmap", "0:100000:500"], "");
    let output =
        dir.run(&["--rootfs", "rootfs", "--user", "alice"], std::str::from_utf8(&spec.stdout).unwrap());
    assert_eq!(output.status.code(), Some(1));
    assert!(message(&output).contains("the container's id mappings (0:100000:500) don't map UID 1000"));
}
