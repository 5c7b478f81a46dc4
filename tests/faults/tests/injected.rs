//! Jobs in which strace makes one system call fail.

use faults::points::Points;
use faults::{Ground, JOBS};

/// System calls that write data.
const WRITES: [&str; 4] = ["write", "pwrite64", "copy_file_range", "sendfile"];
/// System calls that read data.
const READS: [&str; 4] = ["read", "pread64", "getdents64", "statx"];
/// System calls that look up or change names.
const NAMES: [&str; 10] = [
    "openat",
    "openat2",
    "mkdirat",
    "unlinkat",
    "linkat",
    "renameat2",
    "fchownat",
    "fchmod",
    "utimensat",
    "ftruncate",
];

/// Runs every job with every error in each of the first `most` invocations of every call that the job
/// makes.
fn sweep(calls: &[&str], errors: &[&str], most: u32) {
    let ground = Ground::new();
    let mut found = Vec::new();
    let mut runs = 0;
    for job in &JOBS {
        let points = Points::of(&ground, job, calls);
        for call in calls {
            for error in errors {
                for n in points.invocations(call, most) {
                    ground.clear(job);
                    let inject = format!("inject={call}:error={error}:when={n}");
                    let (run, shown) =
                        ground.run(job, &["strace", "-f", "-qq", "-o", "/dev/null", "-e", &inject]);
                    // The dynamic loader made this call, before the tool started.
                    if run.code == Some(127) {
                        continue;
                    }
                    runs += 1;
                    found.extend(ground.outcome(job, &run).into_iter().map(|p| format!("{shown}: {p}")));
                }
            }
        }
    }
    println!("{runs} runs");
    assert!(found.is_empty(), "{} problems in {runs} runs:\n{}", found.len(), found.join("\n"));
}

#[ignore = "needs strace"]
#[test]
fn a_failing_write_leaves_no_partial_output() {
    sweep(&WRITES, &["ENOSPC", "EDQUOT", "EIO"], 3);
}

#[ignore = "needs strace"]
#[test]
fn an_interrupted_call_is_repeated_or_reported() {
    sweep(&["read", "write", "openat2", "copy_file_range"], &["EINTR"], 9);
}

#[ignore = "needs strace"]
#[test]
fn a_failing_read_is_reported_with_the_file() {
    sweep(&READS[..1], &["EIO"], 9);
    sweep(&READS[1..], &["EIO"], 3);
}

#[ignore = "needs strace"]
#[test]
fn a_failing_open_or_create_is_reported_with_the_file() {
    sweep(&NAMES[1..], &["EACCES", "EIO", "EMFILE", "ENOENT"], 3);
}
