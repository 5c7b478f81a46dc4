//! Lists the changes in checkpoint archives of every engine, with and without the root file system
//! of the image.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Returns an archive of the tests of ckpt-unpack.
fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../ckpt-unpack/tests/data").join(name)
}

fn list(args: &[&str], archive: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rootfs-diff"));
    command.arg("list").args(args).arg("--archive").arg(archive).env("NO_COLOR", "1");
    command.output().unwrap()
}

#[track_caller]
fn listed(args: &[&str], archive: &Path) -> String {
    let output = list(args, archive);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), &*stderr), (Some(0), ""), "{args:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Creates the root file system of an image.
fn image(dir: &Path) -> String {
    for (name, content) in [
        ("tmp/counter", "0\n"),
        ("etc/passwd", "root:x:0:0\n"),
        ("app/settings", "default\n"),
        ("app/cache/old", "old\n"),
        ("app/cache/older", "older\n"),
        ("app/deleted", "text\n"),
        ("usr/share/doc/x", "x\n"),
    ] {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    fs::set_permissions(dir.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
    dir.to_str().unwrap().to_owned()
}

/// Packs the directory `dir` as an archive with the diff `diff`.
fn archive(dir: &Path, script: &str) -> PathBuf {
    let script = format!(
        "mkdir -p a t; cd t; {script}
         cd ..; printf '{{}}' >a/config.dump; printf '{{}}' >a/spec.dump; tar -C a -cf a.tar $(ls a)"
    );
    let run = Command::new("bash").args(["-ec", &script]).current_dir(dir).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    dir.join("a.tar")
}

#[test]
fn archives_of_all_engines_are_listed() {
    let podman = "C /etc/passwd\nC /new/a/b\nC /new/a/c\nC /new/a/l\nC /new/fifo\nC /tmp/counter\n";
    for (name, expected) in [
        ("g06-bridge.tar.xz", "C /tmp/counter\n"),
        ("g22-image.oci.tar", "C /fix/new\nC /tmp/counter\n"),
        ("g12-diff-deletes.tar.xz", podman),
        (
            "g30-containerd-cri.tar.xz",
            "C /app/cache/new\nD /app/cache/old\nD /app/cache/older\nD /app/deleted\nC /app/settings\n\
             C /etc/hostname\nC /etc/hosts\nC /etc/resolv.conf\nC /tmp/counter\n",
        ),
        // The list has /app/cache too, which was deleted and created again.
        ("g31-cri-o.tar.xz", "C /app/cache/new\nD /app/deleted\nC /etc/mtab\nC /tmp/counter\n"),
    ] {
        let text = listed(&["-q"], &golden(name));
        let without_deletions: String =
            text.lines().filter(|line| !line.starts_with('D')).map(|line| format!("{line}\n")).collect();
        match name {
            "g12-diff-deletes.tar.xz" => assert_eq!(without_deletions, expected, "{name}"),
            _ => assert_eq!(text, expected, "{name}"),
        }
    }
    let hinted = list(&[], &golden("g06-bridge.tar.xz"));
    assert!(String::from_utf8_lossy(&hinted.stderr).starts_with("hint: to tell added files"));
}

#[test]
fn added_changed_and_deleted_files_are_told_apart_with_the_image() {
    let dir = tempfile::tempdir().unwrap();
    let image = image(dir.path());
    let containerd = golden("g30-containerd-cri.tar.xz");
    let text = listed(&["--rootfs", &image, "--exclude", "/etc"], &containerd);
    // Without root, the directories of the image belong to another user.
    let lines = text.lines().filter(|line| !line.starts_with("C ") || line.matches('/').count() > 1);
    let lines: Vec<_> = lines.filter(|line| *line != "C /app/cache").collect();
    let expected = [
        "A /app/cache/new",
        "D /app/cache/old",
        "D /app/cache/older",
        "D /app/deleted",
        "C /app/settings",
        "C /tmp/counter",
    ];
    assert_eq!(lines, expected);
    let patch = listed(&["--rootfs", &image, "--exclude", "/etc", "--patch"], &containerd);
    for part in [
        "--- a/app/settings\n+++ b/app/settings\n@@ -1 +1 @@\n-default\n+",
        "--- /dev/null\n+++ b/app/cache/new\n@@ -0,0 +1 @@\n+",
        "--- a/app/deleted\n+++ /dev/null\n@@ -1 +0,0 @@\n-text\n",
    ] {
        assert!(patch.contains(part), "{part}: {patch}");
    }
    let json = listed(&["--rootfs", &image, "--json"], &containerd);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert!(json.as_array().unwrap().iter().any(|c| c["path"] == "/app/deleted" && c["change"] == "deleted"));
    let tree = listed(&["--rootfs", &image, "--exclude", "/etc", "--tree"], &containerd);
    assert!(tree.contains("           6 A       new\n           4 D       old\n"), "{tree}");
}

#[test]
fn recreated_and_opaque_directories_hide_files_of_the_image() {
    for (what, script) in [
        (
            "podman",
            r#"mkdir -p app/cache; echo n >app/cache/new; tar -cf ../a/rootfs-diff.tar app/cache
            echo '["/app/cache"]' >../a/deleted.files"#,
        ),
        (
            "layer",
            "mkdir -p app/cache; echo n >app/cache/new; touch app/cache/.wh..wh..opq
            tar -czf ../a/rootfs-diff.tar app/cache",
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let archive = archive(dir.path(), script);
        let image = image(&dir.path().join("image"));
        let text = listed(&["--rootfs", &image], &archive);
        let text: Vec<_> = text.lines().filter(|line| !line.starts_with("C ")).collect();
        assert_eq!(text, ["A /app/cache/new", "D /app/cache/old", "D /app/cache/older"], "{what}");
    }
}

#[test]
fn names_of_whiteouts_are_files_if_there_is_a_deletion_list() {
    let dir = tempfile::tempdir().unwrap();
    let archive = archive(
        dir.path(),
        r#"touch .wh.x; tar -cf ../a/rootfs-diff.tar .wh.x; echo '["/gone"]' >../a/deleted.files"#,
    );
    assert_eq!(listed(&["-q"], &archive), "C /.wh.x\nD /gone\n");
}

#[test]
fn what_cannot_be_listed_is_reported() {
    let archive = golden("g06-bridge.tar.xz");
    for (args, status, message) in [
        (
            &["--patch"][..],
            2,
            "--patch compares the archive with the root file system of the image\nhint: add --rootfs",
        ),
        (&["--rootfs", "/nonexistent"], 1, "/nonexistent: No such file"),
        (&["--from", "/", "--to", "/"], 2, "cannot be used with"),
        (&["--trust-mtime"], 2, "cannot be used with"),
        (&["--tree", "--json"], 2, "cannot be used with"),
        (&["--tag", "x"], 2, "is not an OCI image"),
        (&["--exclude", "nothing"], 0, "--exclude nothing: matches nothing"),
    ] {
        let output = list(args, &archive);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{args:?}: {stderr}");
        assert!(stderr.contains(message), "{args:?}: {stderr}");
    }
    let output = list(&[], &golden("g10-ignore-rootfs.tar.xz"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(0), &b""[..]), "{stderr}");
    assert!(stderr.contains("rootfs-diff.tar: not in the archive"), "{stderr}");
    let output = list(&[], Path::new("/etc/passwd"));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_patch_on_a_terminal_has_no_control_characters_of_files() {
    let dir = tempfile::tempdir().unwrap();
    let root = image(&dir.path().join("image"));
    let text = r"mkdir app; printf '\033[31mred\tx\n\342\200\256\302\233\n' >app/new; tar -cf ../a/rootfs-diff.tar app";
    let archive = archive(dir.path(), text);
    let (tool, archive) = (env!("CARGO_BIN_EXE_rootfs-diff"), archive.display());
    let command = format!("{tool} -q list --patch --rootfs {root} --archive {archive}");
    // script(1) runs the command on a terminal.
    let output = Command::new("script").args(["-qec", &command, "/dev/null"]).output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.contains("+\\x1b[31mred\tx\r\n+\\u{202e}\\x9b\r\n"), "{shown:?}");
    let plain = listed(&["-q", "--patch", "--rootfs", &root], &dir.path().join("a.tar"));
    assert!(plain.contains("+\x1b[31mred\tx\n+\u{202e}\u{9b}\n"), "{plain:?}");
}
