//! Jobs with little disk space, few descriptors, little memory, no permission, or a closed pipe.

use std::fs;
use std::process::{Command, Stdio};

use faults::{Ground, JOBS};
use harness::host::own_mounts;
use harness::tools::tool;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// Checks that every job succeeds under `program`.
fn all_are_done(program: &[&str]) {
    let ground = Ground::new();
    let mut found = Vec::new();
    for job in &JOBS {
        ground.clear(job);
        let (run, shown) = ground.run(job, program);
        if run.code != Some(0) || !ground.is_complete(job) {
            found.push(format!("{shown}: status {:?} signal {:?}, {}", run.code, run.signal, run.stderr));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Checks that every job under `program` succeeds, or fails without a partial output.
fn all_end_well(program: &[&str]) {
    let ground = Ground::new();
    let mut found = Vec::new();
    for job in &JOBS {
        ground.clear(job);
        let (run, shown) = ground.run(job, program);
        found.extend(ground.outcome(job, &run).into_iter().map(|p| format!("{shown}: {p}")));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn thirty_two_descriptors_are_enough() {
    all_are_done(&["prlimit", "--nofile=32"]);
}

#[test]
fn too_few_descriptors_are_reported() {
    // The standard streams use three descriptors, and the dynamic loader needs a fourth.
    for most in 4..=7 {
        all_end_well(&["prlimit", &format!("--nofile={most}")]);
    }
}

/// `ulimit -u`, or `pids.max` of a cgroup, may not allow another thread.
#[ignore = "needs strace"]
#[test]
fn a_job_succeeds_without_threads() {
    {
        let none = "inject=clone,clone3:error=EAGAIN";
        all_are_done(&["strace", "-f", "-qq", "-o", "/dev/null", "-e", none]);
        let ground = Ground::new();
        for compression in ["gzip", "bzip2"] {
            let pack = |program: &[&str]| {
                let mut command = Command::new(program[0]);
                command.args(&program[1..]).args(["--bundle", "bundle", "--compress", compression]);
                command.arg("diff.members").current_dir(ground.path("")).output().unwrap()
            };
            let pack_it = tool("ckpt-pack");
            let pack_it = pack_it.to_str().unwrap();
            let alone = pack(&["strace", "-f", "-qq", "-o", "/dev/null", "-e", none, pack_it]);
            assert!(alone.status.success(), "{compression}: {}", String::from_utf8_lossy(&alone.stderr));
            assert!(alone.stdout == pack(&[pack_it]).stdout, "{compression}: other bytes without threads");
        }
    }
}

#[test]
fn sixty_four_mebibytes_of_memory_are_enough() {
    all_are_done(&["prlimit", &format!("--as={}", 64 << 20)]);
}

#[ignore = "needs root"]
#[test]
fn a_clock_that_has_jumped_changes_nothing() {
    let unshare = ["unshare", "--time", "--monotonic", "2000000", "--boottime", "2000000"];
    all_are_done(&unshare);
}

#[test]
fn a_file_above_the_size_limit_is_reported() {
    all_end_well(&["prlimit", "--fsize=4096"]);
}

#[ignore = "needs root"]
#[test]
fn full_and_read_only_file_systems_keep_the_previous_output() {
    std::thread::spawn(|| {
        own_mounts();
        let ground = Ground::new();
        let mut found = Vec::new();
        for job in &JOBS {
            for (what, size, read_only) in [("full", "64k", false), ("read-only", "4m", true)] {
                let to = ground.path("to");
                if !to.is_dir() {
                    fs::create_dir(&to).unwrap();
                }
                let options = format!("size={size}");
                mount(Some("tmpfs"), &to, Some("tmpfs"), MsFlags::empty(), Some(options.as_str())).unwrap();
                ground.clear(job);
                if read_only {
                    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
                    mount(None::<&str>, &to, None::<&str>, flags, None::<&str>).unwrap();
                }
                let (run, shown) = ground.run(job, &[]);
                found.extend(ground.outcome(job, &run).into_iter().map(|p| format!("{what}: {shown}: {p}")));
                if read_only && run.code != Some(1) {
                    found.push(format!("{what}: {shown}: status {:?}", run.code));
                }
                // Another test may be between fork and exec: its child holds copies of all
                // descriptors, which keep the mount busy.
                umount2(&to, MntFlags::MNT_DETACH).unwrap();
            }
        }
        assert!(found.is_empty(), "{}", found.join("\n"));
    })
    .join()
    .unwrap();
}

#[test]
fn a_missing_source_is_reported() {
    let ground = Ground::new();
    for (name, args) in [
        ("vol-archive", &["create", "vanished", "-o", "to/x"][..]),
        ("rootfs-diff", &["create", "--members", "--from", "vanished", "--to", "tree", "-o", "to/x"]),
        ("netstatus", &["save", "vanished", "-o", "to/x"]),
        ("spec-gen", &["-i", "vanished", "-o", "to/x"]),
        ("ckpt-pack", &["--bundle", "vanished", "-o", "to/x"]),
        ("ckpt-unpack", &["--bundle", "to/x", "vanished"]),
    ] {
        let output = Command::new(tool(name)).args(args).current_dir(ground.path("")).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{name}: {stderr}");
        assert!(stderr.starts_with(&format!("{name}: error: vanished")), "{stderr}");
        assert!(!ground.path("to/x").exists(), "{name}");
    }
}

/// Output to a pipe without a reader must not look complete.
#[test]
fn a_closed_pipe_ends_each_tool_silently() {
    use std::os::unix::process::ExitStatusExt;
    let ground = Ground::new();
    for (name, args) in [
        ("vol-archive", &["create", "tree"][..]),
        ("vol-archive", &["list", "tree.tar"]),
        ("rootfs-diff", &["create", "--members", "--from", "old", "--to", "tree"]),
        ("rootfs-diff", &["list", "--from", "old", "--to", "tree"]),
        ("netstatus", &["save", "network.json"]),
        ("spec-gen", &["-i", "config.json"]),
        ("ckpt-pack", &["--bundle", "bundle", "diff.members"]),
        ("ckpt-unpack", &["--list", "web.ckpt"]),
        ("ckpt-unpack", &["--show", "web.ckpt"]),
    ] {
        let mut child = Command::new(tool(name))
            .args(args)
            .current_dir(ground.path(""))
            .stdout(gone())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = String::new();
        std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut stderr).unwrap();
        let status = child.wait().unwrap();
        assert_eq!((status.signal(), stderr.as_str()), (Some(13), ""), "{name} {args:?}: {status}");
    }
}

/// Returns the writing end of a pipe without a reader.
fn gone() -> Stdio {
    let (reader, writer) = nix::unistd::pipe().unwrap();
    drop(reader);
    writer.into()
}

/// Commands that write to standard output.
const WRITERS: [(&str, &[&str]); 10] = [
    ("vol-archive", &["create", "tree"]),
    ("vol-archive", &["list", "tree.tar"]),
    ("rootfs-diff", &["create", "--members", "--from", "old", "--to", "tree"]),
    ("rootfs-diff", &["list", "--from", "old", "--to", "tree"]),
    ("netstatus", &["save", "network.json"]),
    ("netstatus", &["show", "network.json"]),
    ("spec-gen", &["-i", "config.json"]),
    ("ckpt-pack", &["--bundle", "bundle", "diff.members"]),
    ("ckpt-unpack", &["--list", "web.ckpt"]),
    ("ckpt-unpack", &["--show", "web.ckpt"]),
];

#[test]
fn standard_output_on_a_full_device_is_reported() {
    let ground = Ground::new();
    for (name, args) in WRITERS {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output =
            Command::new(tool(name)).args(args).current_dir(ground.path("")).stdout(full).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{name} {args:?}: {stderr}");
        assert!(stderr.contains("standard output: No space left on device"), "{name} {args:?}: {stderr}");
    }
}

/// The standard library opens `/dev/null` for a closed standard output. Without a check, an archive
/// would be lost with status 0.
#[test]
fn closed_standard_output_is_reported() {
    let ground = Ground::new();
    for (name, args) in WRITERS {
        let run = |redirection: &str| {
            let script = format!("exec \"$0\" \"$@\" {redirection}");
            let mut command = Command::new("sh");
            command.args(["-c", &script]).arg(tool(name)).args(args).current_dir(ground.path(""));
            let output = command.output().unwrap();
            (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
        };
        let (status, stderr) = run(">&-");
        assert_eq!(status, Some(1), "{name} {args:?}: {stderr}");
        assert!(stderr.contains("standard output: Bad file descriptor"), "{name} {args:?}: {stderr}");
        assert_eq!(run(">/dev/null").0, Some(0), "{name} {args:?}");
        assert_eq!(run("1<>/dev/null").0, Some(0), "{name} {args:?}");
    }
}
