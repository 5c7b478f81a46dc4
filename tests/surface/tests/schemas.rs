//! Every JSON document that a tool writes conforms to its schema in docs/schema.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use harness::tools::tool;
use serde_json::{Value, json};

const SCHEMAS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/schema");

fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn files(dir: &str, suffix: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(source(dir)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.to_string_lossy().ends_with(suffix));
    files.sort();
    assert!(!files.is_empty(), "{dir}: no {suffix}");
    files
}

fn run(name: &str, args: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(tool(name));
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // Some tools close the pipe before the end of the input.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success(), "{name} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Documents, with the names of their schemas.
#[derive(Default)]
struct Cases(String);

impl Cases {
    fn add(&mut self, schema: &str, name: &str, document: &[u8]) {
        let document: Value =
            serde_json::from_slice(document).unwrap_or_else(|e| panic!("{name}: not one JSON document: {e}"));
        self.0.push_str(&json!({ "schema": schema, "name": name, "document": document }).to_string());
        self.0.push('\n');
    }

    fn judge(self) {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/validate.py");
        let mut python = Command::new("python3");
        python.args([script, SCHEMAS]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = python.spawn().expect("python3");
        child.stdin.take().unwrap().write_all(self.0.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    }
}

#[ignore = "needs python3-jsonschema"]
#[test]
fn ckpt_unpack_output_matches_its_schema() {
    let mut cases = Cases::default();
    let mut archives = files("ckpt-unpack/tests/data", ".tar.xz");
    archives.extend(files("ckpt-unpack/tests/data", ".oci.tar"));
    let names: Vec<_> = archives.iter().map(|archive| archive.to_str().unwrap()).collect();
    let table = run("ckpt-unpack", &[&["--show", "--json"], &names[..]].concat(), b"");
    cases.add("ckpt-unpack-show-table", "table", &table.stdout);
    let with = run("ckpt-unpack", &["--show", "--json", "--env", names[0]], b"");
    cases.add("ckpt-unpack-show", "with --env", &with.stdout);
    let found = run("ckpt-unpack", &["--search", "HOME", "--context", "9", "--json", names[0]], b"");
    cases.add("ckpt-unpack-search", "search", &found.stdout);
    let compared = run("ckpt-unpack", &["--json", "--compare", names[0], names[1]], b"");
    cases.add("ckpt-unpack-compare", "compare", &compared.stdout);
    for archive in &archives {
        let name = archive.file_name().unwrap().to_string_lossy().into_owned();
        for (flag, schema) in [("--list", "ckpt-unpack-list"), ("--show", "ckpt-unpack-show")] {
            let output = run("ckpt-unpack", &[flag, "--json", archive.to_str().unwrap()], b"");
            cases.add(schema, &format!("{name} {flag}"), &output.stdout);
        }
    }
    cases.judge();
}

#[ignore = "needs python3-jsonschema"]
#[test]
fn pod_archives_match_their_schemas() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    fs::write(at("pod.json"), r#"{"metadata":{"name":"shop","uid":"u"},"hostname":"h","x":1}"#).unwrap();
    let archive = source("ckpt-unpack/tests/data/g06-bridge.tar.xz");
    let container = |name: &str| format!("{name}={}", archive.display());
    let args = ["--pod-config", &at("pod.json"), "--container", &container("web"), "--container"];
    run("ckpt-pack", &[&args[..], &[&container("db"), "-o", &at("pod.tar")]].concat(), b"");
    let mut cases = Cases::default();
    for (flags, schema) in [
        (&["--show", "--json"][..], "ckpt-unpack-show-pod"),
        (&["--list", "--json"], "ckpt-unpack-list"),
        (&["--cat", "pod.options"], "pod-options"),
        (&["--cat", "pod.dump"], "pod-dump"),
    ] {
        let output = run("ckpt-unpack", &[flags, &[&at("pod.tar")]].concat(), b"");
        cases.add(schema, &format!("{flags:?}"), &output.stdout);
    }
    cases.judge();
}

/// Creates a bundle with an inventory and with recorded statistics of a CRIU dump.
fn bundle(dir: &Path) -> PathBuf {
    let bundle = dir.join("bundle");
    let archive = source("ckpt-unpack/tests/data/g06-bridge.tar.xz");
    let args = ["--bundle", bundle.to_str().unwrap(), archive.to_str().unwrap()];
    run("ckpt-unpack", &args, b"");
    bundle
}

#[ignore = "needs python3-jsonschema"]
#[test]
fn dump_statistics_match_their_schema() {
    let dir = tempfile::tempdir().unwrap();
    let bundle = bundle(dir.path());
    let out = dir.path().join("out");
    let args = ["--bundle", bundle.to_str().unwrap(), "--ignore-rootfs", "--ignore-volumes", "--print-stats"];
    let output = run("ckpt-pack", &[&args[..], &["-o", out.to_str().unwrap()]].concat(), b"");
    let mut cases = Cases::default();
    cases.add("print-stats", "ckpt-pack", &output.stdout);
    cases.judge();
}

#[ignore = "needs python3-jsonschema"]
#[test]
fn lists_of_changes_and_entries_match_their_schemas() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    for root in [&from, &to] {
        fs::create_dir(root).unwrap();
        fs::write(root.join("same"), "same").unwrap();
    }
    fs::write(from.join("old"), "").unwrap();
    fs::write(to.join("same"), "other").unwrap();
    fs::set_permissions(to.join("same"), fs::Permissions::from_mode(0o4755)).unwrap();
    fs::hard_link(to.join("same"), to.join("link")).unwrap();
    symlink("same", to.join("symlink")).unwrap();
    symlink("x", to.join(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"\xff"))).unwrap();
    let sparse = fs::File::create(to.join("sparse")).unwrap();
    sparse.set_len(8 << 20).unwrap();
    Command::new("mkfifo").arg(to.join("fifo")).status().unwrap();
    if harness::host::is_root() {
        for (name, kind) in [("char", "c"), ("block", "b")] {
            let made = Command::new("mknod").arg(to.join(name)).args([kind, "1", "3"]).status();
            assert!(made.unwrap().success());
        }
    }
    let mut cases = Cases::default();
    let [from, to] = [from, to].map(|path| path.to_str().unwrap().to_owned());
    let trees = ["--from", &from, "--to", &to];
    let output = run("rootfs-diff", &[&["list", "--json"], &trees[..]].concat(), b"");
    let letters = String::from_utf8_lossy(&output.stdout).into_owned();
    for change in ["added", "modified", "deleted"] {
        assert!(letters.contains(change), "{letters}");
    }
    cases.add("rootfs-diff-list", "rootfs-diff list", &output.stdout);
    let output = run("rootfs-diff", &[&["list", "--json", "--from", &to, "--to", &to][..]].concat(), b"");
    cases.add("rootfs-diff-list", "no change", &output.stdout);

    let output = run("vol-archive", &["create", &to], b"");
    let output = run("vol-archive", &["list", "--json"], &output.stdout);
    cases.add("vol-archive-list", "vol-archive list", &output.stdout);
    let listed: Value = serde_json::from_slice(&output.stdout).unwrap();
    // validate.py mutates only the first entry, so each kind comes first in one document.
    for entry in listed.as_array().unwrap() {
        cases.add("vol-archive-list", &entry["path"].to_string(), json!([entry]).to_string().as_bytes());
    }

    let output = run("rootfs-diff", &[&["create", "--members"], &trees[..]].concat(), b"");
    for (member, schema) in [(".end", "member-stream-end"), ("deleted.files", "deleted-files")] {
        let stream = dir.path().join("stream");
        fs::write(&stream, &output.stdout).unwrap();
        let tar = Command::new("tar").args(["-xOf"]).arg(&stream).arg(member).output().unwrap();
        cases.add(schema, member, &tar.stdout);
    }
    let output =
        Command::new(tool("vol-archive")).args(["create", "--members", "data=/no/such"]).output().unwrap();
    let stream = dir.path().join("failed");
    fs::write(&stream, &output.stdout).unwrap();
    let tar = Command::new("tar").args(["-xOf"]).arg(&stream).arg(".failed").output().unwrap();
    cases.add("member-stream-failed", ".failed", &tar.stdout);
    cases.judge();
}

#[ignore = "needs python3-jsonschema"]
#[test]
fn networks_match_their_schemas() {
    let mut cases = Cases::default();
    let mut statuses = files("netstatus/tests/data/podman", ".network.status");
    statuses.push(source("netstatus/tests/data/netavark/dualstack.status.json"));
    statuses.push(source("netstatus/tests/data/extended.network.status"));
    for path in statuses {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let status = fs::read(&path).unwrap();
        let output = run("netstatus", &["show", "--json"], &status);
        cases.add("netstatus-show", &name, &output.stdout);
        let output = run("netstatus", &["save", "--from", "status"], &status);
        cases.add("network-status", &name, &output.stdout);
    }
    let cni = fs::read(source("netstatus/tests/data/cni/result-1.0.0-dual.json")).unwrap();
    let output = run("netstatus", &["save", "--from", "cni", "--network", "lan"], &cni);
    cases.add("network-status", "CNI", &output.stdout);
    cases.judge();
}

#[ignore = "needs python3-jsonschema"]
#[test]
fn actions_of_spec_gen_match_their_schema() {
    let dir = tempfile::tempdir().unwrap();
    let list = dir.path().join("actions");
    let data = dir.path().join("data");
    let overlay = dir.path().join("overlay");
    for made in [&data, &overlay] {
        fs::create_dir(made).unwrap();
    }
    let volume = format!("{}:/data:U", data.display());
    let over = format!("{}:/over:O", overlay.display());
    let layers = dir.path().join("layers");
    let layers = layers.to_str().unwrap();
    let secret = format!("s,src={}", list.display());
    fs::write(&list, "secret").unwrap();
    let args =
        ["--new", "--actions", list.to_str().unwrap(), "--overlay-dir", layers, "-v", &volume, "-v", &over];
    run("spec-gen", &[&args[..], &["--secret", &secret, "--secret-copies", layers]].concat(), b"");
    let lines = fs::read_to_string(&list).unwrap();
    let mut cases = Cases::default();
    assert!(lines.contains(r#""chown""#) && lines.contains(r#""copy""#), "{lines}");
    for line in lines.lines() {
        cases.add("spec-gen-actions", line, line.as_bytes());
    }
    cases.judge();
}

#[ignore = "needs python3-jsonschema"]
#[test]
fn users_match_their_schema() {
    let dir = tempfile::tempdir().unwrap();
    let rootfs = dir.path().to_str().unwrap();
    fs::create_dir(dir.path().join("etc")).unwrap();
    fs::write(dir.path().join("etc/passwd"), "alice:x:1000:1000::/home/alice:\n").unwrap();
    fs::write(dir.path().join("etc/group"), "wheel:x:10:alice\n").unwrap();
    let mut cases = Cases::default();
    for user in ["alice", "alice:10", "4242"] {
        let output = run("spec-gen", &["lookup-user", user, "--rootfs", rootfs], b"");
        cases.add("spec-gen-lookup-user", user, &output.stdout);
    }
    cases.judge();
}

#[test]
fn every_schema_is_named_in_a_manual_page() {
    let pages: String = files("man", "").iter().map(|page| fs::read_to_string(page).unwrap()).collect();
    let pages = pages.replace("\\-", "-");
    for schema in files("docs/schema", ".json") {
        let name = schema.file_name().unwrap().to_string_lossy().into_owned();
        assert!(pages.contains(&format!("docs/schema/{name}")), "{name}: in no manual page");
    }
}
