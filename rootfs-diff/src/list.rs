//! `rootfs-diff list`: one line for each change, as `podman diff` prints them.

use std::io::Write;

use cli::{Exit, Output, Session};
use rootfs_diff::{Change, Changes, compare};
use serde_json::json;
use tartree::{Entry, Notice, Place, Status, TarPath};

use crate::args::List;
use crate::patch;

pub fn run(args: &List, session: &Session) -> anyhow::Result<Exit> {
    let options = args.source.options()?;
    let mut source = args.source.open()?;
    let mut lines = Lines::default();
    session.stage("comparing", None);
    compare(&mut source, &options, &mut lines, &mut |notice: Notice| crate::tell(session, &notice))?;
    session.end_stages();
    crate::warn_unmatched(session, &options, &mut source);
    lines.0.sort_by(|a, b| a.1.cmp(&b.1));
    let mut text = Vec::new();
    if args.patch {
        patch::write(&mut text, &mut source, &lines.0)?;
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

/// Letter and path of each change.
#[derive(Default)]
struct Lines(Vec<(char, TarPath)>);

impl Changes for Lines {
    fn entry(&mut self, entry: Entry, _ino: u64, _place: Place, change: Change) {
        match change {
            Change::Added => self.0.push(('A', entry.path)),
            Change::Modified => self.0.push(('C', entry.path)),
            // Nothing of the directory itself changed: a user need not hear of it.
            Change::Touched => {}
        }
    }

    fn removed(&mut self, path: TarPath, _was: &Status) {
        self.0.push(('D', path));
    }

    fn replaced(&mut self, _path: &TarPath) {}
}
