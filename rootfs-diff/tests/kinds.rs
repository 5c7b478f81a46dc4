//! Checks which input `apply` accepts: it refuses input that is not a diff, reports the kind of
//! that input, and reads diffs in every form and compression.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A temporary directory with the target directory `t`.
struct Workspace {
    dir: tempfile::TempDir,
}

struct Run {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Workspace {
    fn new() -> Workspace {
        let workspace = Workspace { dir: tempfile::tempdir().unwrap() };
        fs::create_dir(workspace.path("t")).unwrap();
        workspace
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn shell(&self, command: &str) -> String {
        let run = Command::new("bash").args(["-ec", command]).current_dir(self.dir.path()).output().unwrap();
        assert!(run.status.success(), "{command}: {}", String::from_utf8_lossy(&run.stderr));
        String::from_utf8(run.stdout).unwrap()
    }

    /// Returns a tar of empty files and directories with these names, in this order.
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
        // Writes small pieces, as a slow producer does. The tool may exit before the end.
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

/// Names of entries, and the kind of tar that they suggest.
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
fn a_tar_of_another_kind_is_refused_before_any_write() {
    let workspace = Workspace::new();
    for (names, kind) in TARS {
        let tar = workspace.tar(names);
        for compress in ["cat", "gzip", "zstd", "xz"] {
            let run = workspace.apply(&[], &workspace.filter(compress, &tar));
            assert_eq!(run.code, Some(1), "{names:?} {compress}: {}", run.stderr);
            let message = format!("standard input: is {kind}, expected the changes of a root file system");
            assert!(run.stderr.contains(&message) && run.stderr.contains("\nhint: "), "{}", run.stderr);
            assert_eq!(workspace.left(), "", "{names:?} {compress}");
        }
        let run = workspace.apply(&["--any-tar"], &tar);
        assert_eq!(run.code, Some(0), "{names:?}: {}", run.stderr);
        assert!(
            workspace.left().contains(names[names.len() - 1].trim_start_matches("./").trim_end_matches('/'))
        );
        workspace.shell("rm -r t; mkdir t");
    }
}

#[test]
fn a_single_name_of_a_member_is_an_ordinary_file() {
    let workspace = Workspace::new();
    for names in [
        &["etc/", "config.dump"][..],
        &["checkpoint/", "checkpoint/model.pt", "srv/", "srv/spec.dump"],
        &["index.json", "manifest.json"],
        &["srv/", "srv/config.dump", "srv/spec.dump"],
    ] {
        let run = workspace.apply(&[], &workspace.tar(names));
        assert_eq!(run.code, Some(0), "{names:?}: {}", run.stderr);
        workspace.shell("rm -r t; mkdir t");
    }
}

#[test]
fn names_of_members_after_other_files_are_reported() {
    let workspace = Workspace::new();
    workspace.tar(&["a", "config.dump", "spec.dump"]);
    workspace.shell("head -c 400000 /dev/urandom > tree/a; tar -C tree -cf late.tar a config.dump spec.dump");
    let run = workspace.apply(&[], &fs::read(workspace.path("late.tar")).unwrap());
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert!(
        run.stderr.contains("t: now holds files") && run.stderr.contains("checkpoint archive"),
        "{}",
        run.stderr
    );
}

#[test]
fn input_that_is_not_a_tar_is_named() {
    let workspace = Workspace::new();
    let tar = workspace.tar(&["a"]);
    let gzip = workspace.filter("gzip", &tar);
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
        (
            workspace.filter("gzip", &gzip),
            "expected a tar inside the gzip stream, found gzip-compressed data",
        ),
        (
            workspace.filter("zstd", &gzip),
            "expected a tar inside the zstd stream, found gzip-compressed data",
        ),
        (workspace.filter("gzip", b""), "is empty, expected a tar"),
        (workspace.filter("xz", b"<html>"), "found an HTML page"),
    ] {
        for args in [&[][..], &["--members"]] {
            let run = workspace.apply(args, &input);
            assert_eq!(run.code, Some(1), "{what}");
            assert!(
                run.stderr.contains("standard input: ") && run.stderr.contains(what),
                "{what}: {}",
                run.stderr
            );
            assert_eq!(workspace.left(), "", "{what}");
        }
    }
}

/// The entries of a layer for the tree that `old` creates.
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
fn a_layer_is_applied_in_any_order_and_compression() {
    let workspace = Workspace::new();
    let reversed: Vec<&str> = LAYER.iter().rev().copied().collect();
    let expected = "./d ./d/new ./e ./e/old ./e/sub ./e/sub/new ./stays ";
    for names in [LAYER, &reversed] {
        let tar = workspace.tar(names);
        for compress in ["cat", "gzip", "zstd", "bzip2"] {
            for args in [&[][..], &["--format", "oci"], &["--format=oci", "--deleted", "none"]] {
                fs::write(workspace.path("none"), "[]").unwrap();
                old(&workspace.path("t"));
                let input = workspace.filter(compress, &tar);
                let shown = workspace.apply(&[args, &["--dry-run"]].concat(), &input);
                assert!(
                    shown.stdout.contains("remove /gone\n") && !shown.stdout.contains(".wh."),
                    "{}",
                    shown.stdout
                );
                let run = workspace.apply(args, &input);
                assert_eq!(run.code, Some(0), "{}", run.stderr);
                assert_eq!(workspace.left(), expected, "{compress} {args:?}");
                workspace.shell("rm -r t; mkdir t");
            }
        }
    }
}

#[test]
fn an_opaque_root_hides_all_old_content() {
    let workspace = Workspace::new();
    old(&workspace.path("t"));
    let run = workspace.apply(&[], &workspace.tar(&[".wh..wh..opq", "d/", "d/new"]));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(workspace.left(), "./d ./d/new ");
}

#[test]
fn layers_and_podman_diffs_of_create_are_applied() {
    let workspace = Workspace::new();
    old(&workspace.path("old"));
    workspace.shell("cp -a old new; rm -r new/gone new/d; mkdir new/d; touch new/d/new");
    let trees = ["--from", "old", "--to", "new"];
    let layer = workspace.create(&[&["create", "--format", "oci"], &trees[..]].concat());
    old(&workspace.path("t"));
    let run = workspace.apply(&[], &layer);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(workspace.shell("diff -r new t"), "");
    // A container may have a file with the name of a whiteout.
    workspace.shell("rm -r t; mkdir t; touch new/.wh.stays");
    let members = workspace.create(&[&["create", "--members"], &trees[..]].concat());
    let diff = workspace.create(&[&["create", "--deleted", "list"], &trees[..]].concat());
    for (args, input) in [
        (&["--members"][..], &members),
        (&["--deleted", "list"], &diff),
        (&["--format", "podman", "--deleted", "list"], &diff),
        // The deletions in the tar show that it is a diff for podman.
        (&[], &diff),
    ] {
        old(&workspace.path("t"));
        let run = workspace.apply(args, input);
        assert_eq!(run.code, Some(0), "{args:?}: {}", run.stderr);
        assert_eq!(workspace.shell("diff -r new t"), "", "{args:?}");
        workspace.shell("rm -r t; mkdir t");
    }
}
