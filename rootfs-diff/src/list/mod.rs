//! `rootfs-diff list`: prints one line for each change, as `podman diff` does.

mod patch;

use std::io::Write;

use cli::{Exit, Output, Session};
use rootfs_diff::{Change, Changes, compare};
use serde_json::json;
use tartree::{Entry, Notice, SourceTree, Status, TarPath};

use crate::args::List;
use crate::notices::{report, warn_unmatched};

pub fn run(args: &List, session: &Session) -> anyhow::Result<Exit> {
    let options = args.trees.options()?;
    let mut trees = args.trees.open()?;
    let mut lines = Lines::default();
    session.stage("comparing", None);
    compare(&mut trees, &options, &mut lines, &mut |notice: Notice| report(session, &notice))?;
    session.end_stages();
    warn_unmatched(session, &options, &mut trees);
    lines.0.sort_by(|a, b| a.1.cmp(&b.1));
    let mut text = Vec::new();
    if args.patch {
        patch::write(&mut text, &mut trees, &lines.0)?;
    } else if args.json {
        let list: Vec<_> = lines.0.iter().map(|(kind, path)| document(*kind, path)).collect();
        serde_json::to_writer_pretty(&mut text, &list)?;
        text.push(b'\n');
    } else {
        for (kind, path) in &lines.0 {
            if args.null {
                text.extend_from_slice(&[*kind as u8, b' ', b'/']);
                text.extend_from_slice(path.as_bytes());
                text.push(0);
            } else {
                writeln!(text, "{kind} /{}", path.as_bytes().escape_ascii())?;
            }
        }
    }
    let mut output = Output::text(None)?;
    output.write_all(&text)?;
    output.commit()?;
    Ok(Exit::Done)
}

/// Returns a change as JSON. A path that is not UTF-8 has U+FFFD in `path`, and its bytes in
/// `path_bytes`.
fn document(kind: char, path: &TarPath) -> serde_json::Value {
    let change = match kind {
        'A' => "added",
        'D' => "deleted",
        _ => "modified",
    };
    match std::str::from_utf8(path.as_bytes()) {
        Ok(path) => json!({ "change": change, "path": format!("/{path}") }),
        Err(_) => {
            let lossy = format!("/{}", String::from_utf8_lossy(path.as_bytes()));
            json!({ "change": change, "path": lossy, "path_bytes": path.as_bytes() })
        }
    }
}

/// The changes, each with the letter that `podman diff` prints for it, and its path.
#[derive(Default)]
struct Lines(Vec<(char, TarPath)>);

impl Changes for Lines {
    fn entry(&mut self, entry: Entry, _ino: u64, _source_tree: SourceTree, change: Change) {
        match change {
            Change::Added => self.0.push(('A', entry.path)),
            Change::Modified => self.0.push(('C', entry.path)),
            // Only files in the directory changed, and each of these files has a line.
            Change::Touched => {}
        }
    }

    fn removed(&mut self, path: TarPath, _was: &Status) {
        self.0.push(('D', path));
    }

    fn replaced(&mut self, _path: &TarPath) {}
}
