//! Checks that the tar of a tree is the same on every file system, and that the tar shares blocks
//! with the files if the file system supports this.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::host;

const TOOL: &str = env!("CARGO_BIN_EXE_vol-archive");

fn succeeds(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn sh(dir: &Path, script: &str) {
    succeeds(Command::new("sh").args(["-euc", script]).current_dir(dir));
}

/// Creates a tree with unsorted names, holes at multiples of every block size, links and xattrs.
fn plant(dir: &Path) {
    for i in [7u32, 300, 12, 99, 1, 250, 33] {
        fs::write(dir.join(format!("name-{i}")), vec![b'x'; i as usize * 50]).unwrap();
    }
    fs::create_dir_all(dir.join("d/e")).unwrap();
    fs::hard_link(dir.join("name-7"), dir.join("d/link")).unwrap();
    std::os::unix::fs::symlink("../name-7", dir.join("d/e/symlink")).unwrap();
    xattr::set(dir.join("name-99"), "user.z", b"1").unwrap();
    xattr::set(dir.join("name-99"), "user.a", b"2").unwrap();
    sh(
        dir,
        "truncate -s 8M sparse; dd if=/dev/urandom of=sparse bs=1M seek=3 count=1 conv=notrunc status=none
         cp --sparse=never /dev/null empty; chmod 640 name-1; mkfifo fifo",
    );
    fs::write(dir.join("sparse-seed"), "").unwrap();
}

#[ignore = "needs root"]
#[test]
fn the_same_bytes_on_ext4_xfs_btrfs_and_tmpfs() {
    host::own_mounts();
    let scratch = tempfile::tempdir().unwrap();
    let source = scratch.path().join("source");
    fs::create_dir(&source).unwrap();
    plant(&source);
    sh(scratch.path(), "find source -depth -exec touch -h -d '2021-03-04 05:06:07.123456789' {} +");
    let expected = succeeds(Command::new(TOOL).arg("create").arg(&source));
    for kind in ["ext4", "xfs", "btrfs", "tmpfs"] {
        let mounted = mount(scratch.path(), kind);
        let tree = mounted.join("tree");
        fs::create_dir(&tree).unwrap();
        sh(scratch.path(), &format!("cp -a --sparse=always -T source '{}'", tree.display()));
        let found = succeeds(Command::new(TOOL).arg("create").arg(&tree));
        sh(scratch.path(), &format!("umount '{}'", mounted.display()));
        assert!(found == expected, "{kind} gives another tar");
    }
}

#[ignore = "needs root"]
#[test]
fn an_archive_on_the_same_xfs_or_btrfs_shares_blocks() {
    host::own_mounts();
    let scratch = tempfile::tempdir().unwrap();
    for kind in ["xfs", "btrfs"] {
        let mounted = mount(scratch.path(), kind);
        let used = || {
            sh(&mounted, "sync -f .");
            let df = succeeds(Command::new("df").args(["--output=used", "-B1"]).arg(&mounted));
            let text = String::from_utf8(df).unwrap();
            text.lines().last().unwrap().trim().parse::<u64>().unwrap()
        };
        let tree = mounted.join("tree");
        fs::create_dir(&tree).unwrap();
        // The size of one file is not a multiple of the block size.
        sh(&tree, "head -c 32M /dev/urandom > a; head -c 20000001 /dev/urandom > b; head -c 7 a > c");
        let (before, archive) = (used(), mounted.join("out.tar"));
        succeeds(Command::new(TOOL).arg("create").arg(&tree).arg("-o").arg(&archive));
        let taken = used() - before;
        let piped = succeeds(Command::new(TOOL).arg("create").arg(&tree));
        assert!(fs::read(&archive).unwrap() == piped, "{kind}: another tar than through a pipe");
        sh(&mounted, "mkdir out; tar -xf out.tar -C out; diff -r tree out");
        sh(scratch.path(), &format!("umount '{}'", mounted.display()));
        assert!(taken < 4 << 20, "{kind}: {taken} bytes more on the disk");
    }
}

/// Creates a file system of 512 MiB and mounts it below `scratch`.
fn mount(scratch: &Path, kind: &str) -> PathBuf {
    let (image, mounted) = (scratch.join(kind), scratch.join(format!("{kind}.mounted")));
    fs::create_dir(&mounted).unwrap();
    let make = match kind {
        "tmpfs" => format!("mount -t tmpfs tmpfs '{}'", mounted.display()),
        _ => format!(
            "truncate -s 512M '{0}'; mkfs.{kind} -q '{0}'; mount -o loop '{0}' '{1}'",
            image.display(),
            mounted.display()
        ),
    };
    sh(scratch, &make);
    mounted
}
