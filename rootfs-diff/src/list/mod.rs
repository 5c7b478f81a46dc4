//! `rootfs-diff list`: prints one line for each change, as `podman diff` does.

mod archive;
mod lines;
mod patch;

use std::io::Write;
use std::path::Path;

use cli::{Exit, Output, Session};
use rootfs_diff::{Change, Changes, compare};
use tartree::{Entry, Kind, Notice, SourceTree, Status, TarPath};

use crate::args::List;
use crate::notices::{report, warn_unmatched};
use lines::Line;

pub fn run(args: &List, session: &Session) -> anyhow::Result<Exit> {
    let mut text = Vec::new();
    let mut lines = match &args.archive {
        Some(path) => of_archive(args, path, &mut text, session)?,
        None => of_trees(args, &mut text, session)?,
    };
    lines.sort();
    if args.tree {
        lines::write_tree(&mut text, &lines)?;
    } else if args.json {
        lines::write_json(&mut text, &lines)?;
    } else if !args.patch {
        lines::write_lines(&mut text, &lines, args.null);
    }
    let mut output = Output::text(None)?;
    // A patch has the content of files.
    output.write_all(&if args.patch { cli::terminal_lines(&text) } else { text.as_slice().into() })?;
    output.commit()?;
    Ok(Exit::Done)
}

/// Returns the changes in an archive, and appends their patch to `text` if it is requested.
fn of_archive(args: &List, path: &Path, text: &mut Vec<u8>, session: &Session) -> anyhow::Result<Vec<Line>> {
    let found = archive::changes(args, path, session)?;
    text.extend_from_slice(&found.patch);
    Ok(found.lines)
}

/// Returns the changes between two trees, and appends their patch to `text` if it is requested.
fn of_trees(args: &List, text: &mut Vec<u8>, session: &Session) -> anyhow::Result<Vec<Line>> {
    let options = args.trees.options()?;
    let mut trees = args.trees.open()?;
    let mut lines = Lines::default();
    session.stage("comparing", None);
    compare(&mut trees, &options, &mut lines, &mut |notice: Notice| report(session, &notice))?;
    session.end_stages();
    warn_unmatched(session, &options, &mut |path| trees.has(path));
    if args.patch {
        lines.0.sort();
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
        self.0.push(Line { size: size_of(&entry.kind), path: entry.path, kind });
    }

    fn removed(&mut self, path: TarPath, was: &Status) {
        self.0.push(Line { path, kind: 'D', size: was.is_file().then(|| was.size()) });
    }

    fn replaced(&mut self, _path: &TarPath) {}
}

/// Returns the size of an inode with content.
fn size_of(kind: &Kind) -> Option<u64> {
    matches!(kind, Kind::File { .. }).then(|| kind.len())
}
