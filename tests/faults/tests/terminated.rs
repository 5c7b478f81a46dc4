//! A signal removes temporary files, even if it arrives just after their creation.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use faults::{Ground, names};
use harness::tools::tool;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Microseconds for which strace delays a process, and the time limit of each wait in a test.
const HELD: &str = "2000000";
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts `args` in `ground` under strace, which injects `fault`.
fn start(ground: &Ground, fault: &str, args: &[&str], stdin: Stdio) -> Child {
    let inject = format!("inject={fault}");
    Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "-e", &inject])
        .arg(tool(args[0]))
        .args(&args[1..])
        .current_dir(ground.path(""))
        .stdin(stdin)
        .stderr(Stdio::null())
        .spawn()
        .expect("strace can be started")
}

/// Waits for a name in `dir` that consists of `prefix` and a PID. Returns the PID.
fn wait_for(dir: &Path, prefix: &str) -> Pid {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        let pids = names(dir).into_iter().filter_map(|name| {
            let pid = name.strip_prefix(prefix)?.split('-').next()?.parse().ok()?;
            Some(Pid::from_raw(pid))
        });
        if let Some(pid) = pids.into_iter().next() {
            return pid;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("no {prefix}PID in {}: {:?}", dir.display(), names(dir));
}

fn terminated(mut child: Child, pid: Pid, signal: Signal) {
    kill(pid, signal).expect("the tool runs");
    let status = child.wait().expect("strace can be waited for");
    // strace ends with the signal that ended the tool.
    assert_eq!(status.signal(), Some(signal as i32), "{status}");
}

#[ignore = "needs strace"]
#[test]
fn a_signal_just_after_mkdir_removes_the_staging_directory() {
    let ground = Ground::new();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        // A new bundle, and a directory with other files.
        for (existing, dir, prefix) in [(false, "to", ".out.ckpt-"), (true, "to/out", ".ckpt-unpack-")] {
            let to = ground.path("to");
            fs::remove_dir_all(&to).expect("a directory");
            fs::create_dir(&to).expect("a directory");
            if existing {
                fs::create_dir(to.join("out")).expect("a directory");
                fs::write(to.join("out/hosts"), "").expect("a file");
            }
            let archive = fs::File::open(ground.path("web.ckpt")).expect("the archive");
            // strace delays the tool after the call that creates the directory.
            let fault = format!("?mkdir,mkdirat:delay_exit={HELD}:when=1");
            let child = start(&ground, &fault, &["ckpt-unpack", "--bundle", "to/out"], archive.into());
            let pid = wait_for(&ground.path(dir), prefix);
            terminated(child, pid, signal);
            let left: &[&str] = if existing { &["hosts"] } else { &[] };
            assert_eq!(names(&ground.path(dir)), left, "{signal}");
        }
    }
}

/// Returns the number of the openat(2) call that creates an unnamed file, for strace's `when=`.
fn unnamed_file(ground: &Ground, args: &[&str]) -> usize {
    let log = ground.path("trace");
    let run = Command::new("strace")
        .args(["-qq", "-e", "trace=openat", "-e", "signal=none", "-o"])
        .arg(&log)
        .arg(tool(args[0]))
        .args(&args[1..])
        .current_dir(ground.path(""))
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status();
    run.expect("strace can be started");
    let calls = fs::read_to_string(&log).expect("a trace");
    1 + calls.lines().position(|call| call.contains("O_TMPFILE")).expect("an unnamed file")
}

/// NFS and FUSE do not support unnamed files, so the output has a temporary name until it is
/// complete.
#[ignore = "needs strace"]
#[test]
fn a_signal_removes_the_named_temporary_file_of_an_output() {
    let ground = Ground::new();
    // The tool opens its output, then waits for its input.
    let jobs: [&[&str]; 2] = [
        &["ckpt-pack", "--bundle", "bundle", "-o", "to/out", "-"],
        &["ckpt-pack", "--bundle", "bundle", "--progress=always", "-o", "to/out", "-"],
    ];
    for args in jobs {
        for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
            fs::write(ground.path("to/out"), "old").expect("a file");
            let fault = format!("openat:error=EOPNOTSUPP:when={}", unnamed_file(&ground, args));
            let mut child = start(&ground, &fault, args, Stdio::piped());
            let input = child.stdin.take();
            let pid = wait_for(&ground.path("to"), ".ckpt-");
            terminated(child, pid, signal);
            drop(input);
            assert_eq!(names(&ground.path("to")), ["out"], "{signal} {args:?}");
            assert_eq!(fs::read_to_string(ground.path("to/out")).expect("a file"), "old");
        }
    }
}
