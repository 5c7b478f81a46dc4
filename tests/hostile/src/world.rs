//! Directory in which a tool runs, and the files around it that the tool must not access.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::bounded::{self, HOSTILE, Run, Stdin};
use harness::tools::tool;
use harness::watch::Watch;

/// A temporary directory that contains:
///
/// ```text
/// outside/victim           an attacker tries to read or write this
/// outside/dir/victim
/// a/b/                     working directory of the tools
/// a/b/root/                target of extraction: an image's tree with symlinks that lead out of it
/// ```
pub struct World {
    dir: tempfile::TempDir,
}

impl World {
    /// Creates the directory.
    ///
    /// # Panics
    /// Panics if the directory cannot be created.
    pub fn new() -> World {
        let world = World { dir: tempfile::tempdir().expect("a temporary directory") };
        let make = || -> std::io::Result<()> {
            fs::create_dir_all(world.outside().join("dir"))?;
            fs::write(world.outside().join("victim"), "secret\n")?;
            fs::write(world.outside().join("dir/victim"), "secret\n")?;
            let root = world.root();
            for dir in ["dir/sub", "etc", "var"] {
                fs::create_dir_all(root.join(dir))?;
            }
            for file in ["dir/file", "dir/sub/file", "etc/passwd", "file"] {
                fs::write(root.join(file), "image\n")?;
            }
            symlink(world.outside(), root.join("link-out"))?;
            symlink(world.outside().join("victim"), root.join("link-file"))?;
            symlink("../../../outside", root.join("link-up"))?;
            symlink("/run", root.join("var/run"))?;
            symlink("dir", root.join("link-in"))
        };
        make().expect("the world can be made");
        world
    }

    /// Returns the directory that no tool may access.
    pub fn outside(&self) -> PathBuf {
        self.dir.path().join("outside")
    }

    /// Returns the path of `name` in the directory `outside`, as text.
    pub fn out(&self, name: &str) -> String {
        self.outside().join(name).display().to_string()
    }

    /// Returns the working directory of the tools.
    pub fn place(&self) -> PathBuf {
        self.dir.path().join("a/b")
    }

    /// Returns the target of extraction.
    pub fn root(&self) -> PathBuf {
        self.place().join("root")
    }

    /// Returns the command that runs the tool `name` in its working directory.
    pub fn command(&self, name: &str, args: &[&str]) -> Command {
        let mut command = Command::new(tool(name));
        command.args(args).current_dir(self.place()).env_clear().env("NO_COLOR", "1");
        command
    }

    /// Runs a tool and returns its result and all violations that no input may cause.
    ///
    /// # Panics
    /// Panics if inotify cannot watch the directory.
    pub fn run(&self, name: &str, args: &[&str], stdin: Stdin) -> (Run, Vec<String>) {
        let watch = Watch::new(&self.outside()).expect("a watch");
        let run = bounded::run(self.command(name, args), stdin, &HOSTILE);
        let mut problems = run.breaks(name, &HOSTILE);
        problems.extend(watch.touched().expect("a second look").into_iter().map(|t| format!("outside: {t}")));
        for (dir, expected) in
            [(self.dir.path(), &["a", "outside"][..]), (&self.dir.path().join("a"), &["b"])]
        {
            let names = names(dir);
            if names != expected {
                problems.push(format!("left behind in {}: {names:?}", dir.display()));
            }
        }
        (run, problems)
    }
}

impl Default for World {
    fn default() -> World {
        World::new()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // remove_dir_all fails for very deep trees, because it needs one descriptor per level, and
        // for directories of mode 0 without root.
        if fs::remove_dir_all(self.place()).is_ok() {
            return;
        }
        for program in [&["chmod", "-R", "u+rwX"][..], &["rm", "-rf"]] {
            let status = Command::new(program[0]).args(&program[1..]).arg(self.place()).status();
            if !status.is_ok_and(|status| status.success()) {
                eprintln!("{}: not removed", self.place().display());
            }
        }
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

/// Writes `bytes` to a temporary file, for standard input that a tool can seek in.
///
/// # Panics
/// Panics if the disk has no space for them.
pub fn file_of(bytes: &[u8]) -> Stdin {
    use std::io::{Seek, Write};
    let mut file = tempfile::tempfile().expect("a temporary file");
    file.write_all(bytes).and_then(|()| file.rewind()).expect("room");
    Stdin::File(file)
}
