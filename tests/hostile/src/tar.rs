//! A hostile tar through everything that reads one.

use harness::bounded::{Run, Stdin};
use harness::forge::TarForge;
use harness::watch::Watch;

use crate::world::{World, file_of, names};
use crate::{Outcome, Row};

/// A way a tar goes into a tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// A volume, named entry by entry.
    Extract,
    /// A root file system diff, through a pipe.
    Apply,
    /// `rootfs-diff.tar` of an archive that comes through a pipe.
    UnpackPiped,
    /// `volumes/v.tar` of an archive that is a file, so that it is read before anything is touched.
    UnpackFile,
    List,
    ListJson,
    DryRun,
    Verify,
}

use Way::*;

/// Why a volume's tar is stopped that deletes.
const DELETION: &str = "a deletion in the tar of a volume";

const WAYS: [Way; 8] = [Extract, Apply, UnpackPiped, UnpackFile, List, ListJson, DryRun, Verify];

impl Way {
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

/// An archive with what each must have, and `tar` as its member `name`.
pub fn archive(name: &str, tar: &[u8]) -> Vec<u8> {
    TarForge::new()
        .file("config.dump", r#"{"id":"x"}"#)
        .file("spec.dump", "{}")
        .file("checkpoint/inventory.img", "inventory")
        .file(name, tar)
        .end()
}

/// What is wrong with the tools in the light of this row.
pub fn problems(row: &Row) -> Vec<String> {
    if row.needs_root && !harness::host::is_root() {
        return Vec::new();
    }
    WAYS.into_iter()
        .flat_map(|way| through(row, way).into_iter().map(move |problem| format!("{way:?}: {problem}")))
        .collect()
}

fn through(row: &Row, way: Way) -> Vec<String> {
    let world = World::new();
    let tar = (row.tar)(&world);
    let root = Watch::new(&world.root()).expect("a watch");
    let (run, mut problems) = way.run(&world, &tar);
    let mut expect = |what: &str, is: bool| {
        if !is {
            problems.push(format!("{what}; status {:?}, {}", run.code, run.stderr.trim_end()));
        }
    };
    let deletes_in_volume = row.deletes && matches!(way, Extract | UnpackFile);
    let outcome = match &row.outcome {
        Outcome::Stopped(_) | Outcome::Made(_) if deletes_in_volume => &Outcome::Stopped(DELETION),
        outcome => outcome,
    };
    match outcome {
        Outcome::Refused(message) => {
            expect("is not refused", run.code == Some(1));
            expect("has another message", run.stderr.contains(*message));
        }
        Outcome::Stopped(message) if way.extracts() => {
            expect("is not stopped", run.code == Some(1));
            expect("has another message", run.stderr.contains(*message));
        }
        Outcome::Warned(message) if way.extracts() => {
            expect("fails", run.code == Some(0));
            expect("has no such warning", run.stderr.contains("warning: ") && run.stderr.contains(*message));
        }
        Outcome::Made(right) if way.extracts() => {
            expect("fails", run.code == Some(0));
            expect("is not made right", right(&world.root()));
        }
        _ => expect("is not only read", run.code == Some(0)),
    }
    // What only reads leaves all as it was, and so does what can see beforehand that it must be refused.
    let untouched = !way.extracts() || (way == UnpackFile && matches!(row.outcome, Outcome::Refused(_)));
    if untouched {
        let touched = root.touched().expect("a second look");
        // Reading opens nothing but the directory itself.
        problems.extend(touched.into_iter().map(|touch| format!("root: {touch}")));
    }
    if run.code != Some(0) || !way.extracts() {
        let names = names(&world.place());
        if names != ["root"] {
            problems.push(format!("left behind: {names:?}"));
        }
    }
    problems
}
