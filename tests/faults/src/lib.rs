//! Runs each job of each tool while system calls fail, and checks the result.
//!
//! Whichever call fails: the output is complete or absent, a previous output with the same name is
//! unchanged, no temporary file is left, and a message names the file. [`Ground::outcome`] checks
//! this; the tests inject the faults.

pub mod disk;
pub mod points;
pub mod script;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::bounded::{self, HOSTILE, Run, Stdin};
use harness::tools::tool;

/// Kind of a job's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputKind {
    /// The file `to/out`, which replaces a previous file.
    File,
    /// The new directory `to/out`.
    Directory,
    /// Changes in `to`, which cannot be undone, so a failure leaves some changes.
    InPlace,
}

/// A job of a tool.
#[derive(Debug)]
pub struct Job {
    /// The tool.
    pub tool: &'static str,
    /// Arguments. Paths are relative to the directory of the [`Ground`].
    pub args: &'static [&'static str],
    /// File on standard input.
    pub stdin: Option<&'static str>,
    /// Kind of the output.
    pub output: OutputKind,
    /// An error message must contain at least one of these names.
    pub objects: &'static [&'static str],
}

/// One job for each direction of each tool.
pub static JOBS: [Job; 14] = [
    Job {
        tool: "vol-archive",
        args: &["create", "tree", "-o", "to/out"],
        stdin: None,
        output: OutputKind::File,
        objects: &["tree", "to/out", "file", "sub"],
    },
    Job {
        tool: "vol-archive",
        args: &["extract", "to"],
        stdin: Some("tree.tar"),
        output: OutputKind::InPlace,
        objects: &["to", "standard input"],
    },
    Job {
        tool: "rootfs-diff",
        args: &["create", "--members", "--from", "old", "--to", "tree", "-o", "to/out"],
        stdin: None,
        output: OutputKind::File,
        objects: &["tree", "old", "to/out", "file", "sub"],
    },
    Job {
        tool: "rootfs-diff",
        args: &["apply", "--members", "--rootfs", "to"],
        stdin: Some("diff.members"),
        output: OutputKind::InPlace,
        objects: &["to", "standard input"],
    },
    Job {
        tool: "rootfs-diff",
        args: &["apply", "--members", "--rootfs", "old", "--layer", "to/out", "--userxattr"],
        stdin: Some("diff.members"),
        output: OutputKind::Directory,
        objects: &["to", "old", "standard input"],
    },
    Job {
        tool: "netstatus",
        args: &["save", "network.json", "-o", "to/out"],
        stdin: None,
        output: OutputKind::File,
        objects: &["network.json", "to/out"],
    },
    Job {
        tool: "spec-gen",
        args: &["-i", "config.json", "-o", "to/out"],
        stdin: None,
        output: OutputKind::File,
        objects: &["config.json", "to/out", "/etc", "/proc", "/sys", "/dev", "/run"],
    },
    Job {
        tool: "ckpt-pack",
        args: &["--bundle", "bundle", "-o", "to/out", "diff.members"],
        stdin: None,
        output: OutputKind::File,
        objects: &["bundle", "to/out", "diff.members", "checkpoint"],
    },
    Job {
        tool: "ckpt-unpack",
        args: &["--bundle", "to/out"],
        stdin: Some("web.ckpt"),
        output: OutputKind::Directory,
        objects: &["to", "standard input"],
    },
    Job {
        tool: "ckpt-pack",
        args: &["--bundle", "later", "--ignore-rootfs", "--base", "base.ckpt", "-o", "to/out"],
        stdin: None,
        output: OutputKind::File,
        objects: &["later", "to/out", "base.ckpt", "checkpoint"],
    },
    Job {
        tool: "ckpt-pack",
        args: &["--from-archive", "delta.ckpt", "--base", "base.ckpt", "--flatten", "-o", "to/out"],
        stdin: None,
        output: OutputKind::File,
        objects: &["to/out", "base.ckpt", "delta.ckpt", "/tmp"],
    },
    Job {
        tool: "ckpt-unpack",
        args: &["--bundle", "to/out", "--base", "base.ckpt", "delta.ckpt"],
        stdin: None,
        output: OutputKind::Directory,
        objects: &["to", "base.ckpt", "delta.ckpt"],
    },
    // The size of the decompressed archive replaces a header at the end.
    Job {
        tool: "ckpt-pack",
        args: &[
            "--pod-config",
            "pod.json",
            "--container",
            "web=web.ckpt",
            "--container",
            "db=web.zst",
            "-o",
            "to/out",
        ],
        stdin: None,
        output: OutputKind::File,
        objects: &["pod.json", "to/out", "web.ckpt", "web.zst"],
    },
    Job {
        tool: "ckpt-unpack",
        args: &["--container", "db", "--bundle", "to/out", "pod.tar"],
        stdin: None,
        output: OutputKind::Directory,
        objects: &["to", "pod.tar"],
    },
];

/// A pagemap of CRIU: 170 pages at the address 0x10000, in pages-1.img.
const PAGEMAP: &[u8] = b"\x19\x43\x56\x54\x25\x40\x08\x56\x02\0\0\0\x08\x01\
    \x0c\0\0\0\x08\x80\x80\x04\x10\xaa\x01\x20\x04\x28\xaa\x01";

/// Content of `to/out` before a job.
const OLD: &str = "previous output\n";

/// Directory with the input of all jobs, and with the output of each job without faults.
pub struct Ground {
    dir: tempfile::TempDir,
}

impl Ground {
    /// Creates the input with the tools, and runs each job once without faults.
    ///
    /// # Panics
    /// Panics if a tool fails.
    pub fn new() -> Ground {
        let ground = Ground { dir: tempfile::tempdir().expect("a temporary directory") };
        let at = |name: &str| ground.path(name);
        let make = || -> std::io::Result<()> {
            for dir in ["tree/sub", "old", "to", "bundle/checkpoint", "later/checkpoint", "complete"] {
                fs::create_dir_all(at(dir))?;
            }
            // Three buffers, so that one of the writes is neither the first nor the last.
            fs::write(at("tree/file"), vec![7; 700_000])?;
            fs::write(at("tree/sub/file"), "small\n")?;
            // Enough files that the worker thread writes some files.
            for n in 0..40 {
                fs::write(at(&format!("tree/sub/file_{n}")), [n; 100])?;
            }
            fs::write(at("old/gone"), "")?;
            fs::write(at("bundle/checkpoint/inventory.img"), "inventory")?;
            fs::write(at("bundle/checkpoint/pages-1.img"), vec![9; 700_000])?;
            let spec = r#"{"ociVersion":"1.2.0","process":{"args":["sh"],"cwd":"/","user":{"uid":0,"gid":0}},"root":{"path":"rootfs"},"mounts":[],"linux":{}}"#;
            fs::write(at("bundle/config.json"), spec)?;
            fs::write(at("config.json"), spec)?;
            fs::write(at("pod.json"), r#"{"metadata":{"name":"shop"}}"#)?;
            fs::write(at("later/config.json"), spec)?;
            fs::write(at("later/checkpoint/inventory.img"), "inventory")?;
            fs::write(at("later/checkpoint/pagemap-1.img"), PAGEMAP)?;
            fs::write(at("later/checkpoint/pages-1.img"), vec![5; 170 * 4096])?;
            fs::write(
                at("network.json"),
                r#"{"n":{"interfaces":{"eth0":{"mac_address":"92:d0:c6:0a:29:33","subnets":[{"ipnet":"10.88.0.5/16","gateway":"10.88.0.1"}]}}}}"#,
            )
        };
        make().expect("the input can be written");
        ground.made("vol-archive", &["create", "tree", "-o", "tree.tar"]);
        ground.made(
            "rootfs-diff",
            &["create", "--members", "--from", "old", "--to", "tree", "-o", "diff.members"],
        );
        ground.made("ckpt-pack", &["--bundle", "bundle", "-o", "web.ckpt", "diff.members"]);
        let compress = ["--bundle", "bundle", "--compress", "zstd", "-o", "web.zst", "diff.members"];
        ground.made("ckpt-pack", &compress);
        let containers = ["--container", "web=web.ckpt", "--container", "db=web.zst"];
        ground.made("ckpt-pack", &[&["--pod-config", "pod.json", "-o", "pod.tar"], &containers[..]].concat());
        let later = ["--bundle", "later", "--ignore-rootfs", "-o"];
        ground.made("ckpt-pack", &[&later[..], &["base.ckpt"]].concat());
        let pages = [vec![5; 100 * 4096], vec![6; 70 * 4096]].concat();
        fs::write(ground.path("later/checkpoint/pages-1.img"), pages).expect("the input can be written");
        ground.made("ckpt-pack", &[&later[..], &["delta.ckpt", "--base", "base.ckpt"]].concat());
        for (n, job) in JOBS.iter().enumerate() {
            ground.clear(job);
            let (run, _) = ground.run(job, &[]);
            assert_eq!(run.code, Some(0), "{job:?}: {}", run.stderr);
            fs::rename(ground.path("to"), ground.path(&format!("complete/{n}"))).expect("a rename");
            fs::create_dir(ground.path("to")).expect("a directory");
        }
        ground
    }

    fn made(&self, name: &str, args: &[&str]) {
        let run = bounded::run(self.command(&[tool(name)], args), Stdin::Empty, &HOSTILE);
        assert_eq!(run.code, Some(0), "{name}: {}", run.stderr);
    }

    fn command(&self, program: &[PathBuf], args: &[&str]) -> Command {
        let mut command = Command::new(&program[0]);
        command.args(&program[1..]).args(args).current_dir(self.dir.path()).env("NO_COLOR", "1");
        // A caller's SOURCE_DATE_EPOCH must not change the archives.
        command.env_remove("SOURCE_DATE_EPOCH");
        command
    }

    /// Returns the path of `name` in the directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Restores `to` to its state before `job`.
    ///
    /// # Panics
    /// Panics if a file cannot be written or removed.
    pub fn clear(&self, job: &Job) {
        let to = self.path("to");
        let clear = || -> std::io::Result<()> {
            if !to.is_dir() {
                fs::create_dir(&to)?;
            }
            for entry in fs::read_dir(&to)? {
                let path = entry?.path();
                if path.is_dir() { fs::remove_dir_all(path)? } else { fs::remove_file(path)? }
            }
            if job.output == OutputKind::File { fs::write(to.join("out"), OLD) } else { Ok(()) }
        };
        clear().expect("the directory can be cleared");
    }

    /// Runs `job` under the program `under`, to whose arguments the tool and its arguments are
    /// added.
    pub fn run(&self, job: &Job, under: &[&str]) -> (Run, String) {
        let mut program: Vec<PathBuf> = under.iter().map(PathBuf::from).collect();
        program.push(tool(job.tool));
        let stdin = match job.stdin {
            Some(file) => Stdin::File(fs::File::open(self.path(file)).expect("the input")),
            None => Stdin::Empty,
        };
        let shown = format!("{under:?} {} {:?}", job.tool, job.args);
        (bounded::run(self.command(&program, job.args), stdin, &HOSTILE), shown)
    }

    /// Returns whether `to` is the same as after the job without faults.
    pub fn is_complete(&self, job: &Job) -> bool {
        let n = JOBS.iter().position(|j| std::ptr::eq(j, job)).expect("a job of the table");
        let (complete, to) = (self.path(&format!("complete/{n}")), self.path("to"));
        match job.output {
            OutputKind::File => {
                names(&to) == ["out"] && fs::read(complete.join("out")).ok() == fs::read(to.join("out")).ok()
            }
            OutputKind::Directory | OutputKind::InPlace => {
                let mut options = harness::Options::default();
                // The directories of a bundle have the time of their creation.
                options.ignore.insert("mtime".into());
                harness::differences(&complete, &to, &options).is_ok_and(|found| found.is_empty())
            }
        }
    }

    /// Returns whether the job left `to` unchanged.
    pub fn is_untouched(&self, job: &Job) -> bool {
        let to = self.path("to");
        match job.output {
            OutputKind::File => {
                names(&to) == ["out"] && fs::read_to_string(to.join("out")).is_ok_and(|t| t == OLD)
            }
            OutputKind::Directory => names(&to).is_empty(),
            OutputKind::InPlace => true,
        }
    }

    /// Returns all violations in the result of `job`.
    pub fn outcome(&self, job: &Job, run: &Run) -> Vec<String> {
        let mut problems = run.breaks(job.tool, &HOSTILE);
        let mut expect = |what: &str, is: bool| {
            if !is {
                problems.push(format!(
                    "{what}; status {:?} signal {:?}, {}",
                    run.code,
                    run.signal,
                    run.stderr.trim_end()
                ));
            }
        };
        match run.code {
            Some(0) => expect("reports success, but is incomplete", self.is_complete(job)),
            // Status 3: complete, but files changed while the tool read them.
            Some(3) => {
                expect("has no output", !self.is_untouched(job) || job.output == OutputKind::InPlace);
                expect("names no file", job.objects.iter().any(|name| run.stderr.contains(name)));
            }
            Some(1) => {
                expect("leaves a partial output", self.is_untouched(job));
                expect("names no file", job.objects.iter().any(|name| run.stderr.contains(name)));
            }
            _ => expect("has an unexpected status", false),
        }
        problems
    }
}

impl Default for Ground {
    fn default() -> Ground {
        Ground::new()
    }
}

/// Returns the sorted names in a directory.
pub fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir)
        .map(|entries| entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect())
        .unwrap_or_default();
    names.sort();
    names
}
