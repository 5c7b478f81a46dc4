//! Input that is no diff is refused by its name, and what a diff may be wrapped in is understood.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

struct Place {
    dir: tempfile::TempDir,
}

struct Run {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Place {
    fn new() -> Place {
        let place = Place { dir: tempfile::tempdir().unwrap() };
        fs::create_dir(place.path("t")).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn shell(&self, command: &str) -> String {
        let run = Command::new("bash").args(["-ec", command]).current_dir(self.dir.path()).output().unwrap();
        assert!(run.status.success(), "{command}: {}", String::from_utf8_lossy(&run.stderr));
        String::from_utf8(run.stdout).unwrap()
    }

    /// A tar of empty files and directories of these names, in this order.
    fn tar(&self, names: &[&str]) -> Vec<u8> {
        let _ = fs::remove_dir_all(self.path("tree"));
        fs::create_dir(self.path("tree")).unwrap();
        for name in names {
            let path = self.path("tree").join(name.trim_start_matches("./"));
            fs::create_dir_all(if name.ends_with('/') { &path } else { path.parent().unwrap() }).unwrap();
            if !name.ends_with('/') {
                fs::write(path, "").unwrap();
            }
        }
        self.shell(&format!("tar -C tree --no-recursion -cf tree.tar {}", names.join(" ")));
        fs::read(self.path("tree.tar")).unwrap()
    }

    fn filter(&self, command: &str, input: &[u8]) -> Vec<u8> {
        fs::write(self.path("in"), input).unwrap();
        self.shell(&format!("{command} < in > out"));
        fs::read(self.path("out")).unwrap()
    }

    fn create(&self, args: &[&str]) -> Vec<u8> {
        let run =
            Command::new(env!("CARGO_BIN_EXE_rootfs-diff")).args(args).current_dir(self.dir.path()).output();
        let run = run.unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        run.stdout
    }

    /// Applies `input` from a pipe to `t`.
    fn apply(&self, args: &[&str], input: &[u8]) -> Run {
        let mut child = Command::new(env!("CARGO_BIN_EXE_rootfs-diff"))
            .args([&["apply", "--rootfs", "t"], args].concat())
            .current_dir(self.dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let bytes = input.to_vec();
        // In small pieces, as a slow producer writes; the tool may have given up before the end.
        let writer = std::thread::spawn(move || bytes.chunks(700).try_for_each(|part| stdin.write_all(part)));
        let run = child.wait_with_output().unwrap();
        let _ = writer.join().unwrap();
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Run { code: run.status.code(), stdout: text(&run.stdout), stderr: text(&run.stderr) }
    }

    fn left(&self) -> String {
        self.shell("cd t; find . -mindepth 1 | sort | tr '\\n' ' '")
    }
}

/// Names of entries, and what a tar of them is.
const TARS: [(&[&str], &str); 9] = [
    (&["artifacts/", "devshm-checkpoint.tar", "config.dump", "spec.dump"], "a checkpoint archive"),
    (&["config.dump", "spec.dump", "checkpoint/", "checkpoint/inventory.img"], "a checkpoint archive"),
    (&["./", "./spec.dump", "./config.dump", "./rootfs-diff.tar"], "a checkpoint archive"),
    (&["checkpoint/", "checkpoint/cgroup.img", "checkpoint/core-1.img"], "a checkpoint archive"),
    (&["stats-dump", "dump.log", "checkpoint/", "checkpoint/pages-1.img"], "a checkpoint archive"),
    (&["rootfs-diff.tar", "deleted.files"], "a member stream"),
    (&["volumes/data.tar"], "a member stream"),
    (&["oci-layout", "index.json"], "a container image"),
    (
        &[
            "blobs/",
            "blobs/sha256/",
            "blobs/sha256/e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ],
        "a container image",
    ),
];

#[test]
fn a_tar_of_another_kind_is_refused_before_anything_is_written() {
    let place = Place::new();
    for (names, kind) in TARS {
        let tar = place.tar(names);
        for compress in ["cat", "gzip", "zstd", "xz"] {
            let run = place.apply(&[], &place.filter(compress, &tar));
            assert_eq!(run.code, Some(1), "{names:?} {compress}: {}", run.stderr);
            let message = format!("standard input: is {kind}, expected the changes of a root file system");
            assert!(run.stderr.contains(&message) && run.stderr.contains("\nhint: "), "{}", run.stderr);
            assert_eq!(place.left(), "", "{names:?} {compress}");
        }
        let run = place.apply(&["--any-tar"], &tar);
        assert_eq!(run.code, Some(0), "{names:?}: {}", run.stderr);
        assert!(place.left().contains(names[names.len() - 1].trim_start_matches("./").trim_end_matches('/')));
        place.shell("rm -r t; mkdir t");
    }
}

#[test]
fn names_of_members_alone_are_ordinary_files() {
    let place = Place::new();
    for names in [
        &["etc/", "config.dump"][..],
        &["checkpoint/", "checkpoint/model.pt", "srv/", "srv/spec.dump"],
        &["index.json", "manifest.json"],
        &["srv/", "srv/config.dump", "srv/spec.dump"],
    ] {
        let run = place.apply(&[], &place.tar(names));
        assert_eq!(run.code, Some(0), "{names:?}: {}", run.stderr);
        place.shell("rm -r t; mkdir t");
    }
}

#[test]
fn what_comes_late_is_reported_though_it_is_written() {
    let place = Place::new();
    place.tar(&["a", "config.dump", "spec.dump"]);
    place.shell("head -c 400000 /dev/urandom > tree/a; tar -C tree -cf late.tar a config.dump spec.dump");
    let run = place.apply(&[], &fs::read(place.path("late.tar")).unwrap());
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert!(
        run.stderr.contains("t: now holds files") && run.stderr.contains("checkpoint archive"),
        "{}",
        run.stderr
    );
}

#[test]
fn files_that_are_no_tar_are_named() {
    let place = Place::new();
    let tar = place.tar(&["a"]);
    let gzip = place.filter("gzip", &tar);
    for (input, what) in [
        (Vec::new(), "is empty, expected a tar"),
        (b"<!DOCTYPE html><html><body>Sign in</body></html>".to_vec(), "found an HTML page"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 1\n".to_vec(),
            "a Git LFS pointer",
        ),
        (b"age-encryption.org/v1\n-> X25519 x\n\xff\xfe".to_vec(), "found an age-encrypted file"),
        (b"-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n".to_vec(), "found an age-encrypted file"),
        (b"PK\x03\x04\x14\0\0\0".repeat(99), "found a zip archive"),
        (b"SQLite format 3\0".repeat(99), "found an SQLite database"),
        (b"{\"message\": \"Not Found\"}".to_vec(), "found a JSON document"),
        (b"No such container: web\n".to_vec(), "found text that begins with \"No such container: web\""),
        (fs::read(env!("CARGO_BIN_EXE_rootfs-diff")).unwrap()[..4096].to_vec(), "found an ELF program"),
        (place.filter("gzip", &gzip), "expected a tar inside the gzip stream, found gzip-compressed data"),
        (place.filter("zstd", &gzip), "expected a tar inside the zstd stream, found gzip-compressed data"),
        (place.filter("gzip", b""), "is empty, expected a tar"),
        (place.filter("xz", b"<html>"), "found an HTML page"),
    ] {
        for args in [&[][..], &["--members"]] {
            let run = place.apply(args, &input);
            assert_eq!(run.code, Some(1), "{what}");
            assert!(
                run.stderr.contains("standard input: ") && run.stderr.contains(what),
                "{what}: {}",
                run.stderr
            );
            assert_eq!(place.left(), "", "{what}");
        }
    }
}

/// What a layer does with the tree `old`, and what the tree is then.
const LAYER: &[&str] =
    &["d/", "d/.wh..wh..opq", "d/new", ".wh.gone", "e/", "e/.wh.sub", "e/sub/", "e/sub/new", ".wh..wh.plnk/"];

fn old(root: &Path) {
    for name in ["d/old", "d/sub/old", "e/old", "e/sub/old", "gone", "stays"] {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }
}

#[test]
fn a_layer_is_applied_as_one_in_any_order_and_compression() {
    let place = Place::new();
    let reversed: Vec<&str> = LAYER.iter().rev().copied().collect();
    let expected = "./d ./d/new ./e ./e/old ./e/sub ./e/sub/new ./stays ";
    for names in [LAYER, &reversed] {
        let tar = place.tar(names);
        for compress in ["cat", "gzip", "zstd", "bzip2"] {
            for args in [&[][..], &["--format", "oci"], &["--format=oci", "--deleted", "none"]] {
                fs::write(place.path("none"), "[]").unwrap();
                old(&place.path("t"));
                let input = place.filter(compress, &tar);
                let shown = place.apply(&[args, &["--dry-run"]].concat(), &input);
                assert!(
                    shown.stdout.contains("remove /gone\n") && !shown.stdout.contains(".wh."),
                    "{}",
                    shown.stdout
                );
                let run = place.apply(args, &input);
                assert_eq!(run.code, Some(0), "{}", run.stderr);
                assert_eq!(place.left(), expected, "{compress} {args:?}");
                place.shell("rm -r t; mkdir t");
            }
        }
    }
}

#[test]
fn an_opaque_root_hides_everything_below() {
    let place = Place::new();
    old(&place.path("t"));
    let run = place.apply(&[], &place.tar(&[".wh..wh..opq", "d/", "d/new"]));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(place.left(), "./d ./d/new ");
}

#[test]
fn the_layers_that_create_writes_are_applied_and_podmans_form_keeps_its_names() {
    let place = Place::new();
    old(&place.path("old"));
    place.shell("cp -a old new; rm -r new/gone new/d; mkdir new/d; touch new/d/new");
    let trees = ["--from", "old", "--to", "new"];
    let layer = place.create(&[&["create", "--format", "oci"], &trees[..]].concat());
    old(&place.path("t"));
    let run = place.apply(&[], &layer);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(place.shell("diff -r new t"), "");
    // A container may have a file of such a name.
    place.shell("rm -r t; mkdir t; touch new/.wh.stays");
    let members = place.create(&[&["create", "--members"], &trees[..]].concat());
    let diff = place.create(&[&["create", "--deleted", "list"], &trees[..]].concat());
    for (args, input) in [
        (&["--members"][..], &members),
        (&["--deleted", "list"], &diff),
        (&["--format", "podman", "--deleted", "list"], &diff),
        // The deletions in the tar say whose form it is.
        (&[], &diff),
    ] {
        old(&place.path("t"));
        let run = place.apply(args, input);
        assert_eq!(run.code, Some(0), "{args:?}: {}", run.stderr);
        assert_eq!(place.shell("diff -r new t"), "", "{args:?}");
        place.shell("rm -r t; mkdir t");
    }
}
