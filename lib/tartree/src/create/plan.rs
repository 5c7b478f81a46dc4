//! Plans a tar and then writes it, so that its size is known before the first byte is written.
//!
//! A tar inside another tar needs its size in the header of its member. The first pass reads only
//! metadata and keeps it in packed form. The second pass writes exactly the planned bytes: it pads
//! or truncates the content of files that have changed meanwhile.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;

use rustix::fs::FileType;

use crate::create::content::write_content;
use crate::create::packed_plan::{Record, Records, SourceTree};
use crate::create::page_cache::{FilePrefetch, REFILL_AT, Target, WINDOW};
use crate::create::reader_limits::ReaderLimits;
use crate::create::sink::{Destination, Sink};
use crate::entry::{Entry, Kind, RootName, Timestamp};
use crate::error::Result;
use crate::format::encode::{END_OF_ARCHIVE, encode, encoded_len, padding, removal_header};
use crate::fs::root::Root;
use crate::notice::Notices;
use crate::path::TarPath;

/// Opens the files of a plan.
pub trait Files {
    /// Opens the regular file at `path` for reading.
    ///
    /// # Errors
    /// Returns an error if the file cannot be opened.
    fn open(&mut self, path: &TarPath, source_tree: SourceTree) -> io::Result<File>;

    /// Returns the root directory of `source_tree`, below which files are prefetched.
    fn root(&self, source_tree: SourceTree) -> BorrowedFd<'_>;
}

/// Opens the files of a plan whose files are all in one tree.
impl Files for Root {
    fn open(&mut self, path: &TarPath, _source_tree: SourceTree) -> io::Result<File> {
        self.open_file(path)
    }

    fn root(&self, _source_tree: SourceTree) -> BorrowedFd<'_> {
        self.fd()
    }
}

/// A tar that is planned entry by entry and then written.
///
/// For each entry, the plan holds in memory about 30 bytes and the last component of the name, plus
/// the xattrs, the link target and the sparse map.
#[derive(Default)]
pub struct Plan {
    removals: Records,
    records: Records,
    size: u64,
    scratch: Vec<u8>,
    reader_limits: ReaderLimits,
}

impl Plan {
    /// Makes an empty plan.
    pub fn new() -> Plan {
        Plan::default()
    }

    /// Plans `entry`. `ino` is the number of the inode at the same path in the source.
    ///
    /// # Errors
    /// Returns an error if a reader would reject the entry; see [`ReaderLimits`].
    pub fn add(&mut self, entry: Entry, ino: u64) -> Result<()> {
        self.add_as(entry, ino, RootName::Dot)
    }

    /// Plans an entry like [`add`](Plan::add). If the entry is the root, `root` is its name.
    ///
    /// # Errors
    /// Returns the errors of [`add`](Plan::add).
    pub fn add_as(&mut self, entry: Entry, ino: u64, root: RootName) -> Result<()> {
        self.add_record(entry, ino, root, SourceTree::Primary)
    }

    /// Plans the entry of an inode in `source_tree`, like [`add`](Plan::add).
    ///
    /// # Errors
    /// Returns the errors of [`add`](Plan::add).
    pub fn add_at(&mut self, source_tree: SourceTree, entry: Entry, ino: u64) -> Result<()> {
        self.add_record(entry, ino, RootName::Dot, source_tree)
    }

    fn add_record(&mut self, entry: Entry, ino: u64, root: RootName, source_tree: SourceTree) -> Result<()> {
        self.reader_limits.check(&entry, root)?;
        let data = entry.kind.data_len();
        self.size += encoded_len(&mut self.scratch, &entry, root) + data + padding(data);
        self.records.push(&Record::Entry { entry, root, ino, source_tree });
        Ok(())
    }

    /// Plans a removal header, which is written before all entries. Returns `false` if the path
    /// does not fit into the header.
    pub fn add_removal(&mut self, path: &TarPath) -> bool {
        let Some(header) = removal_header(path) else { return false };
        self.size += header.len() as u64;
        self.removals.push(&Record::Removal(path.clone()));
        true
    }

    /// Plans a tombstone: an empty file that is not in the source. A reader that replaces existing
    /// inodes thereby removes the inode at `path`.
    ///
    /// # Errors
    /// Returns the errors of [`add`](Plan::add).
    pub fn add_tombstone(&mut self, path: &TarPath) -> Result<()> {
        let entry = tombstone(path);
        self.reader_limits.check(&entry, RootName::Dot)?;
        self.size += encoded_len(&mut self.scratch, &entry, RootName::Dot);
        self.records.push(&Record::Tombstone(path.clone()));
        Ok(())
    }

    /// Returns the size of the tar, including the end-of-archive blocks.
    pub fn tar_size(&self) -> u64 {
        self.size + END_OF_ARCHIVE.len() as u64
    }

    /// Writes the tar, exactly [`tar_size`](Plan::tar_size) bytes. Reports files that have changed
    /// since they were planned.
    ///
    /// # Errors
    /// Returns an error if writing to the output fails, or if a file that still exists cannot be
    /// read.
    pub fn write<W: Destination>(
        &self,
        source: &mut dyn Files,
        sink: &mut Sink<W>,
        notices: &mut dyn Notices,
    ) -> Result<()> {
        let mut records = self.removals.iter().chain(self.records.iter());
        let mut window = VecDeque::new();
        let (mut primary_files, mut secondary_files) = (FilePrefetch::default(), FilePrefetch::default());
        loop {
            if window.len() <= REFILL_AT {
                let more: Vec<_> = records.by_ref().take(WINDOW).collect();
                if !more.is_empty() && primary_files.has_read_disk() {
                    for (source_tree, files) in [
                        (SourceTree::Primary, &mut primary_files),
                        (SourceTree::Secondary, &mut secondary_files),
                    ] {
                        let targets: Vec<_> =
                            more.iter().filter_map(|record| file_of(record, source_tree)).collect();
                        if !targets.is_empty() {
                            files.submit(source.root(source_tree), targets);
                        }
                    }
                }
                window.extend(more);
            }
            let Some(record) = window.pop_front() else { break };
            match record {
                Record::Removal(path) => {
                    if let Some(header) = removal_header(&path) {
                        sink.put(&header)?;
                    }
                }
                Record::Tombstone(path) => {
                    sink.encoded(|out| encode(out, &tombstone(&path), RootName::Dot))?;
                }
                Record::Entry { entry, root, ino, source_tree } => {
                    sink.encoded(|out| encode(out, &entry, root))?;
                    if matches!(entry.kind, Kind::File { .. }) {
                        let opened = source.open(&entry.path, source_tree);
                        write_content(sink, opened, &entry, ino, notices)?;
                    }
                }
            }
        }
        sink.put(&END_OF_ARCHIVE)
    }
}

/// Returns the file whose content the record needs, or `None` if it is not in the tree `from`.
fn file_of(record: &Record, from: SourceTree) -> Option<Target> {
    match record {
        Record::Entry { entry, source_tree, .. }
            if matches!(entry.kind, Kind::File { .. }) && *source_tree == from =>
        {
            Some(Target { path: entry.path.clone(), kind: FileType::RegularFile })
        }
        _ => None,
    }
}

/// Makes the entry of a tombstone: an empty file whose only purpose is to remove the inode at its
/// path.
fn tombstone(path: &TarPath) -> Entry {
    Entry::file(path.clone(), 0, 0o600, Timestamp::default())
}
