//! Counts the system calls of a run. Unlike a duration, the count does not depend on other load.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::sys::resource::{UsageWho, getrusage};
use nix::unistd::syncfs;

/// Returns the system calls of `tool` with `args`, one per line; `input` is its standard input.
/// Calls of the prefetching thread are left out: their number depends on the page cache.
///
/// # Panics
/// Panics if strace cannot run (see tests/prerequisites), or if the tool fails.
pub fn calls<A: AsRef<OsStr>>(
    tool: &str,
    args: impl IntoIterator<Item = A>,
    input: Option<&Path>,
) -> Vec<String> {
    let mut calls = trace(tool, args, input);
    calls.retain(|call| !call.contains("<prefetch> "));
    calls
}

/// Returns the system calls of all threads, each with the name of its thread.
fn trace<A: AsRef<OsStr>>(
    tool: &str,
    args: impl IntoIterator<Item = A>,
    input: Option<&Path>,
) -> Vec<String> {
    let log = tempfile::NamedTempFile::new().expect("a temporary file");
    let status = Command::new("strace")
        .args(["-f", "--decode-pids=comm", "-o"])
        .arg(log.path())
        .arg(tool)
        .args(args)
        .stdin(input.map_or_else(Stdio::null, |path| File::open(path).expect("the input").into()))
        .stdout(Stdio::null())
        .status()
        .expect("strace: see tests/prerequisites");
    assert!(status.success(), "{tool}: {status}");
    let log = fs::read_to_string(log.path()).expect("strace writes text");
    // `???` is a thread that the end of the process interrupts before strace has read its call.
    let is_call = |line: &str| line.contains('(') && !line.contains("resumed>") && !line.contains("???(");
    let counts = |line: &&str| is_call(line);
    // Debug builds of the standard library query a descriptor's flags before they close it.
    log.lines().filter(counts).filter(|line| !line.contains("F_GETFD")).map(str::to_owned).collect()
}

/// Checks that `tool` with `args` prefetches many of the files below `tree` if they are not in the
/// page cache, and none if they are. On a tmpfs nothing can be checked.
///
/// # Panics
/// Panics if the tool prefetches otherwise, or if the tree cannot be read.
pub fn assert_read_ahead(tree: &Path, tool: &str, args: &[&str]) {
    let files = files(tree);
    // The kernel does not evict dirty pages.
    syncfs(File::open(tree).expect("the tree")).expect("to sync");
    if !evict(&files) {
        eprintln!("not run: {} is on a file system in memory", tree.display());
        return;
    }
    let prefetched = || trace(tool, args, None).iter().filter(|call| call.contains("fadvise64(")).count();
    // The prefetching thread skips files that the main thread has already reached. Under strace on
    // a busy machine, the main thread may reach all files first, so some runs may not prefetch.
    let some = (0..5).any(|_| {
        evict(&files);
        (files.len() / 6..=files.len()).contains(&prefetched())
    });
    assert!(some, "no file is prefetched");
    assert!((0..5).any(|_| prefetched() == 0), "a file in the page cache is prefetched");
}

/// Evicts `files` from the page cache. Returns whether reading a file then accesses a disk.
fn evict(files: &[PathBuf]) -> bool {
    let evict = || {
        for path in files {
            let file = File::open(path).expect("a file");
            posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED).expect("to be heard");
        }
    };
    let read = || getrusage(UsageWho::RUSAGE_THREAD).expect("the usage").block_reads();
    evict();
    let before = read();
    fs::read(&files[0]).expect("a file");
    let needed = read() > before;
    evict();
    needed
}

/// Returns the regular files below `dir`.
fn files(dir: &Path) -> Vec<PathBuf> {
    let below = |entry: fs::DirEntry| match entry.file_type().expect("its type") {
        kind if kind.is_dir() => files(&entry.path()),
        kind if kind.is_file() => vec![entry.path()],
        _ => Vec::new(),
    };
    fs::read_dir(dir).expect("a directory").flat_map(|entry| below(entry.expect("an entry"))).collect()
}
