//! Walks over a tree: parents before their content, names in byte order.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use rustix::fs::FileType;

use crate::create::page_cache::{FilePrefetch, REFILL_AT, Target, WINDOW};
use crate::create::stat_ahead::{Inspected, Location, Pending, Stat, StatAhead};
use crate::entry::{Entry, Kind};
use crate::error::{Error, Result};
use crate::fs::descent::Descent;
use crate::fs::errno::is_gone;
use crate::fs::readdir::Name;
use crate::fs::root::Root;
use crate::fs::stat::{Identity, Status};
use crate::notice::{Notice, Notices};
use crate::path::TarPath;

/// The action of a walk for an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visit {
    /// Return the inode and, if it is a directory, everything below it.
    Take,
    /// Return the directory, but nothing below it, as for a mount point. An inode that is not a
    /// directory is left out.
    TakeEmpty,
    /// Leave out the inode and everything below it.
    Skip,
}

/// Decides which inodes are visited. A walk calls the filter for every inode below the root, after
/// it has read the status of the inode and before it reads anything else (but see
/// [`stat_ahead`](Walk::stat_ahead)).
pub type Filter<'a> = dyn FnMut(&TarPath, &Status) -> Visit + 'a;

/// An inode that a walk returns.
#[derive(Debug)]
pub struct Found {
    /// The entry of the inode, with IDs of the host. Every further name of an inode is a
    /// [`Kind::HardLink`] to the first name.
    pub entry: Entry,
    /// The status of the inode.
    pub status: Status,
    /// The open file that status and metadata were read from, if the walk opens files and this is a
    /// regular file that can be opened.
    pub file: Option<File>,
}

/// A walk over a tree.
///
/// A walk holds in memory the names in the directories from the root to the current directory, and
/// about 100 bytes for each inode with more than one name.
pub struct Walk<'a> {
    descent: Option<Descent>,
    filter: Box<Filter<'a>>,
    /// The first name of each inode that has several.
    links: HashMap<Identity, TarPath>,
    mode: Mode,
    root_done: bool,
}

enum Mode {
    /// Inodes are inspected when the caller asks for them.
    Plain,
    /// Files are opened when the walk finds them, and the next files are prefetched.
    OpenFiles(FilePrefetch),
    /// Inodes are inspected before the caller asks for them.
    StatAhead(StatAhead),
}

impl<'a> Walk<'a> {
    /// Starts a walk over `root`. The walk returns the root first, and then the inodes that
    /// `filter` accepts.
    ///
    /// # Errors
    /// Returns an error if the root cannot be listed.
    pub fn new(root: &Root, filter: impl FnMut(&TarPath, &Status) -> Visit + 'a) -> Result<Walk<'a>> {
        let descent = Descent::new(root.fd()).map_err(|e| Error::io(TarPath::root(), e))?;
        Ok(Walk {
            descent: Some(descent),
            filter: Box::new(filter),
            links: HashMap::new(),
            mode: Mode::Plain,
            root_done: false,
        })
    }

    /// Opens regular files when the walk finds them, for a caller that reads them immediately. This
    /// saves one lookup by name for each file. A file that the filter leaves out is opened and
    /// closed.
    pub fn opening_files(mut self) -> Walk<'a> {
        self.mode = Mode::OpenFiles(FilePrefetch::default());
        self
    }

    /// Reads metadata before the caller asks for it, on a worker thread if a processor is
    /// available, for a caller that needs all inodes soon. The filter is called for a directory
    /// earlier than for files that precede the directory, and the metadata of files that the filter
    /// leaves out is read unnecessarily.
    pub fn stat_ahead(mut self) -> Walk<'a> {
        self.mode = Mode::StatAhead(StatAhead::default());
        self
    }

    /// Returns the next inode, or `None` after the last one.
    ///
    /// # Errors
    /// Returns an error if an inode cannot be read. An inode that has vanished meanwhile only
    /// causes a notice, since files may vanish from a tree that is in use.
    pub fn next(&mut self, notices: &mut dyn Notices) -> Result<Option<Found>> {
        loop {
            let ready = match &mut self.mode {
                Mode::StatAhead(stats) => stats.next_if_full(),
                _ => None,
            };
            let inspected = match ready {
                Some(inspected) => Some(inspected),
                None => match (self.advance(notices)?, &mut self.mode) {
                    (Some(pending), Mode::StatAhead(stats)) => {
                        stats.submit(pending);
                        continue;
                    }
                    (None, Mode::StatAhead(stats)) => stats.finish(),
                    (pending, _) => pending.map(Pending::inspect),
                },
            };
            let Some(inspected) = inspected else { return Ok(None) };
            if let Some(found) = self.found(inspected, notices)? {
                return Ok(Some(found));
            }
        }
    }

    /// Finds the next inode. Enters the inode if it is a directory that the filter accepts.
    fn advance(&mut self, notices: &mut dyn Notices) -> Result<Option<Pending>> {
        while let Some(descent) = self.descent.as_mut() {
            if !self.root_done {
                self.root_done = true;
                let path = TarPath::root();
                return match entered(descent, |dir| Status::at(dir, OsStr::new(""))) {
                    Ok(location) => Ok(Some(Pending { path, location })),
                    Err(e) => Err(Error::io(path, e)),
                };
            }
            if let Mode::OpenFiles(files) = &mut self.mode {
                prefetch(files, descent);
            }
            let Some(name) = descent.next_name() else {
                descent.leave();
                if descent.path().is_none() {
                    self.descent = None;
                }
                continue;
            };
            let path = descent.path().map(|p| p.child(name.name.to_bytes())).unwrap_or_default();
            match step(descent, &name, &path, &self.mode, &mut self.filter, notices) {
                Ok(Some(location)) => return Ok(Some(Pending { path, location })),
                Ok(None) => {}
                Err(e) if is_gone(&e) => changed(notices, path, "vanished"),
                Err(e) => return Err(Error::io(path, e)),
            }
        }
        Ok(None)
    }

    /// Makes the entry of an inode. Returns `None` if the filter leaves the inode out, a tar cannot
    /// represent it, or it has vanished.
    fn found(&mut self, inspected: Inspected, notices: &mut dyn Notices) -> Result<Option<Found>> {
        let Inspected { path, is_filtered, stat, metadata } = inspected;
        let gone = |path, notices: &mut dyn Notices| {
            changed(notices, path, "vanished");
            Ok(None)
        };
        let Stat { status, file } = match stat {
            Err(e) if is_gone(&e) => return gone(path, notices),
            stat => stat.map_err(|e| Error::io(&path, e))?,
        };
        if !is_filtered {
            // readdir(3) reported a non-directory; it has since been replaced by a directory.
            if status.is_dir() {
                return gone(path, notices);
            }
            if visit(&mut self.filter, &path, &status, notices) == Visit::Skip {
                return Ok(None);
            }
        }
        let (mut kind, meta) = match metadata {
            Ok(Some(metadata)) => metadata,
            Ok(None) => {
                notices.notice(Notice::Skipped { path, why: "socket" });
                return Ok(None);
            }
            Err(e) if is_gone(&e) => return gone(path, notices),
            Err(e) => return Err(Error::io(path, e)),
        };
        if status.links() > 1 && !status.is_dir() {
            match self.links.get(&status.identity()) {
                Some(first) => kind = Kind::HardLink { target: first.clone() },
                None => {
                    self.links.insert(status.identity(), path.clone());
                }
            }
        }
        Ok(Some(Found { entry: Entry { path, kind, meta }, status, file }))
    }
}

/// Reads the data of `name` in the current directory that the walk needs, and enters `name` if it
/// is a directory that the filter accepts. Returns `None` if the filter leaves `name` out.
fn step(
    descent: &mut Descent,
    Name { name, hint }: &Name,
    path: &TarPath,
    mode: &Mode,
    filter: &mut Filter<'_>,
    notices: &mut dyn Notices,
) -> io::Result<Option<Location>> {
    let name = OsStr::from_bytes(name.to_bytes());
    let dir = Arc::clone(descent.dir()?);
    let opens = match mode {
        Mode::StatAhead(_) if !matches!(*hint, FileType::Directory | FileType::Unknown) => {
            return Ok(Some(Location::In(dir, None)));
        }
        Mode::OpenFiles(_) => *hint == FileType::RegularFile,
        _ => false,
    };
    let stat = Stat::at(dir.as_fd(), name, opens)?;
    match visit(filter, path, &stat.status, notices) {
        Visit::Skip => Ok(None),
        Visit::Take if stat.status.is_dir() => {
            descent.enter(name)?;
            entered(descent, |_| Ok(stat.status)).map(Some)
        }
        _ => Ok(Some(Location::In(dir, Some(stat)))),
    }
}

/// Returns the current directory, with its status.
fn entered(
    descent: &mut Descent,
    status: impl FnOnce(BorrowedFd<'_>) -> io::Result<Status>,
) -> io::Result<Location> {
    let dir = descent.dir()?;
    Ok(Location::Entered(Arc::clone(dir), status(dir.as_fd())?))
}

/// Calls `filter`, and reports an inode that the filter leaves out.
fn visit(filter: &mut Filter<'_>, path: &TarPath, status: &Status, notices: &mut dyn Notices) -> Visit {
    let visit = filter(path, status);
    let (visit, why) = match visit {
        Visit::Skip => (visit, "excluded"),
        Visit::TakeEmpty if status.is_dir() => (visit, "content of another file system"),
        Visit::TakeEmpty => (Visit::Skip, "file of another file system"),
        Visit::Take => return visit,
    };
    notices.notice(Notice::LeftOut { path: path.clone(), why });
    visit
}

/// Queues the next entries of the current directory for prefetching.
fn prefetch(files: &mut FilePrefetch, descent: &mut Descent) {
    let Some((root, dir, names)) = descent.upcoming(REFILL_AT, WINDOW) else { return };
    if files.has_read_disk() {
        let is_read = |name: &&Name| matches!(name.hint, FileType::RegularFile | FileType::Directory);
        let target = |name: &Name| Target { path: dir.child(name.name.to_bytes()), kind: name.hint };
        files.submit(root, names.iter().rev().filter(is_read).map(target).collect());
    }
}

fn changed(notices: &mut dyn Notices, path: TarPath, how: &'static str) {
    notices.notice(Notice::Changed { path, how });
}
