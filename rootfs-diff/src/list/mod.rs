//! `rootfs-diff list`: prints one line for each change, as `podman diff` does.

mod archive;
mod changes;
mod lines;
mod patch;

use std::io::{BufWriter, IntoInnerError, Write};

use cli::args::reject_given;
use cli::{Exit, Output, Session};
use rootfs_diff::{Change, Changes, compare};
use tartree::{Entry, Kind, Notice, SourceTree, Status, TarPath};

use crate::args::List;
use crate::notices::{report, warn_unmatched};
use lines::{KindAndSize, Line, Row};

pub fn run(args: &List, session: &Session) -> anyhow::Result<Exit> {
    // clap ignores `requires` if --archive conflicts with another given flag, such as --from.
    reject_given(&[("--tag", args.tag.is_some() && args.archive.is_none())], "without --archive")?;
    match &args.archive {
        Some(path) => {
            let found = archive::changes(args, path, session)?;
            write(args, &found.patch, found.rows())?;
        }
        None => {
            let mut patch = Vec::new();
            let lines = of_trees(args, &mut patch, session)?;
            write(args, &patch, lines.iter().map(|line| (&line.path, line.change)))?;
        }
    }
    Ok(Exit::Done)
}

fn write<'l>(args: &List, patch: &[u8], rows: impl Iterator<Item = Row<'l>>) -> anyhow::Result<()> {
    let mut out = BufWriter::new(Output::text(None)?);
    if args.patch {
        // A patch has the content of files.
        out.write_all(&cli::terminal_lines(patch))?;
    } else if args.tree {
        lines::write_tree(&mut out, rows.collect())?;
    } else if args.json {
        lines::write_json(&mut out, rows)?;
    } else {
        lines::write_lines(&mut out, rows, args.null)?;
    }
    out.into_inner().map_err(IntoInnerError::into_error)?.commit()
}

/// Returns the changes between two trees in the order of their paths, and appends the patch to `text` if
/// it is requested.
fn of_trees(args: &List, text: &mut Vec<u8>, session: &Session) -> anyhow::Result<Vec<Line>> {
    let options = args.trees.options()?;
    let mut trees = args.trees.open()?;
    let mut lines = Lines::default();
    session.stage("comparing", None);
    compare(&mut trees, &options, &mut lines, &mut |notice: Notice| report(session, &notice))?;
    session.end_stages();
    warn_unmatched(session, &options, &mut |path| trees.has(path));
    // A stable sort would need memory for half of the lines.
    lines.0.sort_unstable();
    if args.patch {
        patch::write(text, &mut trees, &lines.0)?;
    }
    Ok(lines.0)
}

/// The changes between two trees.
#[derive(Default)]
struct Lines(Vec<Line>);

impl Changes for Lines {
    fn entry(&mut self, entry: Entry, _ino: u64, _source_tree: SourceTree, change: Change) {
        let kind = match change {
            Change::Added => 'A',
            Change::Modified => 'C',
            // Only files in the directory changed, and each of these files has a line.
            Change::Touched => return,
        };
        self.0.push(Line { change: KindAndSize::new(kind, size_of(&entry.kind)), path: entry.path });
    }

    fn removed(&mut self, path: TarPath, was: &Status) {
        let size = was.is_file().then(|| was.size());
        self.0.push(Line { path, change: KindAndSize::new('D', size) });
    }

    fn replaced(&mut self, _path: &TarPath) {}
}

/// Returns the size of an inode with content.
fn size_of(kind: &Kind) -> Option<u64> {
    matches!(kind, Kind::File { .. }).then(|| kind.len())
}
