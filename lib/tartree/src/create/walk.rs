//! The objects of a tree, parents first, names in byte order.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use rustix::fs::FileType;

use crate::create::page_cache::{Coming, FAR, NEAR, ReadAhead};
use crate::create::stat_ahead::{At, Look, LookAhead, Object, Seen};
use crate::entry::{Entry, Kind};
use crate::error::{Error, Result};
use crate::fs::descent::Descent;
use crate::fs::errno::is_gone;
use crate::fs::readdir::Name;
use crate::fs::root::Root;
use crate::fs::stat::{Identity, Status};
use crate::notice::{Notice, Notices};
use crate::path::TarPath;

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

/// Decides what is visited; asked for every object below the root before anything but its status is read (but see
/// [`looking_ahead`](Walk::looking_ahead)).
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
    manner: Manner,
    root_done: bool,
}

enum Manner {
    /// Each object is looked at when it is asked for.
    Plain,
    /// Files are opened as they are found, and the next ones are read ahead.
    OpensFiles(ReadAhead),
    LooksAhead(LookAhead),
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
            manner: Manner::Plain,
            root_done: false,
        })
    }

    /// Opens regular files as it finds them, for a caller that reads them at once: one look-up by name less for each.
    /// A file that the filter leaves out is opened and closed.
    pub fn opening_files(mut self) -> Walk<'a> {
        self.manner = Manner::OpensFiles(ReadAhead::default());
        self
    }

    /// Looks at objects before they are asked for, on a second thread where there is a processor for one: for a caller that
    /// wants to have them all soon. The filter is asked of directories first, and of a file that it leaves out the metadata
    /// are read.
    pub fn looking_ahead(mut self) -> Walk<'a> {
        self.manner = Manner::LooksAhead(LookAhead::default());
        self
    }

    /// The next object.
    ///
    /// # Errors
    /// When an object cannot be read. One that vanished meanwhile is only noticed, since a tree in use loses files.
    pub fn next(&mut self, notices: &mut dyn Notices) -> Result<Option<Found>> {
        loop {
            let ready = match &mut self.manner {
                Manner::LooksAhead(looks) => looks.next(),
                _ => None,
            };
            let seen = match ready {
                Some(seen) => Some(seen),
                None => match (self.advance(notices)?, &mut self.manner) {
                    (Some(object), Manner::LooksAhead(looks)) => {
                        looks.put(object);
                        continue;
                    }
                    (None, Manner::LooksAhead(looks)) => looks.rest(),
                    (object, _) => object.map(Object::see),
                },
            };
            let Some(seen) = seen else { return Ok(None) };
            if let Some(found) = self.found(seen, notices)? {
                return Ok(Some(found));
            }
        }
    }

    /// Goes on to the next object; where it is a directory, what is in it comes next.
    fn advance(&mut self, notices: &mut dyn Notices) -> Result<Option<Object>> {
        while let Some(descent) = self.descent.as_mut() {
            if !self.root_done {
                self.root_done = true;
                let path = TarPath::root();
                return match entered(descent, |dir| Status::at(dir, OsStr::new(""))) {
                    Ok(at) => Ok(Some(Object { path, at })),
                    Err(e) => Err(Error::io(path, e)),
                };
            }
            if let Manner::OpensFiles(ahead) = &mut self.manner {
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
            match step(descent, &name, &path, &self.manner, &mut self.filter, notices) {
                Ok(Some(at)) => return Ok(Some(Object { path, at })),
                Ok(None) => {}
                Err(e) if is_gone(&e) => changed(notices, path, "vanished"),
                Err(e) => return Err(Error::io(path, e)),
            }
        }
        Ok(None)
    }

    /// What was found; `None` where the object is left out, cannot stand in a tar, or is gone.
    fn found(&mut self, seen: Seen, notices: &mut dyn Notices) -> Result<Option<Found>> {
        let Seen { path, was_known, look, captured } = seen;
        let gone = |path, notices: &mut dyn Notices| {
            changed(notices, path, "vanished");
            Ok(None)
        };
        let Look { status, file } = match look {
            Err(e) if is_gone(&e) => return gone(path, notices),
            look => look.map_err(|e| Error::io(&path, e))?,
        };
        if !was_known {
            // What was to be found here was none: a directory was made in its place since.
            if status.is_dir() {
                return gone(path, notices);
            }
            if visit(&mut self.filter, &path, &status, notices) == Visit::Skip {
                return Ok(None);
            }
        }
        let (mut kind, meta) = match captured {
            Ok(Some(captured)) => captured,
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

/// Looks at `name` in the current directory as far as that cannot wait, and goes into it if it is a directory; `None` where
/// the filter leaves it out.
fn step(
    descent: &mut Descent,
    Name { name, hint }: &Name,
    path: &TarPath,
    manner: &Manner,
    filter: &mut Filter<'_>,
    notices: &mut dyn Notices,
) -> io::Result<Option<At>> {
    let name = OsStr::from_bytes(name.to_bytes());
    let dir = Arc::clone(descent.dir()?);
    let opens = match manner {
        Manner::LooksAhead(_) if !matches!(*hint, FileType::Directory | FileType::Unknown) => {
            return Ok(Some(At::In(dir, None)));
        }
        Manner::OpensFiles(_) => *hint == FileType::RegularFile,
        _ => false,
    };
    let look = Look::at(dir.as_fd(), name, opens)?;
    match visit(filter, path, &look.status, notices) {
        Visit::Skip => Ok(None),
        Visit::Take if look.status.is_dir() => {
            descent.enter(name)?;
            entered(descent, |_| Ok(look.status)).map(Some)
        }
        _ => Ok(Some(At::In(dir, Some(look)))),
    }
}

/// The current directory, with its status.
fn entered(
    descent: &mut Descent,
    status: impl FnOnce(BorrowedFd<'_>) -> io::Result<Status>,
) -> io::Result<At> {
    let dir = descent.dir()?;
    Ok(At::Entered(Arc::clone(dir), status(dir.as_fd())?))
}

/// Asks `filter`, and tells what it leaves out.
fn visit(filter: &mut Filter<'_>, path: &TarPath, status: &Status, notices: &mut dyn Notices) -> Visit {
    let visit = filter(path, status);
    let why = match visit {
        Visit::Skip => "excluded",
        Visit::TakeEmpty if status.is_dir() => "content of another file system",
        _ => return visit,
    };
    notices.notice(Notice::LeftOut { path: path.clone(), why });
    visit
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
