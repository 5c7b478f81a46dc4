//! The place a tool works in, and what lies around it and is none of its business.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::bounded::{self, HOSTILE, Run, Stdin};
use harness::tools::tool;
use harness::watch::Watch;

/// A directory with, in it,
///
/// ```text
/// outside/victim           what an attacker would like to write or read
/// outside/dir/victim
/// a/b/                     where the tools run
/// a/b/root/                what is extracted into; an image's tree with links out of it
/// ```
pub struct World {
    dir: tempfile::TempDir,
}

impl World {
    /// A new one.
    ///
    /// # Panics
    /// When it cannot be made.
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

    /// What must not be touched.
    pub fn outside(&self) -> PathBuf {
        self.dir.path().join("outside")
    }

    /// A path in it, as text.
    pub fn out(&self, name: &str) -> String {
        self.outside().join(name).display().to_string()
    }

    /// Where the tools run.
    pub fn place(&self) -> PathBuf {
        self.dir.path().join("a/b")
    }

    /// What is extracted into.
    pub fn root(&self) -> PathBuf {
        self.place().join("root")
    }

    /// The tool `name` with these arguments, in its place.
    pub fn command(&self, name: &str, args: &[&str]) -> Command {
        let mut command = Command::new(tool(name));
        command.args(args).current_dir(self.place()).env_clear().env("NO_COLOR", "1");
        command
    }

    /// Runs a tool and gives, besides the run, what it did that no input may bring about.
    ///
    /// # Panics
    /// When it cannot be watched.
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
        // The standard library's way down needs a descriptor for each level, and there may be more levels than descriptors.
        // Nor may an ordinary user go into a directory of mode 0.
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

/// The names in a directory.
pub fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir)
        .map(|entries| entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect())
        .unwrap_or_default();
    names.sort();
    names
}

/// The same bytes as a file that can be read twice.
///
/// # Panics
/// When there is no room for it.
pub fn file_of(bytes: &[u8]) -> Stdin {
    use std::io::{Seek, Write};
    let mut file = tempfile::tempfile().expect("a temporary file");
    file.write_all(bytes).and_then(|()| file.rewind()).expect("room");
    Stdin::File(file)
}
