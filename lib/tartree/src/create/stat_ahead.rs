//! Reads the metadata of inodes on a worker thread while the walk finds the next inodes.
//!
//! Planning a tree consists mainly of two system calls for each inode, and the first byte of the
//! tar can be written only after all of them.
//!
//! Three types represent an inode, in this order:
//!
//! 1. [`Pending`]: the walk has found its name, and has read its status if it had to decide whether
//!    to enter it;
//! 2. [`Inspected`]: its status and metadata were read, or could not be read;
//! 3. [`Found`](crate::Found): the filter accepts it, and it has an entry for the tar.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::vec;

use crate::entry::{Kind, Meta};
use crate::fs::openat::open_file;
use crate::fs::read_metadata::{read_file_metadata, read_metadata};
use crate::fs::stat::Status;
use crate::fs::xattrs;
use crate::parallel::policy::STAT_AHEAD;
use crate::parallel::{Ordered, Task};
use crate::path::TarPath;

/// The maximum number of inodes in one batch.
const BATCH_INODES: usize = 64;
/// The maximum number of directories that contain the inodes of one batch. Each directory costs an
/// open descriptor.
const BATCH_DIRECTORIES: usize = 4;

/// An inode that the walk has found.
pub(crate) struct Pending {
    pub path: TarPath,
    pub location: Location,
}

/// How to access the inode, and which of its data was already read.
pub(crate) enum Location {
    /// A directory that the walk has entered. It is accessed through its own descriptor, so a
    /// rename of the directory has no effect.
    Entered(Arc<OwnedFd>, Status),
    /// An inode in this directory; its name is the last component of its path.
    In(Arc<OwnedFd>, Option<Stat>),
}

/// The status of an inode, and the open file if the walk opens files.
pub(crate) struct Stat {
    pub status: Status,
    pub file: Option<File>,
}

/// An inode whose metadata was read.
pub(crate) struct Inspected {
    pub path: TarPath,
    /// Whether the filter has already accepted the inode. If not, the filter must be called now
    /// that the status is known.
    pub is_filtered: bool,
    pub stat: io::Result<Stat>,
    /// The kind and metadata as [`read_metadata`] returns them. Also `None` if the status could not
    /// be read.
    pub metadata: io::Result<Option<(Kind, Meta)>>,
}

impl Stat {
    /// Reads the status of `name` in `dir`. If `opens` is set and `name` is a regular file that can
    /// be opened, opens the file and reads the status from the open file.
    pub fn at(dir: BorrowedFd<'_>, name: &OsStr, opens: bool) -> io::Result<Stat> {
        if opens {
            // If the file cannot be opened, or now has another type, the status is read by name,
            // which returns the status or the error to report.
            if let Ok(file) = open_file(dir, name) {
                let status = Status::at(file.as_fd(), OsStr::new(""))?;
                if status.is_file() {
                    return Ok(Stat { status, file: Some(file) });
                }
            }
        }
        Ok(Stat { status: Status::at(dir, name)?, file: None })
    }
}

impl Pending {
    /// Reads the status and metadata that were not read yet.
    pub fn inspect(self) -> Inspected {
        let path = self.path;
        match self.location {
            Location::Entered(dir, status) => {
                let meta = xattrs::of_file(dir.as_fd()).map(|xattrs| status.meta(xattrs));
                let metadata = meta.map(|meta| Some((Kind::Dir, meta)));
                Inspected { path, is_filtered: true, stat: Ok(Stat { status, file: None }), metadata }
            }
            Location::In(dir, stat) => {
                let name = path.split().map_or(OsStr::new(""), |(_, name)| name);
                let is_filtered = stat.is_some();
                let stat = stat.map_or_else(|| Stat::at(dir.as_fd(), name, false), Ok);
                let metadata = match &stat {
                    Ok(Stat { status, file: Some(file) }) => read_file_metadata(file, status).map(Some),
                    Ok(Stat { status, file: None }) => read_metadata(dir.as_fd(), name, status),
                    Err(_) => Ok(None),
                };
                Inspected { path, is_filtered, stat, metadata }
            }
        }
    }

    fn dir(&self) -> &Arc<OwnedFd> {
        let (Location::Entered(dir, _) | Location::In(dir, _)) = &self.location;
        dir
    }
}

/// Inspects inodes in batches and returns them in the order of submission.
pub(crate) struct StatAhead {
    filling: Batch,
    batches: Ordered<Batch>,
    /// The inodes of the last received batch that were not returned yet.
    inspected: vec::IntoIter<Inspected>,
    /// The number of inodes that are still inspected without a worker thread.
    alone: usize,
}

impl Default for StatAhead {
    fn default() -> StatAhead {
        StatAhead {
            filling: Batch::default(),
            batches: Ordered::new(),
            inspected: Vec::new().into_iter(),
            alone: STAT_AHEAD.alone,
        }
    }
}

impl StatAhead {
    /// Submits an inode for inspection.
    pub fn submit(&mut self, pending: Pending) {
        self.filling.push(pending);
        if self.filling.is_full() {
            self.submit_batch();
        }
    }

    /// Returns the next inspected inode if one is ready, or if the maximum number of batches is in
    /// flight. Returns `None` if the walk should submit more inodes.
    pub fn next_if_full(&mut self) -> Option<Inspected> {
        if self.inspected.len() == 0 && self.batches.is_full() {
            self.receive_batch();
        }
        self.inspected.next()
    }

    /// Returns the next inspected inode after the walk has submitted its last inode. Returns `None`
    /// after all inodes.
    pub fn finish(&mut self) -> Option<Inspected> {
        if !self.filling.inodes.is_empty() {
            self.submit_batch();
        }
        if self.inspected.len() == 0 {
            self.receive_batch();
        }
        self.inspected.next()
    }

    fn submit_batch(&mut self) {
        self.alone = self.alone.saturating_sub(self.filling.inodes.len());
        if self.alone == 0 {
            // The policy is consulted only once.
            self.alone = usize::MAX;
            self.batches.start_helper(&STAT_AHEAD);
        }
        self.batches.submit(std::mem::take(&mut self.filling));
    }

    fn receive_batch(&mut self) {
        if let Some(inspected) = self.batches.next() {
            self.inspected = inspected.into_iter();
        }
    }
}

/// Inodes that are submitted together, because waking a thread costs as much as a few system calls.
#[derive(Default)]
struct Batch {
    inodes: Vec<Pending>,
    directories: usize,
}

impl Batch {
    fn push(&mut self, pending: Pending) {
        if self.inodes.last().is_none_or(|last| !Arc::ptr_eq(last.dir(), pending.dir())) {
            self.directories += 1;
        }
        self.inodes.push(pending);
    }

    fn is_full(&self) -> bool {
        self.inodes.len() == BATCH_INODES || self.directories == BATCH_DIRECTORIES
    }
}

impl Task for Batch {
    type Output = Vec<Inspected>;

    fn run(self) -> Vec<Inspected> {
        self.inodes.into_iter().map(Pending::inspect).collect()
    }
}
