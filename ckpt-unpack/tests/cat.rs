//! Checks that `--cat` writes members, and files of the tars in them, to standard output.

mod golden;

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use golden::{golden, tar};
use tartree::{Entry, Kind, Meta, TarPath, Timestamp};

fn path(name: &str) -> TarPath {
    TarPath::parse(name.as_bytes()).unwrap()
}

fn file(name: &str, content: &[u8]) -> (Entry, Vec<u8>) {
    (Entry::file(path(name), content.len() as u64, 0o644, Timestamp::default()), content.to_vec())
}

fn other(name: &str, kind: Kind) -> (Entry, Vec<u8>) {
    (Entry { path: path(name), kind, meta: Meta { mode: 0o755, ..Meta::default() } }, Vec::new())
}

/// Returns the tar of a volume.
fn volume() -> Vec<u8> {
    tar(&[
        other("etc", Kind::Dir),
        file("etc/motd", b"hello\n"),
        other("etc/link", Kind::HardLink { target: path("etc/motd") }),
        other("etc/symlink", Kind::Symlink { target: b"motd".to_vec() }),
        file("etc/twice", b"1"),
        file("etc/twice", b"2"),
    ])
}

/// Writes the archive `a.ckpt`, whose volume `v` is compressed with `program`.
fn archive(dir: &Path, program: &str) -> Vec<u8> {
    fs::write(dir.join("volume"), volume()).unwrap();
    let packed = Command::new("sh").arg("-c").arg(format!("{program} volume")).current_dir(dir).output();
    let packed = packed.unwrap().stdout;
    let bytes = golden(|members| members.push(file("volumes/v.tar", &packed)));
    fs::write(dir.join("a.ckpt"), &bytes).unwrap();
    bytes
}

fn cat(dir: &Path, args: &[&str], input: Option<&[u8]>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ckpt-unpack"));
    command.args(args).current_dir(dir).env("NO_COLOR", "1").stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let bytes = input.unwrap_or_default().to_vec();
    // The tool may not read its standard input.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&bytes)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

#[test]
fn members_and_files_are_written_decompressed() {
    for program in ["cat", "gzip -c", "xz -c", "zstd -qc"] {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let bytes = archive(dir, program);
        let (hello, all) = (&b"hello\n"[..], volume());
        for (args, input, expected) in [
            (&["--cat", "volumes/v.tar", "etc/motd", "a.ckpt"][..], None, hello),
            (&["--cat", "volumes/v.tar", "/etc/motd", "a.ckpt"], None, hello),
            (&["a.ckpt", "--cat", "./volumes/v.tar", "./etc/motd"], None, hello),
            (&["--cat", "volumes/v.tar", "etc/motd"], Some(&bytes[..]), hello),
            (&["--cat", "volumes/v.tar", "etc/motd", "-"], Some(&bytes), hello),
            // The hard link follows the file, so it needs a second pass.
            (&["--cat", "volumes/v.tar", "etc/link", "a.ckpt"], None, hello),
            (&["--cat", "volumes/v.tar", "a.ckpt"], None, &all),
            (&["--cat", "volumes/v.tar", "-"], Some(&bytes), &all),
            (&["--cat", "volumes/v.tar"], Some(&bytes), &all),
        ] {
            let run = cat(dir, args, input);
            let stderr = String::from_utf8_lossy(&run.stderr);
            assert_eq!((run.status.code(), &*stderr), (Some(0), ""), "{program} {args:?}");
            assert!(run.stdout == expected, "{program} {args:?}");
        }
    }
}

#[test]
fn members_of_every_kind_are_written() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    archive(dir, "cat");
    let text = |args: &[&str]| {
        let run = cat(dir, args, None);
        assert!(run.status.success(), "{args:?}: {}", String::from_utf8_lossy(&run.stderr));
        run.stdout
    };
    // A word after a member that is not a tar is the archive.
    let config: serde_json::Value =
        serde_json::from_slice(&text(&["--cat", "config.dump", "a.ckpt"])).unwrap();
    assert_eq!(config["rootfsImageName"], "localhost/fx:latest");
    assert_eq!(text(&["--cat", "checkpoint/pages-2.img", "a.ckpt"]).len(), 16 * 4096);
    // CRIU's tar of a tmpfs is compressed.
    let tmpfs = text(&["--cat", "checkpoint/tmpfs-dev-46.tar.gz.img", "a.ckpt"]);
    assert_eq!(&tmpfs[257..262], b"ustar");
    // A sparse member is written with its holes.
    let script =
        "mkdir -p s/checkpoint; truncate -s 1M s/checkpoint/pages-1.img; tar -SC s -cf s.tar checkpoint";
    assert!(Command::new("sh").arg("-ec").arg(script).current_dir(dir).status().unwrap().success());
    assert!(text(&["--cat", "checkpoint/pages-1.img", "s.tar"]) == vec![0; 1 << 20]);
}

#[test]
fn what_cannot_be_written_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let bytes = archive(dir, "cat");
    symlink("nowhere", dir.join("dangling")).unwrap();
    let volume = "volumes/v.tar";
    for (args, status, message) in [
        (&["--cat", "nothing", "a.ckpt"][..], 1, "a.ckpt: nothing: not in the archive\nhint: --list"),
        (&["--cat", "checkpoint", "a.ckpt"], 1, "a.ckpt: checkpoint: is a directory"),
        (&["--cat", volume, "etc", "a.ckpt"], 1, "a.ckpt: volumes/v.tar: etc: is a directory"),
        (&["--cat", volume, "etc/symlink", "a.ckpt"], 1, "etc/symlink: is a symbolic link to motd"),
        (&["--cat", volume, "etc/none", "a.ckpt"], 1, "volumes/v.tar: etc/none: not in the tar"),
        (&["--cat", volume, "etc/twice", "a.ckpt"], 1, "volumes/v.tar: etc/twice: occurs twice"),
        (&["--cat", volume, "etc/link"], 1, "a hard link to etc/motd\nhint: --cat volumes/v.tar etc/motd"),
        (&["--cat", volume, "../x", "a.ckpt"], 2, "--cat ../x: "),
        (&["--cat", "config.dump", "x", "a.ckpt"], 2, "--cat config.dump x: config.dump is not a tar"),
        (&["--cat", "config.dump", "--list", "a.ckpt"], 2, "cannot be used with"),
        (&["--cat", "config.dump", "--json", "--", "a.ckpt"], 2, "--json"),
        (&["--cat", "config.dump", "--rootfs", "x"], 2, "cannot be used with"),
        (&["-O", "a.ckpt"], 2, "--cat MEMBER [PATH]"),
    ] {
        let run = cat(dir, args, Some(&bytes));
        let stderr = String::from_utf8_lossy(&run.stderr);
        assert_eq!(run.status.code(), Some(status), "{args:?}: {stderr}");
        assert!(stderr.contains(message), "{args:?}: {stderr}");
    }
}

#[test]
fn a_truncated_archive_is_an_error_after_the_member() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let bytes = archive(dir, "cat");
    fs::write(dir.join("cut.ckpt"), &bytes[..bytes.len() - 3000]).unwrap();
    let run = cat(dir, &["--cat", "config.dump", "cut.ckpt"], None);
    assert_eq!(run.status.code(), Some(1));
    assert!(!run.stdout.is_empty());
    assert!(String::from_utf8_lossy(&run.stderr).contains("cut.ckpt: "));
}

#[test]
fn control_characters_are_not_written_to_a_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let bytes = golden(|members| {
        members.push(file("artifacts/red", b"\x1b[31m\n"));
        members.push(file("artifacts/c1", b"a\x9b31m\n"));
        members.push(file("artifacts/utf8-c1", "a\u{9b}31m\n".as_bytes()));
        members.push(file("artifacts/bidi", "a\u{202e}b\n".as_bytes()));
        // A character whose bytes are read in two parts.
        members.push(file("artifacts/long", &[&[b'x'; (256 << 10) - 1][..], "– end".as_bytes()].concat()));
        members.push(file("artifacts/cut", &[&[b'x'; (256 << 10) - 1][..], "\u{9b}31m".as_bytes()].concat()));
        members.push(file("artifacts/plain", "text\tü\n".as_bytes()));
    });
    fs::write(dir.join("a.ckpt"), bytes).unwrap();
    for (name, shown) in [
        ("red", None),
        ("c1", None),
        ("utf8-c1", None),
        ("bidi", None),
        ("cut", None),
        ("long", Some("x– end")),
        ("plain", Some("text\tü")),
    ] {
        // script(1) runs the command on a terminal.
        let command = format!("{} --cat artifacts/{name} a.ckpt", env!("CARGO_BIN_EXE_ckpt-unpack"));
        let mut script = Command::new("script");
        script.args(["-qec", &command, "/dev/null"]).current_dir(dir).env("NO_COLOR", "1");
        let run = script.stdin(Stdio::null()).output().unwrap();
        let text = String::from_utf8_lossy(&run.stdout);
        match shown {
            Some(shown) => assert!(run.status.success() && text.contains(shown), "{text}"),
            None => assert!(!run.status.success() && text.contains("it has control characters"), "{text}"),
        }
    }
}
