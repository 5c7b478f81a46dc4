//! `vol-archive list`: lists the entries of a tar in the format of `tar -tv`.

use std::fmt::{self, Write as _};
use std::io::Write;

use anyhow::Context;
use checkpoint::compress::Bound;
use checkpoint::tar_input::TarInput;
use cli::{Exit, Input, Output, Session};
use serde_json::{Map, Value, json};
use tartree::{Entry, Item, Kind, Reader};

use crate::args::List;

/// Size in bytes at which the collected text is written.
const BATCH: usize = 64 << 10;

pub fn run(args: &List, session: &Session) -> anyhow::Result<Exit> {
    let input = Input::open(args.file.as_deref(), "a tar")?;
    let (name, is_file) = (input.name().to_owned(), input.rest().is_some());
    let bound = Bound::new(args.bounds.content_bytes(), None);
    let mut input = TarInput::open(input, is_file, bound).with_context(|| name.clone())?;
    input.expect("a tar", true).with_context(|| name.clone())?;
    let mut reader = Reader::new(input, args.bounds.limits());
    let mut output = Output::text(None)?;
    let mut text = String::new();
    let mut before = "[\n  ";
    while let Some(item) = reader.next()? {
        let entry = match item {
            Item::Entry(entry) => entry,
            Item::Removal(path) => {
                session
                    .warn(format_args!("{name}: {path}: a deletion, as in the diff of a root file system"));
                continue;
            }
        };
        if args.json {
            write!(text, "{before}{}", document(&entry))?;
            before = ",\n  ";
        } else {
            writeln!(text, "{}", Line(&entry))?;
        }
        if text.len() > BATCH {
            output.write_all(text.as_bytes())?;
            text.clear();
        }
    }
    if args.json {
        text.push_str(if before == "[\n  " { "[]\n" } else { "\n]\n" });
    }
    reader.drain()?;
    output.write_all(text.as_bytes())?;
    output.commit()?;
    Ok(Exit::Done)
}

fn size(entry: &Entry) -> u64 {
    if let Kind::File { size, .. } = entry.kind { size } else { 0 }
}

/// An entry as one line of text.
struct Line<'a>(&'a Entry);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Entry { path, kind, meta } = self.0;
        let letter = match kind {
            Kind::Dir => 'd',
            Kind::File { .. } => '-',
            Kind::Symlink { .. } => 'l',
            Kind::HardLink { .. } => 'h',
            Kind::Char { .. } => 'c',
            Kind::Block { .. } => 'b',
            Kind::Fifo => 'p',
        };
        write!(f, "{letter}{} {}:{} ", permissions(meta.mode), meta.uid, meta.gid)?;
        match kind {
            Kind::Char { major, minor } | Kind::Block { major, minor } => write!(f, "{major},{minor}")?,
            _ => write!(f, "{}", size(self.0))?,
        }
        write!(f, " {} {}", meta.mtime, path.as_bytes().escape_ascii())?;
        match kind {
            Kind::Symlink { target } => write!(f, " -> {}", target.escape_ascii()),
            Kind::HardLink { target } => write!(f, " link to {}", target.as_bytes().escape_ascii()),
            Kind::Dir => f.write_str("/"),
            _ => Ok(()),
        }
    }
}

/// Returns the nine characters of `ls -l` for the permissions of a mode.
fn permissions(mode: u32) -> String {
    let mut text = String::new();
    for (shift, special, set, unset) in [(6, 0o4000, 's', 'S'), (3, 0o2000, 's', 'S'), (0, 0o1000, 't', 'T')]
    {
        let bits = mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (mode & special != 0, bits & 1 != 0) {
            (true, true) => set,
            (true, false) => unset,
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    text
}

/// Returns an entry as JSON. A name that is not UTF-8 is shown with U+FFFD, and its exact bytes are
/// listed in `path_bytes` or `target_bytes`.
fn document(entry: &Entry) -> Value {
    let Entry { path, kind, meta } = entry;
    let mut map = Map::new();
    let mut name = |key: &str, bytes: &[u8]| {
        map.insert(key.into(), String::from_utf8_lossy(bytes).into());
        if std::str::from_utf8(bytes).is_err() {
            map.insert(format!("{key}_bytes"), bytes.into());
        }
    };
    name("path", path.as_bytes());
    match kind {
        Kind::Symlink { target } => name("target", target),
        Kind::HardLink { target } => name("target", target.as_bytes()),
        _ => {}
    }
    let kind_name = match kind {
        Kind::Dir => "directory",
        Kind::File { .. } => "file",
        Kind::Symlink { .. } => "symlink",
        Kind::HardLink { .. } => "hardlink",
        Kind::Char { .. } => "char",
        Kind::Block { .. } => "block",
        Kind::Fifo => "fifo",
    };
    map.insert("type".into(), kind_name.into());
    map.insert("mode".into(), format!("{:04o}", meta.mode).into());
    map.insert("uid".into(), meta.uid.into());
    map.insert("gid".into(), meta.gid.into());
    map.insert("mtime".into(), meta.mtime.to_string().into());
    match kind {
        Kind::File { size, map: holes } => {
            map.insert("size".into(), (*size).into());
            if holes.is_some() {
                map.insert("stored".into(), kind.data_len().into());
            }
        }
        Kind::Char { major, minor } | Kind::Block { major, minor } => {
            map.insert("device".into(), json!([major, minor]));
        }
        _ => {}
    }
    if !meta.xattrs.is_empty() {
        let names: Vec<_> = meta.xattrs.iter().map(|x| String::from_utf8_lossy(&x.name)).collect();
        map.insert("xattrs".into(), json!(names));
    }
    Value::Object(map)
}
