//! The objects of a tree, parents first, names in byte order.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::FileType;
use rustix::io::Errno;

use crate::capture::{Identity, Status, capture, capture_file, open_file};
use crate::descent::{Descent, Name};
use crate::entry::{Entry, Kind};
use crate::error::{Error, Result};
use crate::notice::{Notice, Notices};
use crate::path::TarPath;
use crate::read_ahead::{Coming, FAR, NEAR, ReadAhead};
use crate::root::Root;

/// What to do with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visit {
    /// Take it, and of a directory all that is in it.
    Take,
    /// Take the directory but not what is in it, as for a mount point.
    TakeEmpty,
    /// Leave it out with all that is in it.
    Skip,
}

/// Decides what is visited; asked for every object below the root before anything but its status is read.
pub type Filter<'a> = dyn FnMut(&TarPath, &Status) -> Visit + 'a;

/// An object that was found.
#[derive(Debug)]
pub struct Found {
    /// Its entry, with ids as on this host. The second name of an inode is a [`Kind::HardLink`] to the first.
    pub entry: Entry,
    /// Its status.
    pub status: Status,
    /// The open file, which status and metadata are of, if the walk opens files and this is one that can be opened.
    pub file: Option<File>,
}

/// A walk over a tree.
///
/// Memory: the names of the directories on the way down, and about 100 bytes for each inode with more than one name.
pub struct Walk<'a> {
    descent: Option<Descent>,
    filter: Box<Filter<'a>>,
    links: HashMap<Identity, TarPath>,
    /// Where files are opened as they are found, the next ones are read ahead.
    opens_files: Option<ReadAhead>,
    root_done: bool,
    /// Directory to go down into before the next name.
    pending: Option<Vec<u8>>,
}

impl<'a> Walk<'a> {
    /// Walks over what is in `root`, the root itself first, as `filter` decides.
    ///
    /// # Errors
    /// When the root cannot be listed.
    pub fn new(root: &Root, filter: impl FnMut(&TarPath, &Status) -> Visit + 'a) -> Result<Walk<'a>> {
        let descent = Descent::new(root.fd()).map_err(|e| Error::io(TarPath::root(), e))?;
        Ok(Walk {
            descent: Some(descent),
            filter: Box::new(filter),
            links: HashMap::new(),
            opens_files: None,
            root_done: false,
            pending: None,
        })
    }

    /// Opens regular files as it finds them, for a caller that reads them at once: one look-up by name less for each.
    /// A file that the filter leaves out is opened and closed.
    pub fn opening_files(mut self) -> Walk<'a> {
        self.opens_files = Some(ReadAhead::default());
        self
    }

    /// The next object.
    ///
    /// # Errors
    /// When an object cannot be read. One that vanished meanwhile is only noticed, since a tree in use loses files.
    pub fn next(&mut self, notices: &mut dyn Notices) -> Result<Option<Found>> {
        let Some(descent) = self.descent.as_mut() else { return Ok(None) };
        if !self.root_done {
            self.root_done = true;
            let dir = descent.dir().map_err(|e| Error::io(TarPath::root(), e))?;
            let status = Status::at(dir, OsStr::new("")).map_err(|e| Error::io(TarPath::root(), e))?;
            return self.found(OsStr::new(""), TarPath::root(), status, None, notices);
        }
        loop {
            let Some(descent) = self.descent.as_mut() else { return Ok(None) };
            if let Some(name) = self.pending.take() {
                let path = descent.path().map(|p| p.child(&name)).unwrap_or_default();
                match descent.enter(OsStr::from_bytes(&name)) {
                    Err(e) if is_gone(&e) => changed(notices, path, "vanished"),
                    result => result.map_err(|e| Error::io(path, e))?,
                }
                continue;
            }
            if let Some(ahead) = &mut self.opens_files {
                read_ahead(ahead, descent);
            }
            let Some(name) = descent.next_name() else {
                descent.leave();
                if descent.path().is_none() {
                    self.descent = None;
                }
                continue;
            };
            let path = descent.path().map(|p| p.child(name.name.to_bytes())).unwrap_or_default();
            let opens = self.opens_files.is_some() && name.hint == FileType::RegularFile;
            let name = OsStr::from_bytes(name.name.to_bytes());
            let (status, file) = match descent.dir().and_then(|dir| look(dir, name, opens)) {
                Err(e) if is_gone(&e) => {
                    changed(notices, path, "vanished");
                    continue;
                }
                result => result.map_err(|e| Error::io(&path, e))?,
            };
            let visit = (self.filter)(&path, &status);
            if visit == Visit::Skip {
                notices.notice(Notice::LeftOut { path, why: "excluded" });
                continue;
            }
            if status.is_dir() && visit == Visit::TakeEmpty {
                notices.notice(Notice::LeftOut { path: path.clone(), why: "content of another file system" });
            }
            if status.is_dir() && visit == Visit::Take {
                self.pending = Some(name.as_bytes().to_vec());
            }
            if let Some(found) = self.found(name, path, status, file, notices)? {
                return Ok(Some(found));
            }
        }
    }

    /// Reads what the entry needs; `None` where the object cannot stand in a tar or is gone.
    fn found(
        &mut self,
        name: &OsStr,
        path: TarPath,
        status: Status,
        file: Option<File>,
        notices: &mut dyn Notices,
    ) -> Result<Option<Found>> {
        let Some(descent) = self.descent.as_mut() else { return Ok(None) };
        let captured = match &file {
            Some(file) => capture_file(file, &status).map(Some),
            None => descent.dir().and_then(|dir| capture(dir, name, &status)),
        };
        let (mut kind, meta) = match captured {
            Ok(Some(captured)) => captured,
            Ok(None) => {
                notices.notice(Notice::Skipped { path, why: "socket" });
                return Ok(None);
            }
            Err(e) if is_gone(&e) => {
                changed(notices, path, "vanished");
                self.pending = None;
                return Ok(None);
            }
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

/// The status of an object, and where `opens` says so and it can be had the open file it is of.
fn look(dir: BorrowedFd<'_>, name: &OsStr, opens: bool) -> io::Result<(Status, Option<File>)> {
    if opens {
        // Where it cannot be opened, or is something else by now, the way of all other objects tells more.
        if let Ok(file) = open_file(dir, name) {
            let status = Status::at(file.as_fd(), OsStr::new(""))?;
            if status.is_file() {
                return Ok((status, Some(file)));
            }
        }
    }
    Ok((Status::at(dir, name)?, None))
}

/// Asks for what comes next in the current directory.
fn read_ahead(ahead: &mut ReadAhead, descent: &mut Descent) {
    let Some((root, dir, names)) = descent.ahead(NEAR, FAR) else { return };
    if ahead.is_worth_it() {
        let read = |name: &&Name| matches!(name.hint, FileType::RegularFile | FileType::Directory);
        let coming = |name: &Name| Coming { path: dir.child(name.name.to_bytes()), kind: name.hint };
        ahead.ask(root, names.iter().rev().filter(read).map(coming).collect());
    }
}

fn changed(notices: &mut dyn Notices, path: TarPath, how: &'static str) {
    notices.notice(Notice::Changed { path, how });
}

/// Gone, or something else by now: a directory that became a file, a file that became a link.
pub(crate) fn is_gone(e: &io::Error) -> bool {
    let gone = [Errno::NOENT, Errno::NOTDIR, Errno::LOOP, Errno::STALE];
    gone.iter().any(|errno| e.raw_os_error() == Some(errno.raw_os_error()))
}
