//! What a run costs in system calls: a number that a busy machine does not change.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

/// The system calls of `tool` with `args`, one a line; `input` is its standard input.
///
/// # Panics
/// When strace cannot run (see tests/prerequisites), or the tool fails.
pub fn calls<A: AsRef<OsStr>>(
    tool: &str,
    args: impl IntoIterator<Item = A>,
    input: Option<&Path>,
) -> Vec<String> {
    let log = tempfile::NamedTempFile::new().expect("a temporary file");
    let status = Command::new("strace")
        .arg("-f")
        .arg("-o")
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
