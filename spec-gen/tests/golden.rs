//! Compares the specs that podman 5.4.2 and spec-gen write for 120 containers. They are equal
//! except for a list of errors of podman.
//!
//! The comparison normalises IDs, random directory names and PIDs, which neither program chooses.
//! It also ignores the order of variables and of mounts of the same depth, which is random in
//! podman, and the default rlimits, which depend on the host.

#[path = "golden/rootless.rs"]
mod rootless;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data");

/// Cases in which spec-gen's result is better: the name, podman's text in the normalised JSON, our
/// text, and the reason.
#[rustfmt::skip]
const FIXED: &[(&str, &str, &str, &str)] = &[
    ("user-nohome", "\"HOME=\"", "\"HOME=/\"", "a process with an empty HOME writes into the directory it stands in"),
    ("user-name-groups", "\"additionalGids\":[100,10]", "\"additionalGids\":[100,10,63]", "members of a group are trimmed: \"alice, bob\" has bob"),
    ("secret-env-conflict", "\"SEC=orig\",", "", "a variable has one value"),
    ("listen-fds-conflict", "\"LISTEN_FDS=9\",", "", "a variable has one value"),
    ("cdi", "\"FOO=user\",", "", "a variable has one value"),
    ("cdi", "[\"ro\",\"nosuid\"]", "[\"ro\",\"nosuid\",\"rbind\"]", "without it the runtime refuses the vendor's bind mount"),
    ("cdi-user", "[\"ro\",\"nosuid\"]", "[\"ro\",\"nosuid\",\"rbind\"]", "without it the runtime refuses the vendor's bind mount"),
    ("hooks-nobind", "}]},\"hostname\"", "}],\"poststop\":[{\"args\":[\"true\",\"x\"],\"env\":[\"A=b\"],\"path\":\"/bin/true\",\"timeout\":5}]},\"hostname\"", "a bare runtime has no manager that runs poststop hooks for it"),
    ("bind-idmap", INTERMEDIATE, MERGED, "the intermediate mount is podman's own"),
    ("bind-idmap-opts", INTERMEDIATE, MERGED, "the intermediate mount is podman's own"),
    ("bind-idmap-rel", INTERMEDIATE, MERGED, "the intermediate mount is podman's own"),
    ("crun-idmap", INTERMEDIATE, MERGED, "the intermediate mount is podman's own"),
    ("userns-map-sgid", INTERMEDIATE, MERGED, "the intermediate mount is podman's own"),
    ("named-vol-subpath", "@SRV@/runroot/overlay-containers/ID/userdata/subpathN", "@SRV@/root/volumes/myvol/_data", "spec-gen mounts nothing: the path, resolved inside the volume"),
    ("image-vol-subpath", "@SRV@/runroot/overlay-containers/ID/userdata/subpathN", "@SRV@/root/overlay/ID/merged/data", "spec-gen mounts nothing: the path, resolved inside the image"),
];
const INTERMEDIATE: &str = "/var/tmp/intermediate-mountpoint-0.0";
const MERGED: &str = "@SRV@/root/overlay/ID/merged";

/// Cases in which podman fails needlessly, or starts a container that it should refuse: the name,
/// whether spec-gen succeeds, the expected part of its output or message, and the reason.
#[rustfmt::skip]
const OTHER_END: &[(&str, bool, &str, &str)] = &[
    ("user-comment", false, "unable to find user # comment", "podman runs a comment line of passwd as uid 0"),
    ("group-add-dup", true, "\"additionalGids\":[10,0]", "a group given twice is one group"),
    ("group-add-twin", true, "\"additionalGids\":[500,0]", "two names of one gid are one group"),
    ("group-override-bind", true, "\"additionalGids\":[4444]", "podman looks for the mounted group file below the root file system"),
    ("etc-tmpfs", true, "\"uid\":1000", "a tmpfs on /etc has no passwd on the host; the image's decides"),
    ("user-img", true, "\"uid\":1000", "one parser, which a comment line does not stop"),
    ("workdir-img", true, "\"uid\":1000", "one parser, which a comment line does not stop"),
    ("workdir-symlink-rel", true, "\"cwd\":\"/link2\"", "a relative link starts where it stands"),
    ("overlay-missing", true, "lowerdir=@SRV@/nosuchdir", "the source is looked at when its directories are made (--apply)"),
];

struct Host {
    dir: tempfile::TempDir,
}

impl Host {
    fn new() -> Host {
        let host = Host { dir: tempfile::tempdir().unwrap() };
        let srv = host.srv();
        fs::create_dir(&srv).unwrap();
        for dir in ["cdi", "hooks", "hooks-bad", "hooks-pre", "etcdir"] {
            fs::create_dir(srv.join(dir)).unwrap();
            for entry in fs::read_dir(Path::new(DATA).join(dir)).unwrap() {
                let from = entry.unwrap().path();
                let text = fs::read_to_string(&from).unwrap();
                fs::write(srv.join(dir).join(from.file_name().unwrap()), host.here(&text)).unwrap();
            }
        }
        for file in ["pwd", "grp"] {
            fs::copy(Path::new(DATA).join(file), srv.join(file)).unwrap();
        }
        fs::write(srv.join("secret"), "s3cret").unwrap();
        let filter = srv.join("hooks-pre/precreate.sh");
        fs::write(&filter, "#!/bin/sh\nexec /bin/sed 's/\"HOSTNAME=/\"FROM_PRECREATE=1\",&/'\n").unwrap();
        fs::set_permissions(&filter, fs::Permissions::from_mode(0o755)).unwrap();
        host.make_rootfs();
        host
    }

    fn make_rootfs(&self) {
        let root = self.rootfs();
        for dir in [
            "data/sub",
            "data/d",
            "etc",
            "home/alice",
            "mnt",
            "proc",
            "root",
            "run",
            "sys",
            "tmp",
            "var",
            "dev",
        ] {
            fs::create_dir_all(root.join(dir)).unwrap();
        }
        let links = [
            ("abs", "/data/x"),
            ("badlink", "/nowhere"),
            ("chain", "/worklink"),
            ("link2", "worklink"),
            ("tmplink", "/tmp"),
            ("var/run", "../run"),
            ("worklink", "/data/sub"),
            ("etc/mtab", "/proc/mounts"),
        ];
        for (link, target) in links {
            symlink(target, root.join(link)).unwrap();
        }
        fs::write(root.join("workfile"), "x\n").unwrap();
        fs::write(
            root.join("etc/passwd"),
            "root:x:0:0:root:/root:/bin/sh\n# comment\nalice:x:1000:1000:Alice:/home/alice:/bin/sh\n\
             bob:x:1001:100::/home/bob:/bin/sh\n1337:x:77:77:numeric name:/home/n:/bin/sh\nshort:x:1002\n\
             nohome:x:1003:1003:::\nalice:x:2000:2000:dup:/home/dup:/bin/sh\n",
        )
        .unwrap();
        fs::write(
            root.join("etc/group"),
            "root:x:0:root\n# a comment line\nwheel:x:10:alice,bob\nusers:x:100:\nalice:x:1000:\naudio:x:63:alice, bob\n\
             big:x:70000:alice\ntwin1:x:500:\ntwin2:x:500:\n",
        )
        .unwrap();
    }

    fn srv(&self) -> PathBuf {
        self.dir.path().join("srv")
    }

    fn rootfs(&self) -> PathBuf {
        self.dir.path().join("rootfs")
    }

    /// Replaces the recording host's directory in a recorded text with the directory of this test.
    fn here(&self, text: &str) -> String {
        text.replace("/srv/podman", self.srv().to_str().unwrap())
    }

    fn generate(&self, case: &Value) -> Output {
        let file = |name: &str, key: &str| {
            let path = self.dir.path().join(name);
            fs::write(&path, self.here(&case[key].to_string())).unwrap();
            path
        };
        let flags = case["flags"].as_array().unwrap().iter().map(|f| self.here(f.as_str().unwrap()));
        let env = case
            .get("env")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(|(k, v)| (k, v.as_str().unwrap()));
        Command::new(env!("CARGO_BIN_EXE_spec-gen"))
            .arg("--container")
            .arg(file("config.dump", "config"))
            .arg("--state")
            .arg(file("state.json", "state"))
            .arg("--rootfs")
            .arg(self.rootfs())
            .args(["--cgroup-version", "1", "-q"])
            .args(flags)
            .envs(env)
            .output()
            .unwrap()
    }

    fn normalised(&self, text: &str) -> String {
        let text = text.replace(self.srv().to_str().unwrap(), "@SRV@").replace("/srv/podman", "@SRV@");
        let compact = serde_json::from_str::<Value>(&text).unwrap().to_string();
        let mut spec: Value = serde_json::from_str(&masked(&compact)).unwrap();
        tidy(&mut spec);
        spec.to_string()
    }
}

/// Replaces values that are random or depend on the host: IDs, PIDs and directory numbers.
fn masked(text: &str) -> String {
    let mut masked = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let hex = rest.bytes().take_while(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')).count();
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let after = |prefix: &str| digits > 0 && masked.ends_with(prefix);
        let (taken, put) = match hex {
            64 => (64, "ID"),
            32 => (32, "ID32"),
            12 if masked.ends_with("HOSTNAME=") || masked.ends_with("\"hostname\":\"") => (12, "ID12"),
            _ if after("/overlay/") || after("/userdata/subpath") => (digits, "N"),
            _ if after("/proc/") => (digits, "PID"),
            0 => (c.len_utf8(), &rest[..c.len_utf8()]),
            n => (n, &rest[..n]),
        };
        masked.push_str(put);
        rest = &rest[taken..];
    }
    masked
}

/// Sorts lists without a defined order and removes podman's duplicates. Also sorts the keys.
fn tidy(spec: &mut Value) {
    let once = |list: &mut Vec<Value>| {
        let mut seen = BTreeSet::new();
        list.retain(|v| seen.insert(v.to_string()) && v != "");
    };
    for mount in spec["mounts"].as_array_mut().unwrap() {
        if let Some(options) = mount.get_mut("options").and_then(Value::as_array_mut) {
            once(options);
        }
    }
    let depth = |m: &Value| {
        let destination = m["destination"].as_str().unwrap();
        (destination.matches('/').count(), destination.to_owned())
    };
    spec["mounts"].as_array_mut().unwrap().sort_by_key(depth);
    spec["process"]["env"].as_array_mut().unwrap().sort_by_key(Value::to_string);
    if let Some(limits) = spec["process"].get_mut("rlimits").and_then(Value::as_array_mut) {
        limits.retain(|l| l["type"] != "RLIMIT_NOFILE" && l["type"] != "RLIMIT_NPROC");
    }
    if spec["process"].get("rlimits") == Some(&json!([])) {
        spec["process"].as_object_mut().unwrap().remove("rlimits");
    }
    if let Some(masked) = spec["linux"].get_mut("maskedPaths").and_then(Value::as_array_mut) {
        once(masked);
    }
    for device in spec["linux"].get_mut("devices").and_then(Value::as_array_mut).into_iter().flatten() {
        for key in ["fileMode", "uid", "gid"] {
            device.as_object_mut().unwrap().remove(key);
        }
    }
    spec.sort_all_objects();
}

fn case(name: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(format!("{DATA}/golden/{name}.json")).unwrap()).unwrap()
}

fn names() -> Vec<String> {
    let files = fs::read_dir(format!("{DATA}/golden")).unwrap();
    let mut names: Vec<String> =
        files.map(|f| f.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

/// Returns podman's result with the errors in `FIXED` corrected.
fn expected(host: &Host, name: &str, case: &Value) -> String {
    let own_name = nix::unistd::gethostname().unwrap().into_string().unwrap();
    let text = case["expected"].to_string().replace("\"HOSTNAME=vm\"", &format!("\"HOSTNAME={own_name}\""));
    let mut text =
        host.normalised(&text.replace("\"hostname\":\"vm\"", &format!("\"hostname\":\"{own_name}\"")));
    for (_, theirs, ours, _) in FIXED.iter().filter(|(fixed, ..)| *fixed == name) {
        assert!(text.contains(theirs), "{name}: podman's {theirs} is not in the recording");
        text = text.replace(theirs, ours);
    }
    text
}

fn assert_same(name: &str, theirs: &str, ours: &str) {
    if ours != theirs {
        let pretty =
            |t: &str| serde_json::to_string_pretty(&serde_json::from_str::<Value>(t).unwrap()).unwrap();
        let (theirs, ours) = (pretty(theirs), pretty(ours));
        panic!(
            "{name}:\n{}",
            similar::TextDiff::from_lines(&theirs, &ours).unified_diff().header("podman", "spec-gen")
        );
    }
}

#[test]
fn recorded_containers_have_the_same_spec_as_in_podman() {
    let host = Host::new();
    let mut compared = 0;
    for name in names() {
        let case = case(&name);
        if case.get("expected").is_none() || OTHER_END.iter().any(|(n, ..)| *n == name) {
            continue;
        }
        let output = host.generate(&case);
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        let ours = host.normalised(&String::from_utf8(output.stdout).unwrap());
        let theirs = expected(&host, &name, &case);
        assert_same(&name, &theirs, &ours);
        compared += 1;
    }
    assert!(compared > 90, "{compared} recordings");
}

/// The spec.dump of a checkpoint is a generated spec, so a second run must not duplicate any entry.
#[test]
fn regenerating_a_generated_spec_changes_nothing() {
    let host = Host::new();
    let mut compared = 0;
    for name in names() {
        let mut case = case(&name);
        let once = host.generate(&case);
        // The test cannot expect that a precreate hook returns the same spec twice.
        if !once.status.success() || name == "hooks-precreate" {
            continue;
        }
        case["config"]["spec"] = serde_json::from_slice(&once.stdout).unwrap();
        let again = host.generate(&case);
        assert!(again.status.success(), "{name}: {}", String::from_utf8_lossy(&again.stderr));
        assert!(again.stdout == once.stdout, "{name}: {}", String::from_utf8_lossy(&again.stdout));
        compared += 1;
    }
    assert!(compared > 90, "{compared} recordings");
}

#[test]
fn containers_that_podman_refuses_are_refused() {
    let host = Host::new();
    let mut refused = 0;
    for name in names() {
        let case = case(&name);
        let split = name == "cgroups-split";
        // `--cgroups split` is refused only if the test runs in the root cgroup.
        if case.get("error").is_none() || split || OTHER_END.iter().any(|(n, ..)| *n == name) {
            continue;
        }
        let output = host.generate(&case);
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{name}: {message}");
        assert!(output.stdout.is_empty() && message.starts_with("spec-gen: error: "), "{name}: {message}");
        refused += 1;
    }
    assert!(refused >= 12, "{refused} recordings");
}

#[test]
fn errors_of_podman_are_not_repeated() {
    let host = Host::new();
    for (name, starts, text, reason) in OTHER_END {
        let output = host.generate(&case(name));
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.success(), *starts, "{name} ({reason}): {message}");
        let found =
            if *starts { host.normalised(&String::from_utf8(output.stdout).unwrap()) } else { message };
        assert!(found.contains(text), "{name} ({reason}): {found}");
    }
}

#[test]
fn a_restored_container_has_the_same_spec_as_in_podman() {
    let host = Host::new();
    let case: Value =
        serde_json::from_str(&fs::read_to_string(format!("{DATA}/restore-ro.json")).unwrap()).unwrap();
    let spec = host.dir.path().join("spec.dump");
    fs::write(&spec, host.here(&case["spec"].to_string())).unwrap();
    let wanted = &case["expected"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_spec-gen"));
    command.args(["--restore", "-q", "-i"]).arg(spec);
    command.arg("--root-path").arg(host.here(wanted["root"]["path"].as_str().unwrap()));
    command.arg("--cgroups-path").arg(wanted["linux"]["cgroupsPath"].as_str().unwrap());
    for mount in wanted["mounts"].as_array().unwrap().iter().filter(|m| m["type"] == "bind") {
        let (destination, source) =
            (mount["destination"].as_str().unwrap(), mount["source"].as_str().unwrap());
        command.arg("--bind-mount").arg(format!("{destination}={}", host.here(source)));
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let ours = host.normalised(&String::from_utf8(output.stdout).unwrap());
    assert_eq!(ours, host.normalised(&wanted.to_string()));
}

#[test]
fn every_listed_podman_error_has_a_recording() {
    let names = names();
    for name in FIXED.iter().map(|f| f.0).chain(OTHER_END.iter().map(|f| f.0)) {
        assert!(names.iter().any(|n| n == name), "{name}");
    }
}
