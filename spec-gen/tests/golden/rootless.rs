//! Compares the specs that rootless podman 5.4.2 and `spec-gen --rootless` write.
//!
//! podman ran in the user namespace of the user's subordinate IDs, and so does spec-gen in this
//! test.

use std::io::Write;
use std::process::Stdio;

use super::*;

/// The ID map of that namespace: the user itself, then 65536 subordinate IDs.
const OWN: &str = "0 1000 1\n1 100000 65536\n";

/// The differences and their reasons, like `FIXED` for the containers of root.
#[rustfmt::skip]
const FIXED: &[(&str, &str, &str, &str)] = &[
    ("nomap", "/tmp/intermediate-mountpoint-1000.0", "/tmp/home/.local/share/containers/storage/overlay/ID/merged", "the intermediate mount is podman's own"),
];

/// Runs spec-gen in a user namespace with the IDs of `OWN`. A shell in the namespace waits until
/// the map is written.
fn in_namespace(args: &[std::ffi::OsString]) -> Output {
    let mut child = Command::new("unshare")
        .args(["--user", "bash", "-c", "read -r _ && exec \"$@\"", "bash", env!("CARGO_BIN_EXE_spec-gen")])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let own = fs::read_link("/proc/self/ns/user").unwrap();
    // `unshare` executes the shell. The namespace exists once the link differs from that of the
    // test.
    while fs::read_link(format!("/proc/{}/ns/user", child.id())).unwrap() == own {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    for file in ["uid_map", "gid_map"] {
        fs::write(format!("/proc/{}/{file}", child.id()), OWN).unwrap();
    }
    child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    child.wait_with_output().unwrap()
}

#[ignore = "needs root"]
#[test]
fn rootless_containers_have_the_same_spec_as_in_podman() {
    // The test must be root in a user namespace that contains these IDs, so that it can map them
    // into the new user namespace.
    let host = Host::new();
    fs::write(
        host.rootfs().join("etc/passwd"),
        "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000:Alice:/home/alice:/bin/sh\nbig:x:70000:70000::/:/bin/sh\n",
    )
    .unwrap();
    fs::write(
        host.rootfs().join("etc/group"),
        "root:x:0:root\nwheel:x:10:alice\nalice:x:1000:\nhigh:x:70001:alice\n",
    )
    .unwrap();
    let mut compared = 0;
    for entry in fs::read_dir(format!("{DATA}/rootless")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let case: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        for part in ["config", "state"] {
            fs::write(host.dir.path().join(part), case[part].to_string()).unwrap();
        }
        let mut args: Vec<std::ffi::OsString> =
            ["--rootless", "-q", "--cgroup-version", "1", "--container"].map(Into::into).to_vec();
        args.push(host.dir.path().join("config").into());
        args.push("--state".into());
        args.push(host.dir.path().join("state").into());
        args.push("--rootfs".into());
        args.push(host.rootfs().into());
        let flags = case.get("flags").and_then(Value::as_array).into_iter().flatten();
        args.extend(flags.map(|f| f.as_str().unwrap().into()));
        let output = in_namespace(&args);
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        let ours = host.normalised(&String::from_utf8(output.stdout).unwrap());
        let mut theirs = host.normalised(&case["expected"].to_string());
        for (_, from, to, _) in FIXED.iter().filter(|(fixed, ..)| *fixed == name) {
            assert!(theirs.contains(from), "{name}: podman's {from} is not in the recording");
            theirs = theirs.replace(from, to);
        }
        assert_same(name, &theirs, &ours);
        compared += 1;
    }
    assert!(compared > 15, "{compared} recordings");
}
