//! Runs every command that reads tars on a hostile tar.

use harness::bounded::{Run, Stdin};
use harness::forge::TarForge;
use harness::watch::Watch;

use crate::world::{World, file_of, names};
use crate::{Outcome, Row};

/// A command that reads a tar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    /// Extracts a volume and prints each entry.
    Extract,
    /// Applies a root file system diff from a pipe.
    Apply,
    /// Unpacks `rootfs-diff.tar` of an archive from a pipe.
    UnpackPiped,
    /// Unpacks `volumes/v.tar` of an archive from a file, which ckpt-unpack verifies before it
    /// writes.
    UnpackFile,
    List,
    ListJson,
    DryRun,
    Verify,
}

use Reader::*;

/// Error for a volume's tar with a deletion header.
const DELETION: &str = "a deletion in the tar of a volume";

const READERS: [Reader; 8] = [Extract, Apply, UnpackPiped, UnpackFile, List, ListJson, DryRun, Verify];

impl Reader {
    fn tool(self) -> &'static str {
        match self {
            Extract | List | ListJson => "vol-archive",
            Apply | DryRun => "rootfs-diff",
            UnpackPiped | UnpackFile | Verify => "ckpt-unpack",
        }
    }

    fn extracts(self) -> bool {
        matches!(self, Extract | Apply | UnpackPiped | UnpackFile)
    }

    fn run(self, world: &World, tar: &[u8]) -> (Run, Vec<String>) {
        let (args, stdin): (&[&str], _) = match self {
            Extract => (&["extract", "-vv", "root"], file_of(tar)),
            Apply => (&["apply", "--rootfs", "root"], Stdin::Pipe(tar.to_vec())),
            UnpackPiped => {
                (&["--bundle", "bundle", "--rootfs", "root"], Stdin::Pipe(archive("rootfs-diff.tar", tar)))
            }
            UnpackFile => {
                (&["--bundle", "bundle", "--volume", "v=root"], file_of(&archive("volumes/v.tar", tar)))
            }
            List => (&["list"], file_of(tar)),
            ListJson => (&["list", "--json"], file_of(tar)),
            DryRun => (&["apply", "--dry-run", "--rootfs", "root"], file_of(tar)),
            Verify => (&["--verify"], file_of(&archive("volumes/v.tar", tar))),
        };
        world.run(self.tool(), args, stdin)
    }
}

/// Returns an archive with the mandatory members and `tar` as its member `name`.
pub fn archive(name: &str, tar: &[u8]) -> Vec<u8> {
    TarForge::new()
        .file("config.dump", r#"{"id":"x"}"#)
        .file("spec.dump", "{}")
        .file("checkpoint/inventory.img", "inventory")
        .file(name, tar)
        .end()
}

/// Runs all commands on a row and returns all deviations from the expected result.
pub fn problems(row: &Row) -> Vec<String> {
    READERS
        .into_iter()
        .flat_map(|reader| {
            through(row, reader).into_iter().map(move |problem| format!("{reader:?}: {problem}"))
        })
        .collect()
}

fn through(row: &Row, reader: Reader) -> Vec<String> {
    let world = World::new();
    let tar = (row.tar)(&world);
    let root = Watch::new(&world.root()).expect("a watch");
    let (run, mut problems) = reader.run(&world, &tar);
    let mut expect = |what: &str, is: bool| {
        if !is {
            problems.push(format!("{what}; status {:?}, {}", run.code, run.stderr.trim_end()));
        }
    };
    let deletes_in_volume = row.deletes && matches!(reader, Extract | UnpackFile);
    let outcome = match &row.outcome {
        Outcome::Stopped(_) | Outcome::Made(_) if deletes_in_volume => &Outcome::Stopped(DELETION),
        outcome => outcome,
    };
    match outcome {
        Outcome::Refused(message) => {
            expect("is not refused", run.code == Some(1));
            expect("has another message", run.stderr.contains(*message));
        }
        Outcome::Stopped(message) if reader.extracts() => {
            expect("is not stopped", run.code == Some(1));
            expect("has another message", run.stderr.contains(*message));
        }
        Outcome::Warned(message) if reader.extracts() => {
            expect("fails", run.code == Some(0));
            expect("has no such warning", run.stderr.contains("warning: ") && run.stderr.contains(*message));
        }
        Outcome::Made(right) if reader.extracts() => {
            expect("fails", run.code == Some(0));
            expect("is not made right", right(&world.root()));
        }
        _ => expect("is not only read", run.code == Some(0)),
    }
    // Commands that only read must not touch the root, nor must a command that verifies a bad tar
    // first.
    let untouched =
        !reader.extracts() || (reader == UnpackFile && matches!(row.outcome, Outcome::Refused(_)));
    if untouched {
        let touched = root.touched().expect("a second look");
        problems.extend(touched.into_iter().map(|touch| format!("root: {touch}")));
    }
    if run.code != Some(0) || !reader.extracts() {
        let names = names(&world.place());
        if names != ["root"] {
            problems.push(format!("left behind: {names:?}"));
        }
    }
    problems
}
