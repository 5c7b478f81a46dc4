//! Looking at objects on two threads: while one goes on through the tree, another reads the metadata of what was found.
//!
//! A plan of a tree is made of nothing but calls for metadata, two for each object, and whoever waits for its first byte
//! waits for all of them.

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
use crate::parallel::ordered::{Ahead, Task};
use crate::parallel::stage::processors_and_descriptors;
use crate::path::TarPath;

/// Objects that are handed over at once.
const OBJECTS: usize = 64;
/// The most directories that these may be in, each a descriptor.
const DIRECTORIES: usize = 4;
/// Objects before a second thread is worth starting.
const ALONE: usize = 256;

/// An object on the way through a tree.
pub(crate) struct Object {
    pub path: TarPath,
    pub at: At,
}

/// Where an object is, and what is known of it.
pub(crate) enum At {
    /// A directory that was gone into, by its own descriptor: what becomes of its name does not matter any more.
    Entered(Arc<OwnedFd>, Status),
    /// In a directory, under the last component of its path.
    In(Arc<OwnedFd>, Option<Look>),
}

/// The status of an object, and the open file where that was asked for.
pub(crate) struct Look {
    pub status: Status,
    pub file: Option<File>,
}

/// An object that was looked at.
pub(crate) struct Seen {
    pub path: TarPath,
    /// Its status was known before.
    pub was_known: bool,
    pub look: io::Result<Look>,
    /// Its kind and metadata, as [`read_metadata`] gives them, if there is a status.
    pub captured: io::Result<Option<(Kind, Meta)>>,
}

impl Look {
    /// At the object `name` in `dir`. Where `opens` says so and it can be had, its status is that of the open file.
    pub fn at(dir: BorrowedFd<'_>, name: &OsStr, opens: bool) -> io::Result<Look> {
        if opens {
            // Where it cannot be opened, or is something else by now, the way of all other objects tells more.
            if let Ok(file) = open_file(dir, name) {
                let status = Status::at(file.as_fd(), OsStr::new(""))?;
                if status.is_file() {
                    return Ok(Look { status, file: Some(file) });
                }
            }
        }
        Ok(Look { status: Status::at(dir, name)?, file: None })
    }
}

impl Object {
    /// Reads what is not known yet.
    pub fn see(self) -> Seen {
        let path = self.path;
        match self.at {
            At::Entered(dir, status) => {
                let meta = xattrs::of_file(dir.as_fd()).map(|xattrs| status.meta(xattrs));
                let captured = meta.map(|meta| Some((Kind::Dir, meta)));
                Seen { path, was_known: true, look: Ok(Look { status, file: None }), captured }
            }
            At::In(dir, look) => {
                let name = path.split().map_or(OsStr::new(""), |(_, name)| name);
                let was_known = look.is_some();
                let look = look.map_or_else(|| Look::at(dir.as_fd(), name, false), Ok);
                let captured = match &look {
                    Ok(Look { status, file: Some(file) }) => read_file_metadata(file, status).map(Some),
                    Ok(Look { status, file: None }) => read_metadata(dir.as_fd(), name, status),
                    Err(_) => Ok(None),
                };
                Seen { path, was_known, look, captured }
            }
        }
    }

    fn dir(&self) -> &Arc<OwnedFd> {
        let (At::Entered(dir, _) | At::In(dir, _)) = &self.at;
        dir
    }
}

/// Objects that are looked at while others are found. They come back in the order in which they were given.
pub(crate) struct LookAhead {
    filling: Batch,
    ahead: Ahead<Batch>,
    back: vec::IntoIter<Seen>,
    /// Objects that are left for the first thread alone.
    alone: usize,
}

impl Default for LookAhead {
    fn default() -> LookAhead {
        LookAhead {
            filling: Batch::default(),
            ahead: Ahead::default(),
            back: Vec::new().into_iter(),
            alone: ALONE,
        }
    }
}

impl LookAhead {
    /// Gives an object to be looked at.
    pub fn put(&mut self, object: Object) {
        self.filling.put(object);
        if self.filling.is_full() {
            self.hand_over();
        }
    }

    /// The next object that was looked at, as long as there are so many on their way that no more need be found at once.
    pub fn next(&mut self) -> Option<Seen> {
        if self.back.len() == 0 && self.ahead.is_full() {
            self.take_back();
        }
        self.back.next()
    }

    /// The next object that was looked at, when no more will be found.
    pub fn rest(&mut self) -> Option<Seen> {
        if !self.filling.objects.is_empty() {
            self.hand_over();
        }
        if self.back.len() == 0 {
            self.take_back();
        }
        self.back.next()
    }

    fn hand_over(&mut self) {
        self.alone = self.alone.saturating_sub(self.filling.objects.len());
        if self.alone == 0 {
            // Asked once.
            self.alone = usize::MAX;
            if processors_and_descriptors() {
                self.ahead.start("look-ahead");
            }
        }
        self.ahead.put(std::mem::take(&mut self.filling));
    }

    fn take_back(&mut self) {
        if let Some(batch) = self.ahead.take() {
            self.back = batch.seen.into_iter();
        }
    }
}

/// What is handed over at once.
#[derive(Default)]
struct Batch {
    objects: Vec<Object>,
    directories: usize,
    seen: Vec<Seen>,
}

impl Batch {
    fn put(&mut self, object: Object) {
        if self.objects.last().is_none_or(|last| !Arc::ptr_eq(last.dir(), object.dir())) {
            self.directories += 1;
        }
        self.objects.push(object);
    }

    fn is_full(&self) -> bool {
        self.objects.len() == OBJECTS || self.directories == DIRECTORIES
    }
}

impl Task for Batch {
    fn is_done(&self) -> bool {
        self.objects.is_empty()
    }

    fn work(&mut self) {
        self.seen.extend(std::mem::take(&mut self.objects).into_iter().map(Object::see));
    }
}
