//! Counts the system calls of a diff as the root file system and the number of changes grow.

use std::fs::{self, hard_link};
use std::path::Path;
use std::process::Command;

use harness::{calls, host};
use nix::mount::{MsFlags, mount, umount};

const TOOL: &str = env!("CARGO_BIN_EXE_rootfs-diff");
/// Number of files in each directory of the lower layer.
const EACH: usize = 10;

struct Overlay(tempfile::TempDir);

impl Overlay {
    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        umount(&self.path().join("m")).unwrap();
    }
}

/// Mounts an overlay over a lower layer of `files` files. In the overlay, `changes` files are
/// written, the same number is removed, and the same number is added, all in existing directories.
fn overlay(files: usize, changes: usize) -> Overlay {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: String| dir.path().join(name);
    for name in ["upper", "work", "m"] {
        fs::create_dir(at(name.into())).unwrap();
    }
    for i in 0..files {
        fs::create_dir_all(at(format!("lower/d{}", i / EACH))).unwrap();
        fs::write(at(format!("lower/d{}/file_{i}", i / EACH)), vec![b'x'; 1000 + i % 3000]).unwrap();
    }
    let data = ["lower", "upper", "work"].map(|name| format!("{name}dir={}", at(name.into()).display()));
    mount(Some("overlay"), &at("m".into()), Some("overlay"), MsFlags::empty(), Some(&data.join(",")[..]))
        .unwrap();
    for i in 0..changes {
        let (parent, first) = (i, i * EACH);
        fs::write(at(format!("m/d{parent}/file_{first}")), "changed").unwrap();
        fs::remove_file(at(format!("m/d{parent}/file_{}", first + 1))).unwrap();
        fs::write(at(format!("m/d{parent}/new_{i}")), "new").unwrap();
    }
    Overlay(dir)
}

fn diff(dir: &Path) -> Vec<String> {
    calls(TOOL, ["create", "--members", "--rootfs", dir.join("m").to_str().unwrap()], None)
}

/// Returns the system calls of a comparison of two trees.
fn trees(dir: &Path, from: &str, to: &str, more: &[&str]) -> Vec<String> {
    let (from, to) = (dir.join(from), dir.join(to));
    let args = ["create", "--members", "--from", from.to_str().unwrap(), "--to", to.to_str().unwrap()];
    calls(TOOL, args.iter().chain(more), None)
}

/// Returns how often a file whose name begins with `name` was opened.
fn opened(all: &[String], name: &str) -> usize {
    let named = |call: &str| call.contains(&format!("\"{name}")) || call.contains(&format!("/{name}"));
    all.iter().filter(|call| call.contains("openat") && named(call)).count()
}

#[ignore = "needs root"]
#[test]
fn changed_files_are_prefetched_only_if_the_cache_is_cold() {
    host::own_mounts();
    let overlay = overlay(10, 1);
    for i in 0..600 {
        fs::write(overlay.path().join(format!("m/new_{i}")), vec![b'x'; 1000 + i % 3000]).unwrap();
    }
    let root = overlay.path().join("m");
    let args = ["create", "--members", "--rootfs", root.to_str().unwrap()];
    harness::assert_read_ahead(&overlay.path().join("upper"), TOOL, &args);
}

#[ignore = "needs root"]
#[test]
fn the_cost_of_an_overlay_grows_only_with_its_changes() {
    host::own_mounts();
    let [few, large, many] = [(300, 20), (3000, 20), (3000, 200)]
        .map(|(files, changes)| diff(overlay(files, changes).path()).len());
    // The number of getdents(2) calls for a directory varies slightly.
    assert!(large.abs_diff(few) * 50 <= few, "{few} calls with 300 files below, {large} with 3000");
    assert!(many <= few * 11, "{few} calls for 60 changes, {many} for 600");
    // A directory takes two statx, its xattrs in both trees, its listing, and a descriptor of the
    // directory. A file takes statx in both trees, its xattrs, open, statx, read and close. A
    // removed file takes two statx.
    let each = (many - large) as f64 / 180.0;
    assert!(each <= 29.5, "{each} calls for a directory, two files and a deletion");
}

/// A new file with all its names in the upper directory needs no walk of the old tree.
#[ignore = "needs root"]
#[test]
fn names_of_complete_hard_links_are_not_searched() {
    host::own_mounts();
    let [few, many] = [100, 1000].map(|files| {
        let overlay = overlay(files, 1);
        fs::write(overlay.path().join("m/one"), "").unwrap();
        hard_link(overlay.path().join("m/one"), overlay.path().join("m/two")).unwrap();
        diff(overlay.path()).len()
    });
    assert!(many.abs_diff(few) < 50, "{few} calls with 100 files below, {many} with 1000");
}

#[ignore = "needs root"]
#[test]
fn unchanged_lower_files_of_an_overlay_are_not_opened() {
    host::own_mounts();
    let dir = overlay(200, 5);
    let all = trees(dir.path(), "lower", "m", &[]);
    // Only the changed files are opened, when the diff is written. Their size shows the change, so
    // the comparison does not open them.
    assert_eq!((opened(&all, "file_"), opened(&all, "new_")), (5, 5), "{all:#?}");
}

#[test]
fn an_inode_that_both_trees_share_is_not_opened() {
    let dir = tempfile::tempdir().unwrap();
    for tree in ["a", "b"] {
        fs::create_dir(dir.path().join(tree)).unwrap();
    }
    for name in ["file_1", "file_2"] {
        fs::write(dir.path().join("a").join(name), "content").unwrap();
        hard_link(dir.path().join("a").join(name), dir.path().join("b").join(name)).unwrap();
    }
    let all = trees(dir.path(), "a", "b", &[]);
    assert_eq!(opened(&all, "file_"), 0, "{all:#?}");
}

#[test]
fn with_trust_mtime_unchanged_files_are_not_opened() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("a")).unwrap();
    for i in 0..50 {
        fs::write(dir.path().join(format!("a/file_{i}")), "content").unwrap();
    }
    let copied = Command::new("cp").args(["-a", "a", "b"]).current_dir(dir.path()).status().unwrap();
    assert!(copied.success());
    fs::write(dir.path().join("b/file_7"), "CONTENT").unwrap();
    assert_eq!(opened(&trees(dir.path(), "a", "b", &["--trust-mtime"]), "file_"), 1);
    // 49 files are opened in both trees to compare them, and one file is opened to archive it.
    assert_eq!(opened(&trees(dir.path(), "a", "b", &[]), "file_"), 49 * 2 + 1);
}
