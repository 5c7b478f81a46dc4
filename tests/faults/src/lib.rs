//! Faults: each job of each tool while the kernel refuses something, and what must hold afterwards.
//!
//! Whatever fails at whatever moment: an output is complete or absent, what stood under its name is still there, nothing is
//! left beside it, and a message names the object. [`Ground::outcome`] looks for that; the tests bring the fault.

pub mod script;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::bounded::{self, HOSTILE, Run, Stdin};
use harness::tools::tool;

/// What a job gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gives {
    /// The file `to/out`, where another one stood before.
    File,
    /// The directory `to/out`, where nothing was.
    Directory,
    /// Changes in `to`, which cannot be undone: a failure leaves a part of them.
    InPlace,
}

/// A job of a tool.
#[derive(Debug)]
pub struct Job {
    /// The tool.
    pub tool: &'static str,
    /// Its arguments, in the ground's directory.
    pub args: &'static [&'static str],
    /// The file on standard input.
    pub stdin: Option<&'static str>,
    /// What comes out.
    pub gives: Gives,
    /// Names of which a message must have one.
    pub objects: &'static [&'static str],
}

/// A job for every tool and direction.
pub static JOBS: [Job; 8] = [
    Job {
        tool: "vol-archive",
        args: &["create", "tree", "-o", "to/out"],
        stdin: None,
        gives: Gives::File,
        objects: &["tree", "to/out", "file", "sub"],
    },
    Job {
        tool: "vol-archive",
        args: &["extract", "to"],
        stdin: Some("tree.tar"),
        gives: Gives::InPlace,
        objects: &["to", "standard input"],
    },
    Job {
        tool: "rootfs-diff",
        args: &["create", "--members", "--from", "old", "--to", "tree", "-o", "to/out"],
        stdin: None,
        gives: Gives::File,
        objects: &["tree", "old", "to/out", "file", "sub"],
    },
    Job {
        tool: "rootfs-diff",
        args: &["apply", "--members", "--rootfs", "to"],
        stdin: Some("diff.members"),
        gives: Gives::InPlace,
        objects: &["to", "standard input"],
    },
    Job {
        tool: "netstatus",
        args: &["save", "network.json", "-o", "to/out"],
        stdin: None,
        gives: Gives::File,
        objects: &["network.json", "to/out"],
    },
    Job {
        tool: "spec-gen",
        args: &["-i", "config.json", "-o", "to/out"],
        stdin: None,
        gives: Gives::File,
        objects: &["config.json", "to/out", "/etc", "/proc", "/sys", "/dev", "/run"],
    },
    Job {
        tool: "ckpt-pack",
        args: &["--bundle", "bundle", "-o", "to/out", "diff.members"],
        stdin: None,
        gives: Gives::File,
        objects: &["bundle", "to/out", "diff.members", "checkpoint"],
    },
    Job {
        tool: "ckpt-unpack",
        args: &["--bundle", "to/out"],
        stdin: Some("web.ckpt"),
        gives: Gives::Directory,
        objects: &["to", "standard input"],
    },
];

/// What stood at `to/out` before.
const OLD: &str = "what stood here before\n";

/// The place of the jobs: their input, and what each gives when nothing fails.
pub struct Ground {
    dir: tempfile::TempDir,
}

impl Ground {
    /// Makes the input with the tools themselves.
    ///
    /// # Panics
    /// When that fails.
    pub fn new() -> Ground {
        let ground = Ground { dir: tempfile::tempdir().expect("a temporary directory") };
        let at = |name: &str| ground.path(name);
        let make = || -> std::io::Result<()> {
            for dir in ["tree/sub", "old", "to", "bundle/checkpoint", "whole"] {
                fs::create_dir_all(at(dir))?;
            }
            // Three buffers, so that there is a write in the middle.
            fs::write(at("tree/file"), vec![7; 700_000])?;
            fs::write(at("tree/sub/file"), "small\n")?;
            // So many that a second thread writes some of them.
            for n in 0..40 {
                fs::write(at(&format!("tree/sub/file_{n}")), [n; 100])?;
            }
            fs::write(at("old/gone"), "")?;
            fs::write(at("bundle/checkpoint/inventory.img"), "inventory")?;
            fs::write(at("bundle/checkpoint/pages-1.img"), vec![9; 700_000])?;
            let spec = r#"{"ociVersion":"1.2.0","process":{"args":["sh"],"cwd":"/","user":{"uid":0,"gid":0}},"root":{"path":"rootfs"},"mounts":[],"linux":{}}"#;
            fs::write(at("bundle/config.json"), spec)?;
            fs::write(at("config.json"), spec)?;
            fs::write(
                at("network.json"),
                r#"{"n":{"interfaces":{"eth0":{"mac_address":"92:d0:c6:0a:29:33","subnets":[{"ipnet":"10.88.0.5/16","gateway":"10.88.0.1"}]}}}}"#,
            )
        };
        make().expect("the ground can be made");
        ground.made("vol-archive", &["create", "tree", "-o", "tree.tar"]);
        ground.made(
            "rootfs-diff",
            &["create", "--members", "--from", "old", "--to", "tree", "-o", "diff.members"],
        );
        ground.made("ckpt-pack", &["--bundle", "bundle", "-o", "web.ckpt", "diff.members"]);
        for (n, job) in JOBS.iter().enumerate() {
            ground.clear(job);
            let (run, _) = ground.run(job, &[]);
            assert_eq!(run.code, Some(0), "{job:?}: {}", run.stderr);
            fs::rename(ground.path("to"), ground.path(&format!("whole/{n}"))).expect("a rename");
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
        // Whoever runs the tests must not decide how fast an archive is written.
        command.env_remove("SOURCE_DATE_EPOCH");
        command
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Makes `to` as it is before `job`.
    ///
    /// # Panics
    /// When it cannot.
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
            if job.gives == Gives::File { fs::write(to.join("out"), OLD) } else { Ok(()) }
        };
        clear().expect("the ground can be cleared");
    }

    /// Runs `job` by the program `under`, which takes the tool's path and arguments behind its own.
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

    /// Whether `to` is what the job gives when nothing fails.
    pub fn is_complete(&self, job: &Job) -> bool {
        let n = JOBS.iter().position(|j| std::ptr::eq(j, job)).expect("a job of the table");
        let (whole, to) = (self.path(&format!("whole/{n}")), self.path("to"));
        match job.gives {
            Gives::File => {
                names(&to) == ["out"] && fs::read(whole.join("out")).ok() == fs::read(to.join("out")).ok()
            }
            Gives::Directory | Gives::InPlace => {
                let mut options = harness::Options::default();
                // The directories that hold a bundle have the time of its making.
                options.ignore.insert("mtime".into());
                harness::differences(&whole, &to, &options).is_ok_and(|found| found.is_empty())
            }
        }
    }

    /// Whether `to` is as it was.
    pub fn is_untouched(&self, job: &Job) -> bool {
        let to = self.path("to");
        match job.gives {
            Gives::File => {
                names(&to) == ["out"] && fs::read_to_string(to.join("out")).is_ok_and(|t| t == OLD)
            }
            Gives::Directory => names(&to).is_empty(),
            Gives::InPlace => true,
        }
    }

    /// What is wrong with how `job` ended.
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
            // Complete, and of 3 with the objects that changed while they were read.
            Some(0) => expect("says that it is done, and is not", self.is_complete(job)),
            Some(3) => {
                expect("is not made", !self.is_untouched(job) || job.gives == Gives::InPlace);
                expect("names nothing", job.objects.iter().any(|name| run.stderr.contains(name)));
            }
            Some(1) => {
                expect("leaves something half done", self.is_untouched(job));
                expect("names nothing", job.objects.iter().any(|name| run.stderr.contains(name)));
            }
            _ => expect("ends otherwise", false),
        }
        problems
    }
}

impl Default for Ground {
    fn default() -> Ground {
        Ground::new()
    }
}

/// The names in a directory.
pub fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir)
        .map(|entries| entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect())
        .unwrap_or_default();
    names.sort();
    names
}

/// Whether strace can bring faults here; see [`harness::host::can`].
pub fn can_inject() -> bool {
    let works = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).status();
    harness::host::can("strace must trace", works.is_ok_and(|status| status.success()))
}
