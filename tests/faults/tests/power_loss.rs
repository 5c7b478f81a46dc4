//! `--fsync`: after a power loss at any moment, an output is complete or absent, and an output of a
//! tool that has exited is complete.
//!
//!   POWER_LOSS_STATES=N   states of the disk for each job (default: 4)
//!   POWER_LOSS_SEED=N     chooses other states

use std::fs;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use faults::disk::{Crash, Disk};
use harness::Random;
use harness::tools::tool;

/// What `--fsync` promises about an output.
#[derive(Clone, Copy, PartialEq)]
enum Promise {
    /// As before or complete at each moment, and complete when the tool exits.
    Atomic,
    /// Complete when the tool exits.
    OnExit,
    /// Complete if the first output is, and when the tool exits.
    WithFirst,
}
use Promise::{Atomic, OnExit, WithFirst};

struct Job {
    /// A command, for sh. It runs in the file system; `$to` is the directory of its outputs.
    run: &'static str,
    /// Commands that prepare `$to`.
    before: &'static str,
    /// Outputs in `$to`.
    outputs: &'static [(&'static str, Promise)],
}

/// Creates the input of the jobs.
const INPUT: &str = r#"
mkdir -p tree/sub old bundle/checkpoint later/checkpoint
head -c 300000 /dev/zero | tr '\0' x > tree/file
for n in $(seq 20); do echo $n > tree/sub/$n; done
ln tree/sub/1 tree/link; ln -s sub tree/symlink; truncate -s 1M tree/sparse; echo 1 | dd of=tree/sparse seek=1000 status=none conv=notrunc
echo gone > old/gone
for dir in bundle later; do
    echo inventory > $dir/checkpoint/inventory.img
    echo '{"ociVersion":"1.2.0","process":{"args":["sh"],"cwd":"/","user":{"uid":0,"gid":0}},"root":{"path":"rootfs"},"mounts":[{"destination":"/data","type":"bind","source":"/data"}],"linux":{}}' > $dir/config.json
done
head -c 300000 /dev/zero | tr '\0' y > bundle/checkpoint/pages-1.img
echo '{"n":{"interfaces":{"eth0":{"mac_address":"92:d0:c6:0a:29:33","subnets":[{"ipnet":"10.88.0.5/16","gateway":"10.88.0.1"}]}}}}' > network.json
vol-archive create tree -o tree.tar
rootfs-diff create --from old --to tree --deleted deleted.files -o diff.tar
{ rootfs-diff create --members --from old --to tree; vol-archive create --members data=tree; } | ckpt-pack --bundle bundle -o web.ckpt -
ckpt-pack --bundle later --ignore-rootfs --ignore-volumes -o later.ckpt
"#;

const JOBS: [Job; 12] = [
    Job { run: "vol-archive create tree -o $to/out --fsync", before: "", outputs: &[("out", Atomic)] },
    Job {
        run: "vol-archive create tree -o $to/out --fsync",
        before: "echo previous > $to/out",
        outputs: &[("out", Atomic)],
    },
    Job {
        run: "vol-archive extract $to/out --fsync < tree.tar",
        before: "mkdir $to/out",
        outputs: &[("out", OnExit)],
    },
    Job {
        run: "rootfs-diff create --from old --to tree --deleted $to/deleted -o $to/out --fsync",
        before: "echo previous > $to/deleted",
        outputs: &[("out", Atomic), ("deleted", Atomic)],
    },
    Job {
        run: "rootfs-diff apply --rootfs $to/out --deleted deleted.files --fsync < diff.tar",
        before: "cp -a old $to/out",
        outputs: &[("out", OnExit)],
    },
    Job {
        run: "rootfs-diff apply --rootfs old --layer $to/out --deleted deleted.files --fsync < diff.tar",
        before: "",
        outputs: &[("out", OnExit)],
    },
    Job {
        run: "netstatus save network.json -o $to/out --fsync",
        before: "echo previous > $to/out",
        outputs: &[("out", Atomic)],
    },
    Job { run: "spec-gen -i bundle/config.json -o $to/out --fsync", before: "", outputs: &[("out", Atomic)] },
    Job {
        run: "rootfs-diff create --members --from old --to tree | ckpt-pack --bundle bundle --ignore-volumes -o $to/out --fsync -",
        before: "",
        outputs: &[("out", Atomic)],
    },
    Job {
        run: "ckpt-pack --from-archive later.ckpt --compress zstd -o $to/out --fsync",
        before: "echo previous > $to/out",
        outputs: &[("out", Atomic)],
    },
    Job {
        run: "ckpt-unpack --bundle $to/out --rootfs $to/rootfs --volume data=$to/data --fsync web.ckpt",
        before: "cp -a old $to/rootfs",
        outputs: &[("out", Atomic), ("rootfs", WithFirst), ("data", WithFirst)],
    },
    Job {
        run: "ckpt-unpack --bundle $to/out --rootfs $to/rootfs --volume data=$to/data --fsync web.ckpt",
        before: "cp -a old $to/rootfs; mkdir $to/out; echo other > $to/out/note",
        outputs: &[
            ("out/checkpoint", Atomic),
            ("out", WithFirst),
            ("rootfs", WithFirst),
            ("data", WithFirst),
        ],
    },
];

/// Which programs write to the disk before a tool exits.
#[derive(Clone, Copy, Debug)]
enum Writer {
    /// Only the tool.
    Tool,
    /// The kernel, too, after each call of the tool that changes a name.
    Kernel,
    /// Nobody: fsync(2) and syncfs(2) do nothing.
    Nobody,
}

/// Calls that give a name to a file, or take it away.
const NAMES: &str = "linkat,rename,renameat,renameat2,mkdir,mkdirat,rmdir,unlink,unlinkat";

/// Runs a script in `dir`, with the tools in PATH.
fn sh(dir: &Path, number: usize, script: &str, under: &[&str]) -> (ExitStatus, String) {
    let tools = tool("vol-archive");
    let path = tools.parent().expect("a directory").display().to_string();
    let mut command = Command::new(under.first().unwrap_or(&"env"));
    command.args(under.iter().skip(1)).args(["bash", "-euo", "pipefail", "-c", script]).current_dir(dir);
    command.env("PATH", format!("{path}:{}", std::env::var("PATH").unwrap_or_default()));
    command.env("to", format!("to-{number}")).env("SOURCE_DATE_EPOCH", "1700000000");
    let output = command.output().expect("a shell");
    (output.status, String::from_utf8_lossy(&output.stderr).into_owned())
}

fn succeeds(dir: &Path, number: usize, script: &str, under: &[&str]) {
    let (status, stderr) = sh(dir, number, script, under);
    assert!(status.success(), "{script}: {status}: {stderr}");
}

/// Moments of a job in the record of the disk.
struct Moments {
    begin: usize,
    exit: usize,
    end: usize,
}

/// Runs all jobs on a recorded disk.
fn recorded(kind: &str, writer: Writer) -> (Disk, Vec<Moments>) {
    let mut disk = Disk::new(kind);
    let dir = disk.mounted();
    succeeds(&dir, 0, INPUT, &[]);
    for (n, job) in JOBS.iter().enumerate() {
        let before = format!("mkdir $to\n{}", job.before);
        succeeds(&dir, n, &before, &[]);
        succeeds(&dir, n, job.run, &[]);
        succeeds(&dir, n, &format!("mv $to complete-{n}\n{before}\ncp -a $to before-{n}"), &[]);
    }
    disk.begin();
    let inject = format!("inject={NAMES}:delay_exit=2000");
    let moments = JOBS.iter().enumerate().map(|(n, job)| {
        let begin = disk.moment();
        let strace = |inject| ["strace", "-f", "-qq", "-o", "/dev/null", "-e", inject];
        match writer {
            Writer::Tool => succeeds(&dir, n, job.run, &[]),
            Writer::Nobody => succeeds(&dir, n, job.run, &strace("inject=fsync,syncfs:retval=0")),
            Writer::Kernel => while_written(&disk, || {
                succeeds(&dir, n, job.run, &strace(&inject));
            }),
        }
        let exit = disk.moment();
        disk.sync();
        Moments { begin, exit, end: disk.moment() }
    });
    let moments = moments.collect();
    disk.unmount();
    (disk, moments)
}

/// Calls `run` while another thread writes the file system to the disk all the time.
fn while_written(disk: &Disk, run: impl FnOnce()) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                disk.sync();
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        // Also ends the thread if the job panics.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
        over.store(true, Ordering::Relaxed);
        if let Err(panic) = result {
            std::panic::resume_unwind(panic);
        }
    });
}

/// Returns whether two files or trees are the same, or both absent.
fn same(a: &Path, b: &Path) -> bool {
    match (fs::symlink_metadata(a), fs::symlink_metadata(b)) {
        (Err(_), Err(_)) => true,
        (Ok(x), Ok(y)) if x.is_dir() && y.is_dir() => {
            let mut options = harness::Options::default();
            // The directories of a bundle have the time of their creation.
            options.ignore.insert("mtime".into());
            harness::differences(a, b, &options).is_ok_and(|found| found.is_empty())
        }
        (Ok(x), Ok(y)) if x.is_file() && y.is_file() => {
            matches!((fs::read(a), fs::read(b)), (Ok(x), Ok(y)) if x == y)
        }
        _ => false,
    }
}

/// Returns the broken promises of job `n` in the file system `dir` after a power loss.
fn broken(dir: &Path, n: usize, exited: bool) -> Vec<String> {
    // Temporary files of a tool that was interrupted.
    succeeds(dir, n, "find $to -depth -name '.*ckpt-*' -exec rm -rf {} +", &[]);
    let (to, before, complete) =
        (format!("to-{n}"), dir.join(format!("before-{n}")), dir.join(format!("complete-{n}")));
    let to = dir.join(to);
    let outputs = JOBS[n].outputs;
    let is_complete = |name: &str| same(&to.join(name), &complete.join(name));
    let first = is_complete(outputs[0].0);
    let wrong = |&&(name, promise): &&(&str, Promise)| {
        let needed = exited || (promise == WithFirst && first);
        !is_complete(name) && (needed || (promise == Atomic && !same(&to.join(name), &before.join(name))))
    };
    let listing = |name: &str| {
        let output = Command::new("find").arg(to.join(name)).args(["-printf", "%P %s\\n"]).output();
        output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default()
    };
    outputs
        .iter()
        .filter(wrong)
        .map(|(name, _)| format!("{name} is neither complete nor as before: {}", listing(name)))
        .collect()
}

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
}

fn outputs_survive_on(kind: &str) {
    harness::host::own_mounts();
    let states = number("POWER_LOSS_STATES", 4);
    let mut random = Random::new(number("POWER_LOSS_SEED", 1) as u64);
    let mut found = Vec::new();
    for writer in [Writer::Tool, Writer::Kernel] {
        let (disk, moments) = recorded(kind, writer);
        for (n, job) in JOBS.iter().enumerate() {
            let Moments { begin, exit, end } = moments[n];
            for crash in disk.crashes(begin..end, exit, states, &mut random) {
                let problems = disk.mounted_after(&crash, |dir| broken(dir, n, crash.moment >= exit));
                let Crash { moment, durable, also } = crash;
                let when = format!(
                    "{moment} of {begin}..{exit}..{end}, flushed {durable}, and {} writes",
                    also.len()
                );
                found.extend(problems.iter().map(|p| format!("{writer:?} {} at {when}: {p}", job.run)));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[ignore = "needs root"]
#[test]
fn outputs_with_fsync_survive_a_power_loss_on_ext4() {
    outputs_survive_on("ext4");
}

#[ignore = "needs root"]
#[test]
fn outputs_with_fsync_survive_a_power_loss_on_xfs() {
    outputs_survive_on("xfs");
}

#[ignore = "needs root"]
#[test]
fn outputs_with_fsync_survive_a_power_loss_on_btrfs() {
    outputs_survive_on("btrfs");
}

#[ignore = "needs root"]
#[test]
fn outputs_of_a_tool_without_fsync_are_lost() {
    harness::host::own_mounts();
    let (disk, moments) = recorded("ext4", Writer::Nobody);
    for (n, job) in JOBS.iter().enumerate() {
        let Moments { begin, exit, end } = moments[n];
        for crash in disk.crashes(begin..end, exit, 1, &mut Random::new(1)) {
            let problems = disk.mounted_after(&crash, |dir| broken(dir, n, true));
            assert!(!problems.is_empty(), "{}: not noticed", job.run);
        }
    }
}
