//! Failing producers in a pipe: the shell ignores their exit status, so they record the failure in
//! the stream, and ckpt-pack must not create an archive.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use harness::tools::tool;
use tempfile::TempDir;

/// One working producer of each kind.
const DIFF: &str = "rootfs-diff create --members --from old --to new";
const VOLUME: &str = "vol-archive create --members data=vol";
const NETWORK: &str = "echo {} | netstatus save --members";

/// A failing producer, and words that the message of ckpt-pack must contain.
struct Row(&'static str, &'static [&'static str]);

const RECORDED: &[Row] = &[
    // Failures before the first byte.
    Row(
        "vol-archive create --members data=typo",
        &["vol-archive failed: volumes/data.tar: typo: No such file"],
    ),
    Row(
        "vol-archive create --members data=file",
        &["vol-archive failed: volumes/data.tar: file: Not a directory"],
    ),
    Row("vol-archive create --members --shm typo", &["vol-archive failed: devshm-checkpoint.tar: typo: "]),
    Row("vol-archive create --members data=vol logs=typo", &["volumes/logs.tar: typo: No such file"]),
    Row(
        "rootfs-diff create --members --from old --to typo",
        &["rootfs-diff failed: rootfs-diff.tar: typo: "],
    ),
    Row("rootfs-diff create --members --rootfs vol", &["rootfs-diff failed: rootfs-diff.tar: vol: "]),
    Row("echo [7] | netstatus save --members", &["netstatus failed: network.status: "]),
    Row("netstatus save --members </dev/null", &["netstatus failed: network.status: "]),
    Row("netstatus save --members --netns typo", &["netstatus failed: network.status: ", "typo"]),
    // Usage errors that the tool detects, and usage errors that clap detects.
    Row("vol-archive create --members", &["vol-archive failed: ", "NAME=DIR"]),
    Row("vol-archive create --members a/b=vol", &["vol-archive failed: ", "a/b=vol"]),
    Row("vol-archive create --members data=vol data=vol", &["vol-archive failed: ", "volumes/data.tar"]),
    Row("vol-archive create --members --no-such-flag data=vol", &["vol-archive failed: ", "--no-such-flag"]),
    Row("vol-archive creat --members data=vol", &["vol-archive failed: ", "creat"]),
    Row("vol-archive create --member data=vol", &["vol-archive failed: ", "--member"]),
    Row("vol-archive --members data=vol", &["vol-archive failed: ", "--members"]),
    Row("rootfs-diff create --members", &["rootfs-diff failed: rootfs-diff.tar: no source given"]),
    Row("rootfs-diff create --members --from old", &["rootfs-diff failed: rootfs-diff.tar: ", "--to <DIR>"]),
    Row(
        "rootfs-diff create --members --from old --to new --deleted d",
        &["rootfs-diff failed: ", "--deleted"],
    ),
    Row(
        "rootfs-diff create --members --format docker --from old --to new",
        &["rootfs-diff failed: ", "docker"],
    ),
    Row("netstatus save --members --from nonsense", &["netstatus failed: network.status: ", "nonsense"]),
    Row("netstatus save --members --mac x </dev/null", &["netstatus failed: network.status: "]),
    // Streams with -o.
    Row(
        "vol-archive create --members data=typo -o /dev/stdout",
        &["vol-archive failed: volumes/data.tar: typo"],
    ),
    Row("vol-archive create --members data=typo -o -", &["vol-archive failed: volumes/data.tar: typo"]),
    Row("vol-archive create --members -qo /dev/stdout --x", &["vol-archive failed: ", "--x"]),
    // A name that could forge a second message, and a long name.
    Row(
        "vol-archive create --members $'data=a\\n\\e[31mb'",
        &["vol-archive failed: ", "a\\n\\x1b[31mb: No such"],
    ),
    Row("vol-archive create --members data=$(printf %04000d 0)", &["vol-archive failed: ", "…"]),
];

fn ground() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for made in ["b/checkpoint", "old", "new", "vol"] {
        fs::create_dir_all(at(made)).unwrap();
    }
    fs::write(at("b/checkpoint/inventory.img"), "").unwrap();
    fs::write(at("b/config.json"), r#"{"process":{},"root":{},"mounts":[],"linux":{}}"#).unwrap();
    fs::write(at("new/added"), "new").unwrap();
    fs::write(at("vol/file"), "content").unwrap();
    fs::write(at("file"), "content").unwrap();
    dir
}

/// Runs `script` in bash, with the tools first in its PATH.
fn bash(dir: &Path, script: &str) -> Output {
    let tools = tool("ckpt-pack").parent().unwrap().to_owned();
    let path = format!("{}:{}", tools.display(), std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("bash");
    command.args(["-c", script]).current_dir(dir).env("PATH", path).env("NO_COLOR", "1");
    command.output().unwrap()
}

/// Runs `script` and returns a violation unless it fails with `words` on standard error.
fn judge(dir: &Path, script: &str, words: &[&str], earlier: bool) -> Option<String> {
    let archive = dir.join("web.ckpt");
    match earlier {
        true => fs::write(&archive, "earlier").unwrap(),
        false => drop(fs::remove_file(&archive)),
    }
    let output = bash(dir, script);
    let stderr = String::from_utf8_lossy(&output.stderr);
    let left = fs::read(&archive).ok();
    let errors: Vec<_> = stderr.lines().filter(|line| line.starts_with("ckpt-pack: error: ")).collect();
    let error = errors.join("\n");
    let problem = match () {
        () if output.status.code() != Some(1) => format!("status {:?}", output.status),
        () if left.as_deref() != earlier.then_some(&b"earlier"[..]) => "the file was written".into(),
        () if words.iter().any(|word| !error.contains(word)) => format!("expected {words:?}"),
        () if error.len() > 2000 => "a message without bound".into(),
        () => return None,
    };
    Some(format!("{script}\n    {problem}: {stderr}"))
}

#[test]
fn a_failing_producer_is_reported_at_any_position_in_a_group() {
    let dir = ground();
    let mut found = Vec::new();
    for Row(failing, words) in RECORDED {
        for group in [
            format!("{DIFF}; {failing}; {NETWORK}"),
            format!("{failing}; {DIFF}"),
            format!("{DIFF} && {failing} && {VOLUME}"),
        ] {
            let script = format!("{{ {group}; }} 2>/dev/null | ckpt-pack --bundle b -o web.ckpt -");
            for earlier in [false, true] {
                found.extend(judge(dir.path(), &script, words, earlier));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_failure_record_is_read_from_files_fifos_and_plain_tars() {
    let dir = ground();
    let failing = "vol-archive create --members data=typo";
    let found: Vec<_> = [
        format!("{DIFF} -o m; {failing} 2>/dev/null >f; ckpt-pack --bundle b -o web.ckpt m f"),
        format!("mkfifo p; {failing} -o p 2>/dev/null & {DIFF} -o m; ckpt-pack --bundle b -o web.ckpt m p"),
        format!("{failing} 2>/dev/null | ckpt-pack --bundle b --raw-members --ignore-rootfs -o web.ckpt -"),
    ]
    .iter()
    .filter_map(|script| judge(dir.path(), script, &["vol-archive failed: volumes/data.tar: typo"], false))
    .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[ignore = "needs root"]
#[test]
fn a_failure_inside_a_member_is_reported_or_detected() {
    let dir = ground();
    // Another user may list the volume, but cannot read its file.
    let script = "chmod 755 . && chmod 600 vol/file && cp $(command -v vol-archive rootfs-diff) . &&
        cp vol/file new && chmod 600 new/file && SETUP &&
        { setpriv --reuid 65534 --clear-groups ./FAILING; vol-archive create --members logs=old; } 2>/dev/null |
            ckpt-pack --bundle b --ignore-rootfs -o web.ckpt -";
    let found: Vec<_> = [
        ("true", "vol-archive create --members data=vol", "vol-archive failed: volumes/data.tar: vol: "),
        ("true", DIFF, "rootfs-diff failed: rootfs-diff.tar: "),
        // The member is too large to be padded after the failure, so the stream is truncated.
        (
            "head -c 70M /dev/zero | tr '\\0' x >vol/file",
            "vol-archive create --members data=vol",
            "standard input: ",
        ),
    ]
    .iter()
    .filter_map(|(setup, failing, words)| {
        let script = script.replace("SETUP", setup).replace("FAILING", failing);
        judge(dir.path(), &script, &[words], false)
    })
    .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_producer_without_any_output_is_missed_with_expect() {
    let dir = ground();
    fs::write(dir.path().join("b/network.status"), "null").unwrap();
    let expect = "--expect rootfs-diff,volume:data --expect network,shm";
    let all = format!("{DIFF} && {VOLUME} --shm old && {NETWORK}");
    let found: Vec<_> = [
        (format!("{DIFF}; no-such-tool; {NETWORK}"), "volumes/data.tar: missing"),
        (format!("bash -c 'kill -9 $$'; {VOLUME} --shm old; {NETWORK}"), "rootfs-diff.tar: missing"),
        (format!("{DIFF}; {VOLUME} --shm old; no-such-tool"), "network.status: missing"),
        (format!("{DIFF}; {VOLUME}; {NETWORK}"), "devshm-checkpoint.tar: missing"),
        (format!("{DIFF} && no-such-tool && {VOLUME}"), ": missing"),
        (format!("vol-archive create --memebrs data=vol; {DIFF}; {NETWORK}"), ": missing"),
    ]
    .iter()
    .filter_map(|(group, words)| {
        let script = format!("{{ {group}; }} 2>/dev/null | ckpt-pack --bundle b {expect} -o web.ckpt -");
        judge(dir.path(), &script, &[words], true)
    })
    .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
    let script = format!("{{ {all}; }} | ckpt-pack --bundle b {expect} -o web.ckpt -");
    let output = bash(dir.path(), &script);
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]), "{output:?}");
    // Without a stream there are no producers to miss.
    let output = bash(dir.path(), "ckpt-pack --bundle b --ignore-rootfs --expect network -o web.ckpt");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn expectations_that_cannot_be_met_are_usage_errors() {
    let dir = ground();
    for (args, words) in [
        ("--expect nonsense", "expected rootfs-diff, volume:NAME, network or shm"),
        ("--expect rootfs-diff,", "expected rootfs-diff"),
        ("--expect volume", "expected rootfs-diff"),
        ("--expect volume:a/b", "expected a letter or digit"),
        ("--expect network:x", "expected rootfs-diff"),
        ("--expect rootfs-diff --ignore-rootfs", "--expect: rootfs-diff.tar conflicts with --ignore-rootfs"),
        ("--expect network,volume:data --ignore-volumes", "conflicts with --ignore-volumes"),
        ("--expect network --cleanup", "--cleanup"),
        ("--expect network --check", "--check"),
    ] {
        let output = bash(dir.path(), &format!("ckpt-pack --bundle b {args} -o web.ckpt </dev/null"));
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args}: {stderr}");
        assert!(stderr.contains(words), "{args}: {stderr}");
    }
}

#[test]
fn readers_reject_a_failure_record_and_change_no_files() {
    let dir = ground();
    let failing = "vol-archive create --members data=typo 2>/dev/null";
    for (reader, status) in [
        ("vol-archive extract --members data=into", 1),
        ("vol-archive extract into", 1),
        ("rootfs-diff apply --members --rootfs old", 1),
        ("rootfs-diff apply --members --dry-run --rootfs old", 1),
        ("rootfs-diff apply --rootfs old", 1),
    ] {
        let output = bash(dir.path(), &format!("{failing} | {reader}"));
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{reader}: {stderr}");
        assert!(stderr.contains("vol-archive failed") || stderr.contains(".failed"), "{reader}: {stderr}");
        assert!(!dir.path().join("into/.failed").exists() && !dir.path().join("old/.failed").exists());
    }
    // Without --members, and with -o FILE, no failure record is written.
    for script in [
        "vol-archive create typo >f",
        "vol-archive extract --members typo >f",
        "vol-archive create --members data=typo -o f",
        "vol-archive create --members --help >/dev/null",
        "rm f; vol-archive create --members data=typo -o f; test ! -e f && : >f",
    ] {
        fs::write(dir.path().join("f"), "").unwrap();
        bash(dir.path(), script);
        assert_eq!(fs::read(dir.path().join("f")).unwrap(), b"", "{script}");
    }
}
