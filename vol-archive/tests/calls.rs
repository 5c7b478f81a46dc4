//! Counts the system calls, the instructions and the memory for each file. A busy machine does not
//! change these numbers.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

const TOOL: &str = env!("CARGO_BIN_EXE_vol-archive");

/// Creates `files` small files, twenty in each directory.
fn tree(files: usize) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for i in 0..files {
        let parent = dir.path().join(format!("d{}", i / 20));
        if i % 20 == 0 {
            fs::create_dir(&parent).unwrap();
        }
        fs::write(parent.join(format!("file_{i}")), vec![b'x'; 1000 + i % 3000]).unwrap();
    }
    dir
}

fn calls(args: &[&str], input: Option<&Path>) -> Vec<String> {
    harness::calls(TOOL, args, input)
}

/// Returns the number of calls for each of `more - fewer` files.
fn per_file(fewer: usize, more: usize, run: impl Fn(&Path) -> usize) -> f64 {
    let [few, many] = [fewer, more].map(|files| run(tree(files).path()));
    let each = (many - few) as f64 / (more - fewer) as f64;
    assert!(many <= few * 11 * more / fewer / 10, "{few} calls for {fewer} files, {many} for {more}");
    each
}

fn arg(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[ignore = "needs strace"]
#[test]
fn a_file_is_archived_with_five_calls() {
    // Each file takes open, statx, flistxattr, read and close, a twentieth of the calls for a
    // directory, and its share of the write of a full buffer.
    let out = tempfile::tempdir().unwrap();
    let tar = out.path().join("tar");
    for output in ["-", arg(&tar)] {
        let each = per_file(100, 1000, |dir| calls(&["create", arg(dir), "-o", output], None).len());
        assert!(each <= 5.5, "{each} calls a file");
    }
}

#[ignore = "needs strace"]
#[test]
fn a_file_of_a_member_is_archived_with_six_calls() {
    // The first pass finds the size: statx, listxattrat (llistxattr before Linux 6.13). The second
    // pass calls open, statx, read, close.
    let each =
        per_file(100, 1000, |dir| calls(&["create", "--members", &format!("a={}", arg(dir))], None).len());
    assert!(each <= 6.6, "{each} calls a file");
}

#[ignore = "needs strace"]
#[test]
fn a_file_is_extracted_with_five_calls() {
    // Each file takes open, pwrite, statx, utimensat and close, and sometimes a futex that wakes
    // the worker thread.
    let each = per_file(100, 1000, |dir| {
        let tar = tempfile::NamedTempFile::new().unwrap();
        let made = Command::new(TOOL).args(["create", arg(dir), "-o", arg(tar.path())]).status().unwrap();
        assert!(made.success());
        let out = tempfile::tempdir().unwrap();
        calls(&["extract", arg(out.path())], Some(tar.path())).len()
    });
    assert!(each <= 6.0, "{each} calls a file");
}

#[ignore = "needs strace"]
#[test]
fn files_are_prefetched_only_if_the_cache_is_cold() {
    // The tree has enough files for the prefetching thread to start long before the end, even under
    // strace.
    let dir = tree(600);
    let volume = format!("a={}", arg(dir.path()));
    for args in [&["create", arg(dir.path())][..], &["create", "--members", &volume]] {
        harness::assert_read_ahead(dir.path(), TOOL, args);
    }
}

#[ignore = "needs strace"]
#[test]
fn the_kernel_copies_a_large_file_out_of_the_archive() {
    let dir = tempfile::tempdir().unwrap();
    let [tree, tar, out] = ["tree", "tar", "out"].map(|name| dir.path().join(name));
    fs::create_dir(&tree).unwrap();
    let content: Vec<u8> = (0..3_000_001u32).flat_map(|i| (i ^ i >> 7).to_le_bytes()).collect();
    fs::write(tree.join("large"), &content).unwrap();
    let made = Command::new(TOOL).args(["create", arg(&tree), "-o", arg(&tar)]).status().unwrap();
    assert!(made.success());
    let all = calls(&["extract", arg(&out)], Some(&tar));
    assert!(fs::read(out.join("large")).unwrap() == content);
    // XFS and Btrfs share complete blocks.
    let moved = all
        .iter()
        .any(|call| call.contains("splice(") || call.contains("FICLONERANGE") && call.ends_with("= 0"));
    let written: usize = all
        .iter()
        .filter(|call| call.contains("write64("))
        .filter_map(|call| call.rsplit("= ").next()?.parse::<usize>().ok())
        .sum();
    assert!(moved && written < 1 << 20, "{written} bytes were written");
    // The archive comes from a pipe.
    fs::remove_dir_all(&out).unwrap();
    let mut child = Command::new(TOOL).args(["extract", arg(&out)]).stdin(Stdio::piped()).spawn().unwrap();
    std::io::copy(&mut fs::File::open(&tar).unwrap(), &mut child.stdin.take().unwrap()).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(fs::read(out.join("large")).unwrap() == content);
}

#[ignore = "needs strace"]
#[test]
fn below_the_root_nothing_is_opened_by_path() {
    let dir = tree(40);
    let out = tempfile::tempdir().unwrap();
    let tar = out.path().join("tar");
    assert!(
        Command::new(TOOL).args(["create", arg(dir.path()), "-o", arg(&tar)]).status().unwrap().success()
    );
    let target = out.path().join("target");
    fs::create_dir(&target).unwrap();
    for (args, input, root) in [
        (["create", arg(dir.path())], None, dir.path()),
        (["extract", arg(&target)], Some(tar.as_path()), target.as_path()),
    ] {
        let all = calls(&args, input);
        let named: Vec<_> = all.iter().filter(|call| call.contains(arg(root))).collect();
        // execve starts the program, statx, mkdir and readlink check what the root is, and one call
        // opens the root.
        let others = ["execve(", "statx(", "mkdir(", "readlink("];
        let opened = named.iter().filter(|call| !others.iter().any(|name| call.contains(name))).count();
        assert_eq!(opened, 1, "{named:#?}");
        let files: Vec<_> = all.iter().filter(|call| call.contains("file_")).collect();
        assert!(files.len() >= 40);
        for call in files {
            assert!(!call.contains("AT_FDCWD") && !call.contains('/'), "{call}");
            let opens = call.contains("openat(");
            assert!(!opens || call.contains("O_NOFOLLOW"), "{call}");
        }
    }
}

/// Returns the number of instructions of the tool with `args`.
fn instructions(args: &[&str], input: Option<&Path>) -> u64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", TOOL])
        .args(args)
        .stdin(input.map_or_else(Stdio::null, |path| fs::File::open(path).unwrap().into()))
        .stdout(Stdio::null())
        .output()
        .expect("valgrind: see tests/prerequisites");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text}");
    let (_, collected) = text.lines().find_map(|line| line.split_once("Collected : ")).unwrap();
    collected.trim().parse().unwrap()
}

#[ignore = "needs valgrind"]
#[test]
fn ten_times_the_files_take_ten_times_the_instructions() {
    let both = |files: usize| {
        let dir = tree(files);
        let create = ["create", arg(dir.path())];
        // The trees have no subdirectories, since valgrind does not support openat2(2), which opens
        // directories.
        let (flat, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for i in 0..files {
            fs::write(flat.path().join(format!("file_{i}")), vec![b'x'; 1000 + i % 3000]).unwrap();
        }
        let tar = out.path().join("tar");
        let made = Command::new(TOOL).args(["create", arg(flat.path()), "-o", arg(&tar)]).status().unwrap();
        assert!(made.success());
        let target = out.path().join("tree");
        let extract = ["extract", arg(&target)];
        [instructions(&create, None), instructions(&extract, Some(&tar))]
    };
    let (few, many) = (both(100), both(1000));
    for (what, few, many) in [("create", few[0], many[0]), ("extract", few[1], many[1])] {
        assert!(many <= few * 11, "{what}: {few} instructions for 100 files, {many} for 1000");
    }
}

#[ignore = "needs GNU time"]
#[test]
fn memory_grows_by_a_hundred_bytes_a_file_at_most() {
    let peak = |dir: &tempfile::TempDir, members: bool| {
        let operand = format!("a={}", arg(dir.path()));
        let args =
            if members { vec!["create", "--members", &operand] } else { vec!["create", arg(dir.path())] };
        // GNU time is a small process, so the peak memory that it reports is the tool's.
        let output = Command::new("/usr/bin/time")
            .args(["-f", "%M", TOOL])
            .args(args)
            .stdout(Stdio::null())
            .output()
            .expect("time: see tests/prerequisites");
        assert!(output.status.success());
        String::from_utf8(output.stderr).unwrap().trim().parse::<u64>().unwrap() * 1024
    };
    // How the two threads take turns adds up to 350 KiB to a run, so the smallest of five counts.
    let smallest = |dir, members| (0..5).map(|_| peak(dir, members)).min().expect("five runs");
    // Both trees are large enough for the worker thread to write the tar.
    let (thousand, ten_thousand) = (tree(1000), tree(10_000));
    for members in [false, true] {
        let (few, many) = (smallest(&thousand, members), smallest(&ten_thousand, members));
        assert!(many <= few + 9000 * 100, "{few} bytes for 1000 files, {many} for 10000");
        assert!(many < 16 << 20, "{many} bytes");
    }
}
