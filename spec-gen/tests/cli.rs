//! Tests the command as a user runs it: results, messages, exit statuses and files on disk.

#[path = "cli/accounts.rs"]
mod accounts;
#[path = "cli/cost.rs"]
mod cost;
#[path = "cli/flags.rs"]
mod flags;
#[path = "cli/isolation.rs"]
mod isolation;
#[path = "cli/manager.rs"]
mod manager;
#[path = "cli/overrides.rs"]
mod overrides;
#[path = "cli/podman_values.rs"]
mod podman_values;
#[path = "cli/process.rs"]
mod process;
#[path = "cli/restore.rs"]
mod restore;
#[path = "cli/rootless.rs"]
mod rootless;
#[path = "cli/runtime_tool.rs"]
mod runtime_tool;
#[path = "cli/validate.rs"]
mod validate;

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

struct Dir(tempfile::TempDir);

impl Dir {
    /// Creates a directory that contains a small root file system.
    fn new() -> Dir {
        let dir = Dir(tempfile::tempdir().unwrap());
        for path in ["rootfs/etc", "rootfs/data", "rootfs/home/alice", "hooks", "cdi"] {
            fs::create_dir_all(dir.path(path)).unwrap();
        }
        dir.write(
            "rootfs/etc/passwd",
            "root:x:0:0:root:/root:/bin/sh\n# c\nalice:x:1000:1000::/home/alice:/bin/sh\n",
        );
        dir.write("rootfs/etc/group", "root:x:0:\nwheel:x:10:alice\n");
        dir
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.path().join(name), text).unwrap();
    }

    /// Runs spec-gen in this directory with `input` on its standard input.
    fn run(&self, args: &[&str], input: &str) -> Output {
        self.run_with(Command::new(env!("CARGO_BIN_EXE_spec-gen")).args(args), input)
    }

    fn run_with(&self, command: &mut Command, input: &str) -> Output {
        let mut child = command
            .current_dir(self.0.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Ignores EPIPE: spec-gen does not read its input if it refuses the command line.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    }

    /// Returns the generated spec. Panics if the run fails.
    fn spec(&self, args: &[&str], input: &str) -> Value {
        let output = self.run(args, input);
        assert!(output.status.success(), "{args:?}: {}", message(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

fn message(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const SPEC: &str = r#"{"ociVersion":"1.2.0","process":{"user":{"uid":0,"gid":0},"args":["sh"],"cwd":"/"},"root":{"path":"rootfs"},"linux":{"namespaces":[{"type":"mount"}]}}"#;

fn spec_with(path: &str, value: Value) -> String {
    let mut spec: Value = serde_json::from_str(SPEC).unwrap();
    *spec
        .pointer_mut(path.rsplit_once('/').unwrap().0)
        .unwrap()
        .as_object_mut()
        .unwrap()
        .entry(path.rsplit_once('/').unwrap().1)
        .or_insert(Value::Null) = value;
    spec.to_string()
}

#[test]
fn without_flags_nothing_changes() {
    let dir = Dir::new();
    let mut seen = 0;
    for entry in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/golden")).unwrap() {
        let case: Value = serde_json::from_str(&fs::read_to_string(entry.unwrap().path()).unwrap()).unwrap();
        if let Some(spec) = case.get("expected") {
            let text = format!("{spec}\n");
            let output = dir.run(&["--compact"], &text);
            assert_eq!(String::from_utf8_lossy(&output.stdout), text);
            seen += 1;
        }
    }
    assert!(seen > 90);
}

#[test]
fn unknown_keys_order_and_64_bits_survive_changes() {
    let dir = Dir::new();
    let text = r#"{"x-first":{"b":1,"a":[18446744073709551615,-9223372036854775808,1.5]},"ociVersion":"1.2.0","process":{"cwd":"/","args":["sh"],"user":{"uid":0,"gid":0,"x-u":true},"rlimits":[{"type":"RLIMIT_CORE","hard":18446744073709551615,"soft":0}]},"linux":{"resources":{"x-pids":9007199254740993}}}"#;
    let output = dir.run(&["--compact", "-e", "A=1", "-w", "/data"], text);
    let expected = text
        .replace("\"cwd\":\"/\"", "\"cwd\":\"/data\"")
        .replace("}]},\"linux\"", "}],\"env\":[\"A=1\"]},\"linux\"");
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{expected}\n"));
}

#[test]
fn the_same_input_produces_identical_bytes() {
    let dir = Dir::new();
    dir.write("cdi/v.json", r#"{"cdiVersion":"0.6.0","kind":"v.com/d","devices":[{"name":"a","containerEdits":{"env":["X=1"]}},{"name":"b","containerEdits":{"env":["Y=1"]}}]}"#);
    let args = [
        "--new",
        "--rootfs",
        "rootfs",
        "--user",
        "alice",
        "--group-add",
        "wheel",
        "-v",
        "/srv/a:/a:U",
        "-v",
        "/srv/b:/b",
        "--tmpfs",
        "/t",
        "--device",
        "v.com/d=a",
        "--device",
        "v.com/d=b",
        "--cdi-spec-dir",
        "cdi",
        "--cap-add",
        "NET_ADMIN",
        "--sysctl",
        "net.a=1",
        "--sysctl",
        "net.b=2",
        "--annotation",
        "k=v",
        "--bind-mount",
        "/etc/hosts=h",
        "--bind-mount",
        "/etc/hostname=n",
        "--systemd=always",
        "--id",
        "0123456789ab",
        "-q",
    ];
    let first = dir.run(&args, "");
    assert!(first.status.success(), "{}", message(&first));
    for _ in 0..100 {
        assert_eq!(dir.run(&args, "").stdout, first.stdout);
    }
}

#[test]
fn repeating_the_flags_on_the_output_changes_nothing() {
    let dir = Dir::new();
    let flags = [
        "--rootfs",
        "rootfs",
        "--user",
        "alice",
        "-e",
        "A=1",
        "-v",
        "/srv/a:/a",
        "--tmpfs",
        "/t",
        "--device",
        "/dev/null:/dev/x",
        "--mask",
        "/x",
    ];
    let once = dir.run(&[&["--new"], &flags[..]].concat(), "");
    let twice = dir.run(&flags, std::str::from_utf8(&once.stdout).unwrap());
    assert_eq!(String::from_utf8_lossy(&twice.stdout), String::from_utf8_lossy(&once.stdout));
}

#[test]
fn malformed_input_is_reported_and_writes_no_output() {
    let dir = Dir::new();
    let deep = format!("{}1{}", "{\"a\":".repeat(200), "}".repeat(200));
    #[rustfmt::skip]
    let cases: Vec<(String, &str)> = vec![
        ("".into(), "is empty, expected JSON"),
        (" \n".into(), "is empty, expected JSON"),
        ("{".into(), "EOF while parsing an object at line 1 column 1"),
        ("{\"ociVersion\":\"1.2.0\"\n\"a\"}".into(), "line 2 column 1"),
        ("not json".into(), "line 1 column 2"),
        ("\u{0}".into(), "not valid JSON"),
        ("[]".into(), "expected a spec, found an array"),
        ("null".into(), "expected a spec, found null"),
        ("5".into(), "expected a spec, found the number 5"),
        ("{}".into(), "neither an OCI spec (key ociVersion) nor a container config (key spec)"),
        (r#"{"config":{}}"#.into(), "neither an OCI spec"),
        (r#"{"ociVersion":"1.2.0"}{}"#.into(), "trailing characters at line 1 column 23"),
        (r#"{"ociVersion":"1.2.0","a":1,"a":2}"#.into(), "duplicate key \"a\" at line 1"),
        (r#"{"ociVersion":"1.2.0","a":1e999}"#.into(), "number out of range"),
        (deep, "recursion limit exceeded"),
        (r#"{"ociVersion":5}"#.into(), "ociVersion: expected a string, found the number 5"),
        (spec_with("/process", json!([])), "process: expected an object, found an array"),
        (spec_with("/process/args", json!("sh")), "process.args: expected an array, found the string \"sh\""),
        (spec_with("/process/args", json!(["sh", null])), "process.args[1]: expected a string, found null"),
        (spec_with("/process/env", json!({"A": 1})), "process.env: expected an array, found an object"),
        (spec_with("/process/env", json!([1])), "process.env[0]: expected a string"),
        (spec_with("/process/cwd", json!(1)), "process.cwd: expected a string"),
        (spec_with("/process/terminal", json!("yes")), "process.terminal: expected true or false"),
        (spec_with("/process/user/uid", json!("0")), "process.user.uid: expected an integer from 0 to 4294967295, found the string \"0\""),
        (spec_with("/process/user/uid", json!(-1)), "process.user.uid: expected an integer from 0 to 4294967295"),
        (spec_with("/process/user/gid", json!(4294967296u64)), "process.user.gid: expected an integer from 0 to 4294967295"),
        (spec_with("/process/user/additionalGids", json!([1.5])), "process.user.additionalGids[0]: expected an integer"),
        (spec_with("/process/rlimits", json!([{"type": "RLIMIT_CORE", "hard": -1}])), "process.rlimits[0].hard: expected an integer from 0 to 18446744073709551615"),
        (spec_with("/process/capabilities", json!({"bounding": "ALL"})), "process.capabilities.bounding: expected an array"),
        (spec_with("/root", json!("rootfs")), "root: expected an object"),
        (spec_with("/mounts", json!({})), "mounts: expected an array"),
        (spec_with("/mounts", json!([{"source": "/x"}])), "mounts[0].destination: missing"),
        (spec_with("/mounts", json!([{"destination": "/x", "options": "ro"}])), "mounts[0].options: expected an array"),
        (spec_with("/mounts", json!(["/x"])), "mounts[0]: expected an object, found the string \"/x\""),
        (spec_with("/annotations", json!({"a": 1})), "annotations.a: expected a string"),
        (spec_with("/hooks", json!([])), "hooks: expected an object"),
        (spec_with("/hooks", json!({"prestart": [{}]})), "hooks.prestart[0].path: missing"),
        (spec_with("/linux/namespaces", json!([{}])), "linux.namespaces[0].type: missing"),
        (spec_with("/linux/devices", json!([{"path": "/dev/x", "type": "c", "major": "1"}])), "linux.devices[0].major: expected an integer"),
        (spec_with("/linux/maskedPaths", json!([1])), "linux.maskedPaths[0]: expected a string"),
        (spec_with("/linux/sysctl", json!({"a": 1})), "linux.sysctl.a: expected a string"),
        (spec_with("/linux/resources", json!({"pids": {"limit": 1e30}})), "linux.resources.pids.limit: expected an integer"),
        (r#"{"spec":{"process":{"env":5}}}"#.into(), "spec: process.env: expected an array"),
        (r#"{"spec":{},"user":5}"#.into(), "user: expected a string, found the number 5"),
        (r#"{"spec":{},"id":"a","namedVolumes":[{"dest":"rel"}]}"#.into(), "rel: a mount's destination must be an absolute path"),
        (r#"{"spec":{},"umask":"0999","id":"a"}"#.into(), "umask: \"0999\": expected an octal number"),
        (r#"{"spec":{}}"#.into(), "id: missing, and the cgroup path needs the container ID"),
        (r#"{"spec":{},"id":"a","cgroupManager":"lxc"}"#.into(), "cgroupManager: \"lxc\" is not one of cgroupfs, systemd"),
        (r#"{"spec":{},"id":"a","cgroupsMode":"some"}"#.into(), "cgroupsMode: \"some\" is not one of"),
        (r#"{"spec":{},"id":"a","cgroupManager":"systemd","cgroupParent":"foo"}"#.into(), "cgroupParent: foo: systemd requires the name of a slice"),
    ];
    assert!(cases.len() >= 40);
    for (input, text) in cases {
        let output = dir.run(&["-o", "config.json"], &input);
        let found = message(&output);
        assert_eq!(output.status.code(), Some(1), "{input}: {found}");
        assert!(found.starts_with("spec-gen: error: standard input: "), "{input}: {found}");
        assert!(found.contains(text), "{input}: {found}");
        assert!(output.stdout.is_empty() && !Path::new(&dir.path("config.json")).exists(), "{input}");
    }
}

#[test]
fn hostile_files_are_reported_and_no_output_is_written() {
    let dir = Dir::new();
    for (link, target) in [("loop", "loop"), ("a", "b"), ("b", "a")] {
        symlink(target, dir.path(&format!("rootfs/{link}"))).unwrap();
    }
    fs::create_dir_all(dir.path("loops/etc")).unwrap();
    symlink("passwd", dir.path("loops/etc/passwd")).unwrap();
    fs::create_dir_all(dir.path("fifo/etc")).unwrap();
    nix::unistd::mkfifo(dir.path("fifo/etc/passwd").as_str(), nix::sys::stat::Mode::S_IRWXU).unwrap();
    fs::create_dir_all(dir.path("large/etc")).unwrap();
    fs::File::create(dir.path("large/etc/passwd")).unwrap().set_len(1 << 40).unwrap();
    fs::create_dir_all(dir.path("host/etc")).unwrap();
    symlink("/etc/group", dir.path("host/etc/passwd")).unwrap();
    dir.write("rootfs/file", "");
    for (name, text) in [
        (
            "regex",
            r#"{"version":"1.0.0","hook":{"path":"/bin/true"},"when":{"commands":["("]},"stages":["prestart"]}"#,
        ),
        (
            "stage",
            r#"{"version":"1.0.0","hook":{"path":"/bin/true"},"when":{"always":true},"stages":["never"]}"#,
        ),
        ("json", "{"),
        ("version", r#"{"version":"3.0.0"}"#),
    ] {
        fs::create_dir(dir.path(&format!("hooks-{name}"))).unwrap();
        dir.write(&format!("hooks-{name}/h.json"), text);
    }
    dir.write("cdi/v.json", r#"{"cdiVersion":"9.9.9","kind":"v.com/d","devices":[]}"#);
    dir.write("image.json", r#"{"config":{"Env":[7]}}"#);
    dir.write("seccomp.json", r#"{"syscalls":[]}"#);
    dir.write("env", "A=1\n=2\n");
    dir.write("state.json", r#"{"bindMounts":{"/x":5}}"#);
    #[rustfmt::skip]
    let cases: &[(&[&str], i32, &str)] = &[
        (&["--new", "--rootfs", "nowhere"], 1, "nowhere: No such file or directory"),
        (&["--new", "--rootfs", "image.json"], 1, "image.json: Not a directory"),
        (&["--new", "--rootfs", "rootfs", "--user", "bob"], 1, "unable to find user bob: no matching entries in passwd file rootfs/etc/passwd"),
        (&["--new", "--rootfs", "rootfs", "--user", "# c"], 1, "unable to find user # c"),
        (&["--new", "--rootfs", "rootfs", "--user", "alice:nogroup"], 1, "unable to find group nogroup"),
        (&["--new", "--rootfs", "rootfs", "--user", "9999999999"], 2, "uids and gids must be in range 0-2147483647"),
        (&["--new", "--rootfs", "rootfs", "--user", "alice:-1"], 2, "uids and gids must be in range 0-2147483647"),
        (&["--new", "--rootfs", "rootfs", "--group-add", "2147483648"], 2, "uids and gids must be in range 0-2147483647"),
        (&["--new", "--rootfs", "rootfs", "--group-add", "nogroup"], 1, "unable to find group nogroup"),
        (&["--new", "--rootfs", "loops", "--user", "root"], 1, "loops/etc/passwd: Too many levels of symbolic links"),
        (&["--new", "--rootfs", "fifo", "--user", "root"], 1, "fifo/etc/passwd: not a regular file"),
        (&["--new", "--rootfs", "large", "--user", "root"], 1, "large/etc/passwd: longer than 16777216 bytes"),
        (&["--new", "--rootfs", "host", "--user", "root"], 1, "unable to find user root: host/etc/passwd does not exist"),
        (&["--new", "--rootfs", "rootfs", "--tmpfs", "/loop/x"], 1, "too many levels of symbolic links"),
        (&["--new", "--rootfs", "rootfs", "--tmpfs", "/a"], 1, "too many levels of symbolic links"),
        (&["--new", "--rootfs", "rootfs", "-w", "/nowhere"], 1, "workdir \"/nowhere\" does not exist in rootfs"),
        (&["--new", "--rootfs", "rootfs", "-w", "/file"], 1, "workdir \"/file\" exists, but is not a directory"),
        (&["--new", "-w", "rel"], 2, "--workdir rel: expected an absolute path"),
        (&["--new", "--hooks-dir", "hooks-regex"], 1, "hooks-regex/h.json: when.commands: \"(\": not a regular expression"),
        (&["--new", "--hooks-dir", "hooks-stage"], 1, "hooks-stage/h.json: stages: \"never\" is not one of"),
        (&["--new", "--hooks-dir", "hooks-json"], 1, "hooks-json/h.json: not valid JSON"),
        (&["--new", "--hooks-dir", "hooks-version"], 1, "hooks-version/h.json: version \"3.0.0\" is not one of"),
        (&["--new", "--device", "v.com/d=x", "--cdi-spec-dir", "cdi"], 1, "cdi/v.json: cdiVersion: \"9.9.9\" is not known"),
        (&["--new", "--device", "/dev/nowhere"], 1, "--device /dev/nowhere: No such file or directory"),
        (&["--new", "--device", "/etc/passwd"], 1, "--device /etc/passwd: not a device node"),
        (&["--image-config", "image.json"], 1, "image.json: config.Env[0]: expected a string, found the number 7"),
        (&["--new", "--seccomp", "seccomp.json"], 1, "seccomp.json: defaultAction: missing"),
        (&["--new", "--env-file", "env"], 1, "env:2: --env =2: no name before the '='"),
        (&["--new", "--state", "state.json"], 1, "state.json: bindMounts./x: expected a string"),
        (&["--new", "-v", "vol:/x"], 1, "volume vol: its directory is not known"),
        (&["--new", "-v", "/a:/x:O"], 1, "no directory for the writes of the container"),
        (&["--new", "-v", "/srv:/x:U"], 1, "/x: chowning host path \"/srv\" is not allowed"),
        (&["--new", "-v", "/a:/x:ro,rw"], 2, "--volume /a:/x:ro,rw: more than one option"),
        (&["--new", "--cap-add", "FLY"], 2, "--cap-add FLY: not a capability"),
        (&["--new", "--ulimit", "core=2:1"], 2, "--ulimit core=2:1: the soft limit is above the hard limit"),
        (&["--new", "--pid", "container:web"], 2, "container web: its PID is not known"),
        (&["--new", "--network", "slirp"], 2, "expected host, private, none, ns:PATH or container:ID"),
        (&["--new", "--uts", "host", "--hostname", "x"], 2, "--hostname needs a UTS namespace"),
        (&["--new", "--umask", "0999"], 2, "expected 1 to 4 octal digits"),
        (&["--new", "-i", "x"], 2, "cannot be used with"),
        (&["--new", "--restore"], 2, "cannot be used with"),
        (&["--restore", "--user", "x"], 2, "cannot be used with"),
        (&["--trust-archive"], 2, "required"),
        (&["-i", "nowhere"], 1, "nowhere: No such file or directory"),
        (&["-i", "rootfs"], 1, "rootfs: expected a spec, found a directory"),
        (&["--new", "-o", "no/where"], 1, "no/where: No such file or directory"),
    ];
    for (args, status, text) in cases {
        let output = dir.run(args, "");
        let found = message(&output);
        assert_eq!(output.status.code(), Some(*status), "{args:?}: {found}");
        assert!(found.contains(text), "{args:?}: {found}");
        assert!(output.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn explain_prints_path_change_and_reason() {
    let dir = Dir::new();
    let output = dir
        .run(&["--explain", "--rootfs", "rootfs", "--user", "alice", "--network", "ns:/run/netns/web"], SPEC);
    let lines = String::from_utf8(output.stdout).unwrap();
    for line in [
        "process.user.uid: 0 -> 1000 (user alice: rootfs/etc/passwd:3)",
        "process.env: [\"HOME=/home/alice\"] (user and groups)",
        "linux.namespaces[network]: added {\"type\":\"network\",\"path\":\"/run/netns/web\"} (--network ns:/run/netns/web)",
    ] {
        assert!(lines.lines().any(|l| l == line), "{line} is not in\n{lines}");
    }
    assert_eq!(dir.run(&["--explain"], SPEC).stdout, b"");
}

#[test]
fn diff_is_unified_and_empty_without_a_change() {
    let dir = Dir::new();
    let output = dir.run(&["--diff", "-w", "/data"], SPEC);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("--- standard input\n+++ config.json\n@@"), "{text}");
    assert!(text.contains("-\t\t\"cwd\": \"/\"") && text.contains("+\t\t\"cwd\": \"/data\""), "{text}");
    assert_eq!(dir.run(&["--diff"], SPEC).stdout, b"");
}

#[ignore = "needs root"]
#[test]
fn actions_are_listed_applied_or_reported_as_pending() {
    let dir = Dir::new();
    fs::create_dir(dir.path("own")).unwrap();
    let volume = format!("{}:/x:U", dir.path("own"));
    let uid = nix::unistd::geteuid().to_string();
    let flags = ["--new", "--user", &uid, "-v", &volume];
    let output = dir.run(&flags, "");
    assert!(
        message(&output).contains("not done without --apply: change the owner of "),
        "{}",
        message(&output)
    );
    let output = dir.run(&[&flags[..], &["--actions", "list"]].concat(), "");
    assert_eq!(message(&output), "");
    let list: Value = serde_json::from_str(&fs::read_to_string(dir.path("list")).unwrap()).unwrap();
    assert_eq!(
        (list["action"].as_str(), list["path"].as_str()),
        (Some("chown"), Some(dir.path("own").as_str()))
    );
    assert!(dir.run(&[&flags[..], &["--apply"]].concat(), "").status.success());
}

#[ignore = "needs root"]
#[test]
fn a_failed_action_writes_no_output() {
    let dir = Dir::new();
    let volume = format!("{}:/x:O", dir.path("nowhere"));
    let flags = ["--new", "-v", &volume, "--overlay-dir", "overlays", "--apply"];
    let output = dir.run(&flags, "");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    assert!(message(&output).contains("nowhere: No such file or directory"), "{}", message(&output));
}

#[test]
fn validate_reports_every_fault_with_its_path() {
    let dir = Dir::new();
    let bad = r#"{"ociVersion":"1","root":{},"process":{"user":{"uid":0,"gid":0},"args":[],"cwd":"x"},"hostname":"h"}"#;
    let output = dir.run(&["--validate"], bad);
    let found = message(&output);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    for text in [
        "ociVersion: \"1\"",
        "root.path: missing",
        "process.args: empty",
        "process.cwd: \"x\"",
        "hostname: needs",
    ] {
        assert!(found.contains(&format!("spec-gen: error: standard input: {text}")), "{found}");
    }
    assert!(dir.run(&["--validate"], SPEC).status.success());
}

#[test]
fn the_output_file_is_complete_or_unchanged() {
    let dir = Dir::new();
    dir.write("config.json", "old");
    assert!(!dir.run(&["-o", "config.json", "--user", "bob"], SPEC).status.success());
    assert_eq!(fs::read_to_string(dir.path("config.json")).unwrap(), "old");
    assert!(dir.run(&["-o", "config.json"], SPEC).status.success());
    assert_eq!(
        serde_json::from_str::<Value>(&fs::read_to_string(dir.path("config.json")).unwrap()).unwrap(),
        serde_json::from_str::<Value>(SPEC).unwrap()
    );
}

#[test]
fn flag_names_of_oci_runtime_tool_are_accepted() {
    let dir = Dir::new();
    let spec = dir.spec(
        &[
            "--process-cwd",
            "/data",
            "--rootfs-readonly",
            "--linux-pids-limit",
            "7",
            "--rootfs-path",
            "r",
            "--linux-cgroups-path",
            "/x",
            "--label",
            "a=b",
        ],
        SPEC,
    );
    assert_eq!(spec["process"]["cwd"], "/data");
    assert_eq!(spec["root"], json!({"path": "r", "readonly": true}));
    assert_eq!(spec["linux"]["resources"]["pids"]["limit"], 7);
    assert_eq!(spec["linux"]["cgroupsPath"], "/x");
    assert_eq!(spec["annotations"], json!({"a": "b"}));
}

#[test]
fn security_options_of_podman_are_accepted() {
    let dir = Dir::new();
    dir.write("p.json", r#"{"defaultAction":"SCMP_ACT_ALLOW"}"#);
    let opt = |o: &'static str| ["--security-opt", o];
    let flags: Vec<&str> = [
        "seccomp=p.json",
        "apparmor=unconfined",
        "mask=/a:/b",
        "unmask=/b",
        "no-new-privileges",
        "label=disable",
    ]
    .into_iter()
    .flat_map(opt)
    .collect();
    let labelled = spec_with("/process/selinuxLabel", json!("a:b:c:s0"));
    let spec = dir.spec(&flags, &labelled);
    assert_eq!(spec["linux"]["seccomp"], json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": []}));
    // Without AppArmor, runc and crun start no container with a profile, not even "unconfined".
    let enabled =
        fs::read_to_string("/sys/module/apparmor/parameters/enabled").is_ok_and(|t| t.starts_with('Y'));
    let profile = if enabled { json!("unconfined") } else { Value::Null };
    assert_eq!(spec["process"]["apparmorProfile"], profile);
    assert_eq!(spec["linux"]["maskedPaths"], json!(["/a", "/b"]));
    assert_eq!(spec["process"]["noNewPrivileges"], true);
    assert!(spec["process"].get("selinuxLabel").is_none());
    for bad in ["x", "seccomp=", "label=typ:x", "label=type:", "no-new-privileges=maybe", "systempaths=x"] {
        assert_eq!(dir.run(&["--security-opt", bad], SPEC).status.code(), Some(2), "{bad}");
    }
}

#[test]
fn compat_restores_the_behavior_of_each_podman_version() {
    let dir = Dir::new();
    dir.write("hooks/h.json", r#"{"version":"1.0.0","hook":{"path":"/bin/true"},"when":{"always":true},"stages":["prestart","poststop"]}"#);
    let config = r#"{"id":"0123456789abcdef","user":"77","passwd":false,"createdTime":"2026-01-01T00:00:00Z","stopSignal":15,"stopTimeout":10,
        "spec":{"ociVersion":"1.2.0","process":{"args":["sh"],"cwd":"/"},"linux":{"namespaces":[{"type":"uts"}]}}}"#;
    let spec =
        |compat: &str| dir.spec(&["--rootfs", "rootfs", "--hooks-dir", "hooks", "--compat", compat], config);
    let home = |spec: &Value| {
        spec["process"]["env"]
            .as_array()
            .unwrap()
            .iter()
            .find_map(|e| e.as_str()?.strip_prefix("HOME=").map(str::to_owned))
    };
    let stages = |spec: &Value| spec["hooks"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let ours = spec("none");
    assert_eq!(
        (home(&ours), stages(&ours)),
        (Some("/".into()), vec!["createRuntime".to_owned(), "poststop".into()])
    );
    let new = spec("podman-5.4");
    assert_eq!((home(&new), stages(&new)), (Some(String::new()), vec!["createRuntime".to_owned()]));
    let old = spec("podman-4.3");
    assert_eq!((home(&old), stages(&old)), (None, vec!["prestart".to_owned()]));
    assert_eq!(old["annotations"]["io.kubernetes.cri-o.Created"], "2026-01-01T00:00:00Z");
    assert!(old["annotations"].get("org.systemd.property.KillSignal").is_none());
    assert_eq!(new["annotations"]["org.systemd.property.TimeoutStopUSec"], "uint64 10000000");
}

#[test]
fn help_is_grouped_and_has_an_example() {
    let dir = Dir::new();
    let help = String::from_utf8(dir.run(&["--help"], "").stdout).unwrap();
    for text in ["Input:", "Process:", "Mounts:", "Namespaces:", "Restore:", "Examples:", "See spec-gen(1)."]
    {
        assert!(help.contains(text), "{text}");
    }
}

#[test]
fn the_default_spec_equals_that_of_runc() {
    let dir = Dir::new();
    let recorded = |name: &str| -> Value {
        serde_json::from_str(
            &fs::read_to_string(format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap(),
        )
        .unwrap()
    };
    assert_eq!(dir.spec(&["--new", "--cgroup-version", "1"], ""), recorded("runc-spec.json"));
    let mut rootless = recorded("runc-spec-rootless.json");
    // The expected spec was recorded as root, so its host IDs are those of root.
    rootless["linux"]["uidMappings"][0]["hostID"] = json!(nix::unistd::geteuid().as_raw());
    rootless["linux"]["gidMappings"][0]["hostID"] = json!(nix::unistd::getegid().as_raw());
    assert_eq!(dir.spec(&["--new", "--rootless", "--cgroup-version", "1"], ""), rootless);
}

#[test]
fn the_manual_page_documents_every_option() {
    let dir = Dir::new();
    let help = String::from_utf8(dir.run(&["--help"], "").stdout).unwrap();
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../man/spec-gen.1"))
        .unwrap()
        .replace('\\', "");
    let mut options = 0;
    for line in help.lines().map(str::trim_start).filter(|l| l.starts_with('-')) {
        let Some(name) = line.split_whitespace().find(|w| w.starts_with("--")) else { continue };
        let name = name.split(['=', '[', '.', ',']).next().unwrap();
        assert!(page.contains(name), "{name} is not in spec-gen.1");
        options += 1;
    }
    assert!(options > 100, "{options}");
}
