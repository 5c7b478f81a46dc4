//! System calls that fail when strace says so.

use faults::{Ground, JOBS, can_inject};

/// Where data is written.
const WRITES: [&str; 4] = ["write", "pwrite64", "copy_file_range", "sendfile"];
/// Where data is read. Which of the calls a job makes is its own affair: what it does not make cannot fail.
const READS: [&str; 4] = ["read", "pread64", "getdents64", "statx"];
/// Where names are looked up or changed.
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

/// Every job with every fault, in this many of the calls, one after the other.
fn sweep(calls: &[&str], errors: &[&str], most: u32) {
    if !can_inject() {
        return;
    }
    let ground = Ground::new();
    let mut found = Vec::new();
    let mut runs = 0;
    for job in &JOBS {
        for call in calls {
            for error in errors {
                for n in 1..=most {
                    ground.clear(job);
                    let inject = format!("inject={call}:error={error}:when={n}");
                    let (run, shown) =
                        ground.run(job, &["strace", "-f", "-qq", "-o", "/dev/null", "-e", &inject]);
                    // It was the loader's call: the program has not begun.
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

#[test]
fn a_write_that_fails_leaves_no_half_output() {
    sweep(&WRITES, &["ENOSPC", "EDQUOT", "EIO"], 3);
}

#[test]
fn a_call_that_is_interrupted_is_made_again_or_the_failure_told() {
    sweep(&["read", "write", "openat2", "copy_file_range"], &["EINTR"], 9);
}

#[test]
fn a_read_that_fails_is_told_with_its_object() {
    sweep(&READS[..1], &["EIO"], 9);
    sweep(&READS[1..], &["EIO"], 3);
}

#[test]
fn a_name_that_cannot_be_opened_or_made_is_told() {
    sweep(&NAMES[1..], &["EACCES", "EIO", "EMFILE", "ENOENT"], 3);
}
