//! `rootfs-diff list --patch`: prints the changes in text files as a unified diff.

use std::fs::File;
use std::io::{self, Read};

use rootfs_diff::Trees;
use similar::TextDiff;
use tartree::TarPath;

use super::lines::Line;

/// Maximum size in bytes of a file that is compared line by line. The patch of a larger file would
/// be too long to read.
const LIMIT: u64 = 4 << 20;

/// Appends a unified diff of every changed regular file. For a file that is not text, appends a
/// line that reports that the two versions differ.
///
/// # Errors
/// Returns an error if a patch cannot be formatted.
pub fn write(out: &mut Vec<u8>, trees: &mut Trees, changes: &[Line]) -> anyhow::Result<()> {
    for Line { path, change } in changes {
        let kind = change.kind();
        let old = if kind == 'A' { Side::Absent } else { Side::open(trees.open_old(path)) };
        let new = if kind == 'D' { Side::Absent } else { Side::open(trees.open_new(path)) };
        file(out, path, kind, &old, &new)?;
    }
    Ok(())
}

/// Appends a unified diff of the file `path`.
///
/// # Errors
/// Returns an error if the diff cannot be formatted.
pub fn file(out: &mut Vec<u8>, path: &TarPath, kind: char, old: &Side, new: &Side) -> anyhow::Result<()> {
    let name = path.as_bytes().escape_ascii();
    let (old, new) = match (old, new) {
        (Side::Absent, Side::Absent) => return Ok(()),
        (Side::Binary, _) | (_, Side::Binary) => {
            out.extend_from_slice(format!("Binary files a/{name} and b/{name} differ\n").as_bytes());
            return Ok(());
        }
        (old, new) => (old.text(), new.text()),
    };
    if old == new {
        return Ok(());
    }
    let header =
        |absent: bool, side: char| if absent { "/dev/null".into() } else { format!("{side}/{name}") };
    let diff = TextDiff::from_lines(old, new);
    let mut unified = diff.unified_diff();
    unified.header(&header(kind == 'A', 'a'), &header(kind == 'D', 'b')).to_writer(&mut *out)?;
    Ok(())
}

/// A file in the old or in the new tree.
pub enum Side {
    /// There is no file, or it is not a regular file.
    Absent,
    /// The file is not UTF-8, has NUL bytes, is too large or cannot be read.
    Binary,
    Text(Vec<u8>),
}

impl Side {
    /// Reads an opened file.
    pub fn open(file: io::Result<File>) -> Side {
        match file {
            Ok(file) if file.metadata().is_ok_and(|meta| meta.is_file()) => {
                Side::read(file).unwrap_or(Side::Binary)
            }
            _ => Side::Absent,
        }
    }

    /// Reads the content of a regular file.
    ///
    /// # Errors
    /// Returns an error if the content cannot be read.
    pub fn read(content: impl Read) -> io::Result<Side> {
        let mut text = Vec::new();
        content.take(LIMIT + 1).read_to_end(&mut text)?;
        let is_text = text.len() as u64 <= LIMIT && !text.contains(&0) && std::str::from_utf8(&text).is_ok();
        Ok(if is_text { Side::Text(text) } else { Side::Binary })
    }

    fn text(&self) -> &[u8] {
        if let Side::Text(text) = self { text } else { b"" }
    }
}
