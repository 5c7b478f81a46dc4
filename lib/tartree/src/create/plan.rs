//! Two passes: the exact size of a tar before its first byte, then the bytes exactly as planned.
//!
//! A nested tar needs its size in the header of the member it is in. The first pass reads metadata
//! only; what it saw is kept, packed, and the second pass writes precisely that, filling up or cutting
//! the content of files that changed meanwhile.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;

use rustix::fs::FileType;

use crate::create::content::write_content;
use crate::create::packed_plan::{Place, Record, Records};
use crate::create::page_cache::{Coming, FAR, NEAR, ReadAhead};
use crate::create::reader_limits::Outgoing;
use crate::create::sink::{Destination, Sink};
use crate::entry::{Entry, Kind, RootName, Timestamp};
use crate::error::Result;
use crate::format::encode::{END_OF_ARCHIVE, encode, encoded_len, padding, removal_header};
use crate::fs::root::Root;
use crate::notice::Notices;
use crate::path::TarPath;

/// What the files of a plan are read from.
pub trait Files {
    /// Opens the regular file at `path` for reading.
    ///
    /// # Errors
    /// The kernel's.
    fn open(&mut self, path: &TarPath, place: Place) -> io::Result<File>;

    /// The directory below which those of `place` stand: what comes next is read ahead there.
    fn root(&self, place: Place) -> BorrowedFd<'_>;
}

/// A tree that is all there is.
impl Files for Root {
    fn open(&mut self, path: &TarPath, _place: Place) -> io::Result<File> {
        self.open_file(path)
    }

    fn root(&self, _place: Place) -> BorrowedFd<'_> {
        self.fd()
    }
}

/// A tar that is planned entry by entry and then written.
///
/// Memory: about 30 bytes and the last component of the name for each entry, plus attributes, link targets and sparse maps.
#[derive(Default)]
pub struct Plan {
    removals: Records,
    records: Records,
    size: u64,
    scratch: Vec<u8>,
    outgoing: Outgoing,
}

impl Plan {
    /// An empty plan.
    pub fn new() -> Plan {
        Plan::default()
    }

    /// Plans an entry that stands for the object with inode `ino` at the same path below the source.
    ///
    /// # Errors
    /// Returns an error if a reader would reject it; see [`Outgoing`].
    pub fn add(&mut self, entry: Entry, ino: u64) -> Result<()> {
        self.add_as(entry, ino, RootName::Dot)
    }

    /// As [`add`](Plan::add), telling how the root is named if `entry` is the root.
    ///
    /// # Errors
    /// As [`add`](Plan::add).
    pub fn add_as(&mut self, entry: Entry, ino: u64, root: RootName) -> Result<()> {
        self.add_record(entry, ino, root, Place::Source)
    }

    /// As [`add`](Plan::add), of an object that stands at `place`.
    ///
    /// # Errors
    /// As [`add`](Plan::add).
    pub fn add_at(&mut self, place: Place, entry: Entry, ino: u64) -> Result<()> {
        self.add_record(entry, ino, RootName::Dot, place)
    }

    fn add_record(&mut self, entry: Entry, ino: u64, root: RootName, place: Place) -> Result<()> {
        self.outgoing.check(&entry, root)?;
        let data = entry.kind.data_len();
        self.size += encoded_len(&mut self.scratch, &entry, root) + data + padding(data);
        self.records.push(&Record::Entry { entry, root, ino, place });
        Ok(())
    }

    /// Plans a removal header, which is written before all entries whenever it is added; `false` when the path does not fit into one.
    pub fn add_removal(&mut self, path: &TarPath) -> bool {
        let Some(header) = removal_header(path) else { return false };
        self.size += header.len() as u64;
        self.removals.push(&Record::Removal(path.clone()));
        true
    }

    /// Plans an empty file that no object of the source stands for: a reader that replaces objects removes what is at `path`.
    ///
    /// # Errors
    /// As [`add`](Plan::add).
    pub fn add_tombstone(&mut self, path: &TarPath) -> Result<()> {
        let entry = tombstone(path);
        self.outgoing.check(&entry, RootName::Dot)?;
        self.size += encoded_len(&mut self.scratch, &entry, RootName::Dot);
        self.records.push(&Record::Tombstone(path.clone()));
        Ok(())
    }

    /// The size of the whole tar, end-of-archive blocks included.
    pub fn tar_size(&self) -> u64 {
        self.size + END_OF_ARCHIVE.len() as u64
    }

    /// Writes the tar, exactly [`tar_size`](Plan::tar_size) bytes. Objects that changed since the plan was made are noticed.
    ///
    /// # Errors
    /// When the output does not take it, or a file cannot be read for another reason than being gone.
    pub fn write<W: Destination>(
        &self,
        source: &mut dyn Files,
        sink: &mut Sink<W>,
        notices: &mut dyn Notices,
    ) -> Result<()> {
        let mut records = self.removals.iter().chain(self.records.iter());
        let mut coming = VecDeque::new();
        let (mut ahead, mut beside) = (ReadAhead::default(), ReadAhead::default());
        loop {
            if coming.len() <= NEAR {
                let more: Vec<_> = records.by_ref().take(FAR).collect();
                if !more.is_empty() && ahead.is_worth_it() {
                    for (place, ahead) in [(Place::Source, &mut ahead), (Place::Beside, &mut beside)] {
                        let coming: Vec<_> =
                            more.iter().filter_map(|record| file_of(record, place)).collect();
                        if !coming.is_empty() {
                            ahead.ask(source.root(place), coming);
                        }
                    }
                }
                coming.extend(more);
            }
            let Some(record) = coming.pop_front() else { break };
            match record {
                Record::Removal(path) => {
                    if let Some(header) = removal_header(&path) {
                        sink.put(&header)?;
                    }
                }
                Record::Tombstone(path) => {
                    sink.encoded(|out| encode(out, &tombstone(&path), RootName::Dot))?;
                }
                Record::Entry { entry, root, ino, place } => {
                    sink.encoded(|out| encode(out, &entry, root))?;
                    if matches!(entry.kind, Kind::File { .. }) {
                        let opened = source.open(&entry.path, place);
                        write_content(sink, opened, &entry, ino, notices)?;
                    }
                }
            }
        }
        sink.put(&END_OF_ARCHIVE)
    }
}

/// The file of `from` whose content a record asks for.
fn file_of(record: &Record, from: Place) -> Option<Coming> {
    match record {
        Record::Entry { entry, place, .. } if matches!(entry.kind, Kind::File { .. }) && *place == from => {
            Some(Coming { path: entry.path.clone(), kind: FileType::RegularFile })
        }
        _ => None,
    }
}

fn tombstone(path: &TarPath) -> Entry {
    Entry::file(path.clone(), 0, 0o600, Timestamp::default())
}
