//! What a run costs in system calls: a number that a busy machine does not change.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::sys::resource::{UsageWho, getrusage};
use nix::unistd::syncfs;

/// The system calls of `tool` with `args`, one a line; `input` is its standard input. What is read ahead is left out: it
/// depends on what the kernel has forgotten, be it the program itself.
///
/// # Panics
/// When strace cannot run (see tests/prerequisites), or the tool fails.
pub fn calls<A: AsRef<OsStr>>(
    tool: &str,
    args: impl IntoIterator<Item = A>,
    input: Option<&Path>,
) -> Vec<String> {
    let mut calls = trace(tool, args, input);
    calls.retain(|call| !call.contains("<read-ahead> "));
    calls
}

/// The system calls of all threads, each with the name of its thread.
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
    let counts = |line: &&str| line.contains('(') && !line.contains("resumed>");
    // Debug builds ask for a descriptor's flags before they close it.
    log.lines().filter(counts).filter(|line| !line.contains("F_GETFD")).map(str::to_owned).collect()
}

/// Sees that `tool` with `args` asks for many of the files below `tree` before it reads them when the kernel has forgotten them,
/// and for none when it has not. Where no disk is below them there is nothing to see.
///
/// # Panics
/// When it does not, or the tree cannot be read.
pub fn assert_read_ahead(tree: &Path, tool: &str, args: &[&str]) {
    let files = files(tree);
    // What is not on the disk yet is not forgotten.
    syncfs(File::open(tree).expect("the tree")).expect("to sync");
    if !forget(&files) {
        eprintln!("not run: {} is in memory", tree.display());
        return;
    }
    let asked = || trace(tool, args, None).iter().filter(|call| call.contains("fadvise64(")).count();
    // Whoever is late is passed over, and on a busy machine so may be a thread that is traced; and the kernel may have
    // to read the program itself again.
    let some = (0..5).any(|_| {
        forget(&files);
        (files.len() / 6..=files.len()).contains(&asked())
    });
    assert!(some, "nothing is read ahead");
    assert!((0..5).any(|_| asked() == 0), "what is in the cache is asked for");
}

/// Lets the kernel forget what is in `files`; gives whether to read one needed a disk then.
fn forget(files: &[PathBuf]) -> bool {
    let forget = || {
        for path in files {
            let file = File::open(path).expect("a file");
            posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED).expect("to be heard");
        }
    };
    let read = || getrusage(UsageWho::RUSAGE_THREAD).expect("the usage").block_reads();
    forget();
    let before = read();
    fs::read(&files[0]).expect("a file");
    let needed = read() > before;
    forget();
    needed
}

/// The regular files below `dir`.
fn files(dir: &Path) -> Vec<PathBuf> {
    let below = |entry: fs::DirEntry| match entry.file_type().expect("its type") {
        kind if kind.is_dir() => files(&entry.path()),
        kind if kind.is_file() => vec![entry.path()],
        _ => Vec::new(),
    };
    fs::read_dir(dir).expect("a directory").flat_map(|entry| below(entry.expect("an entry"))).collect()
}
