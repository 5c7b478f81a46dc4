//! Files are written by a second thread while the first one makes others: nothing may show that but the time it takes.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use harness::forge::{Header, TarForge};
use harness::{Options, differences};

const TOOL: &str = env!("CARGO_BIN_EXE_vol-archive");

/// More than are handed over together, so that a second thread has written some and others are on their way to it.
const FILES: u32 = 150;

fn files(tar: TarForge) -> TarForge {
    (0..FILES).fold(tar, |tar, n| tar.entry(Header::new(b'0', format!("f{n}")).mode(0o640), content(n)))
}

fn content(n: u32) -> Vec<u8> {
    vec![n as u8; 100 * n as usize]
}

fn extract(program: &[&str], tar: &[u8], out: &Path) -> Output {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(tar).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    let (first, rest) = program.split_first().unwrap();
    Command::new(first).args(rest).arg("extract").arg(out).stdin(file).output().unwrap()
}

/// How many threads the tool starts.
fn threads(program: &[&str], tar: &Path) -> usize {
    let out = tempfile::tempdir().unwrap();
    let log = tempfile::NamedTempFile::new().unwrap();
    let status = Command::new("strace")
        .args(["-f", "-e", "trace=clone,clone3", "-o"])
        .arg(log.path())
        .args(program)
        .arg("extract")
        .arg(out.path())
        .stdin(File::open(tar).unwrap())
        .stderr(Stdio::null())
        .status()
        .expect("strace: see tests/prerequisites");
    assert!(status.success());
    fs::read_to_string(log.path()).unwrap().matches("CLONE_THREAD").count()
}

#[test]
fn what_becomes_of_a_name_meanwhile_is_what_becomes_of_it_without_a_second_thread() {
    let big = vec![3; 3 << 20];
    let tar = files(TarForge::new().dir("./"))
        .file("f149", "another content")
        .hardlink("link", "f148")
        .header(Header::new(b'g', "f147"))
        .symlink("f146", "nowhere")
        .header(Header::new(b'5', "f145").mode(0o750).mtime(7))
        .entry(Header::new(b'0', "f145/big").mode(0o4711).mtime(9), &big)
        .hardlink("f144", "f145/big")
        .end();
    let [one, two] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    for (program, out) in [(&["prlimit", "--nofile=64", TOOL][..], &one), (&[TOOL], &two)] {
        let output = extract(program, &tar, out.path());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(differences(one.path(), two.path(), &Options::default()).unwrap(), [] as [String; 0]);
    assert_eq!(fs::read(two.path().join("f149")).unwrap(), b"another content");
    assert_eq!(fs::read(two.path().join("link")).unwrap(), content(148));
    assert!(!two.path().join("f147").exists());
    assert_eq!(fs::read(two.path().join("f144")).unwrap(), big);
    assert_eq!(fs::metadata(two.path().join("f144")).unwrap().mtime(), 9);
}

#[test]
fn files_before_an_error_are_whole() {
    let tar = files(TarForge::new()).file("f149/below", "").end();
    let out = tempfile::tempdir().unwrap();
    let output = extract(&[TOOL], &tar, out.path());
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("f149/below: something that is not a directory stands"), "{stderr}");
    for n in 0..FILES {
        let path = out.path().join(format!("f{n}"));
        assert!(fs::read(&path).unwrap() == content(n), "f{n}");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o640, "f{n}");
    }
}

#[test]
fn what_the_second_thread_or_the_kernel_cannot_write_is_told_by_name() {
    for size in [2 << 20, 8 << 20] {
        let tar = files(TarForge::new()).entry(Header::new(b'0', "large"), vec![1; size]).end();
        let out = tempfile::tempdir().unwrap();
        let output = extract(&["prlimit", "--fsize=1048576", TOOL], &tar, out.path());
        assert_eq!(output.status.code(), Some(1));
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains("large: File too large"), "{stderr}");
    }
}

#[test]
fn one_is_started_where_it_helps() {
    let dir = tempfile::tempdir().unwrap();
    let put = |name: &str, tar: Vec<u8>| {
        let path = dir.path().join(name);
        fs::write(&path, tar).unwrap();
        path
    };
    let many = put("many", files(TarForge::new()).end());
    let few = put("few", (0..10).fold(TarForge::new(), |tar, n| tar.file(format!("{n}"), "x")).end());
    let large = put(
        "large",
        (0..12).fold(TarForge::new(), |tar, n| tar.file(format!("{n}"), vec![1; 2 << 20])).end(),
    );
    // One waits for signals that ask for the progress.
    let alone = threads(&[TOOL], &few);
    let helped = alone + usize::from(std::thread::available_parallelism().unwrap().get() > 1);
    assert_eq!(threads(&[TOOL], &many), helped);
    assert_eq!(threads(&[TOOL], &large), helped);
    assert_eq!(threads(&["taskset", "-c", "0", TOOL], &many), alone);
    assert_eq!(threads(&["prlimit", "--nofile=64", TOOL], &many), alone);
}
