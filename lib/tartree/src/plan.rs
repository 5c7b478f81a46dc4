//! Two passes: the exact size of a tar before its first byte, then the bytes exactly as planned.
//!
//! A nested tar needs its size in the header of the member it is in. The first pass reads metadata
//! only; what it saw is kept, packed, and the second pass writes precisely that, filling up or cutting
//! the content of files that changed meanwhile.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::os::fd::AsFd;

use crate::capture::{Status, open_file};
use crate::entry::{Entry, Kind, RootName, Timestamp};
use crate::error::Result;
use crate::notice::{Notice, Notices};
use crate::path::TarPath;
use crate::record::{Record, Records};
use crate::root::Root;
use crate::sink::Sink;
use crate::walk::is_gone;
use crate::write::{END_OF_ARCHIVE, encode, padding, removal_header};

/// A file of this size and more is looked at again after reading; a smaller one is read in one go.
const LOOK_AGAIN: u64 = 64 << 10;

/// A tar that is planned entry by entry and then written.
///
/// Memory: about 30 bytes and the last component of the name for each entry, plus attributes, link targets and sparse maps.
#[derive(Default)]
pub struct Plan {
    removals: Records,
    records: Records,
    size: u64,
    scratch: Vec<u8>,
}

impl Plan {
    /// An empty plan.
    pub fn new() -> Plan {
        Plan::default()
    }

    /// Plans an entry that stands for the object with inode `ino` at the same path below the source.
    pub fn add(&mut self, entry: Entry, ino: u64) {
        self.add_as(entry, ino, RootName::Dot);
    }

    /// As [`add`](Plan::add), telling how the root is named if `entry` is the root.
    pub fn add_as(&mut self, entry: Entry, ino: u64, root: RootName) {
        self.scratch.clear();
        encode(&mut self.scratch, &entry, root);
        let data = entry.kind.data_len();
        self.size += self.scratch.len() as u64 + data + padding(data);
        self.records.push(&Record::Entry { entry, root, ino });
    }

    /// Plans a removal header, which is written before all entries whenever it is added; `false` when the path does not fit into one.
    pub fn add_removal(&mut self, path: &TarPath) -> bool {
        let Some(header) = removal_header(path) else { return false };
        self.size += header.len() as u64;
        self.removals.push(&Record::Removal(path.clone()));
        true
    }

    /// Plans an empty file that no object of the source stands for: a reader that replaces objects removes what is at `path`.
    pub fn add_tombstone(&mut self, path: &TarPath) {
        self.scratch.clear();
        encode(&mut self.scratch, &tombstone(path), RootName::Dot);
        self.size += self.scratch.len() as u64;
        self.records.push(&Record::Tombstone(path.clone()));
    }

    /// The size of the whole tar, end-of-archive blocks included.
    pub fn tar_size(&self) -> u64 {
        self.size + END_OF_ARCHIVE.len() as u64
    }

    /// Writes the tar, exactly [`tar_size`](Plan::tar_size) bytes. Objects that changed since the plan was made are noticed.
    ///
    /// # Errors
    /// When the output does not take it, or a file cannot be read for another reason than being gone.
    pub fn write<W: Write>(
        &self,
        source: &mut Root,
        sink: &mut Sink<W>,
        notices: &mut dyn Notices,
    ) -> Result<()> {
        let mut scratch = Vec::new();
        for record in self.removals.iter().chain(self.records.iter()) {
            scratch.clear();
            match record {
                Record::Removal(path) => {
                    if let Some(header) = removal_header(&path) {
                        sink.put(&header)?;
                    }
                }
                Record::Tombstone(path) => {
                    encode(&mut scratch, &tombstone(&path), RootName::Dot);
                    sink.put(&scratch)?;
                }
                Record::Entry { entry, root, ino } => {
                    encode(&mut scratch, &entry, root);
                    sink.put(&scratch)?;
                    if matches!(entry.kind, Kind::File { .. }) {
                        let opened = source.parent(&entry.path).and_then(|(dir, name)| open_file(dir, name));
                        write_content(sink, opened, &entry, ino, notices)?;
                    }
                }
            }
        }
        sink.put(&END_OF_ARCHIVE)
    }
}

fn tombstone(path: &TarPath) -> Entry {
    Entry::file(path.clone(), 0, 0o600, Timestamp::default())
}

/// Writes the content of the file `entry` and its padding, exactly as long as the entry says. `opened` is the file, or why it
/// could not be opened. That it is not what the entry says any more is noticed.
///
/// # Errors
/// When the output does not take it, or the file cannot be read.
pub fn write_content<W: Write>(
    sink: &mut Sink<W>,
    opened: std::io::Result<File>,
    entry: &Entry,
    ino: u64,
    notices: &mut dyn Notices,
) -> Result<()> {
    let Kind::File { size, map } = &entry.kind else { return Ok(()) };
    let total = entry.kind.data_len();
    let object_error = |e| crate::Error::io(&entry.path, e);
    let mut how;
    let mut done = 0;
    match opened {
        Err(e) if is_gone(&e) => how = Some("vanished"),
        Err(e) => return Err(object_error(e)),
        Ok(mut file) => {
            let expected = Expected { ino, size: *size, mtime: entry.meta.mtime };
            how = expected.compare(&file).map_err(object_error)?;
            if how != Some("changed its type") {
                let whole = [(0, *size)];
                let segments = map.as_ref().map_or(&whole[..], |map| &map.0);
                for &(offset, len) in segments {
                    if map.is_some() {
                        file.seek(SeekFrom::Start(offset)).map_err(object_error)?;
                    }
                    let got = sink.fill(&mut file, len)?.map_err(object_error)?;
                    done += got;
                    if got < len {
                        how = how.or(Some("shrank"));
                        sink.zeros(len - got)?;
                        done += len - got;
                    }
                }
                if how.is_none() && *size >= LOOK_AGAIN {
                    how = expected.compare(&file).map_err(object_error)?;
                }
            }
        }
    }
    sink.zeros(total - done + padding(total))?;
    if let Some(how) = how {
        notices.notice(Notice::Changed { path: entry.path.clone(), how });
    }
    Ok(())
}

/// What a file looked like when it was planned.
struct Expected {
    ino: u64,
    size: u64,
    mtime: Timestamp,
}

impl Expected {
    fn compare(&self, file: &File) -> std::io::Result<Option<&'static str>> {
        let status = Status::at(file.as_fd(), OsStr::new(""))?;
        Ok(if !status.is_file() {
            Some("changed its type")
        } else if status.identity().ino != self.ino {
            Some("was replaced")
        } else if status.size() > self.size {
            Some("grew")
        } else if status.size() < self.size {
            Some("shrank")
        } else if status.mtime() != self.mtime {
            Some("was written to")
        } else {
            None
        })
    }
}
