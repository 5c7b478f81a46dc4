//! Going down a tree of any depth with a bounded number of descriptors.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use nix::fcntl::{OFlag, ResolveFlag};

use crate::fs::openat::{open_dir, open_dir_below, open_dir_with};
use crate::fs::readdir::{Name, list};
use crate::path::TarPath;

/// Directories of the way down that stay open; those above are opened again on the way up.
const OPEN: usize = 16;

/// The way from a base directory down to the one being listed.
pub(crate) struct Descent {
    base: Arc<OwnedFd>,
    resolve: ResolveFlag,
    frames: Vec<Frame>,
}

struct Frame {
    /// Below the base.
    path: TarPath,
    fd: Option<Arc<OwnedFd>>,
    /// What is left to visit, in reverse order.
    names: Vec<Name>,
    /// How many of these [`upcoming`](Descent::upcoming) has not returned yet.
    not_announced: usize,
}

impl Frame {
    fn new(path: TarPath, fd: Option<Arc<OwnedFd>>, names: Vec<Name>) -> Frame {
        let not_announced = names.len();
        Frame { path, fd, names, not_announced }
    }
}

impl Descent {
    /// Starts with the content of `base`.
    pub fn new(base: BorrowedFd<'_>) -> io::Result<Descent> {
        Descent::by(base, ResolveFlag::empty())
    }

    /// As [`new`](Descent::new), where directories are opened with `resolve`.
    pub fn by(base: BorrowedFd<'_>, resolve: ResolveFlag) -> io::Result<Descent> {
        // A descriptor of our own: the listing position of `base` is not ours to move, and it may be O_PATH.
        let fd = open_dir(base, OsStr::new("."))?;
        let names = list(fd.as_fd())?;
        Ok(Descent { base: Arc::new(fd), resolve, frames: vec![Frame::new(TarPath::root(), None, names)] })
    }

    /// Path of the current directory below the base; `None` when all is visited.
    pub fn path(&self) -> Option<&TarPath> {
        self.frames.last().map(|frame| &frame.path)
    }

    /// The next name in the current directory.
    pub fn next_name(&mut self) -> Option<Name> {
        self.frames.last_mut().and_then(|frame| frame.names.pop())
    }

    /// Returns the base, the current directory, and its next names that were not returned before, in reverse order: at most
    /// `window` of them, and only if no more than `refill_at` names that were returned are still to be visited.
    pub fn upcoming(
        &mut self,
        refill_at: usize,
        window: usize,
    ) -> Option<(BorrowedFd<'_>, &TarPath, &[Name])> {
        let frame = self.frames.last_mut()?;
        let end = frame.not_announced.min(frame.names.len());
        if end == 0 || frame.names.len() - end > refill_at {
            return None;
        }
        frame.not_announced = end.saturating_sub(window);
        Some((self.base.as_fd(), &frame.path, &frame.names[frame.not_announced..end]))
    }

    /// The current directory.
    pub fn dir(&mut self) -> io::Result<&Arc<OwnedFd>> {
        let (base, resolve) = (&self.base, self.resolve);
        match self.frames.last_mut() {
            Some(frame) if !frame.path.is_root() => {
                let fd = match frame.fd.take() {
                    Some(fd) => fd,
                    None => {
                        let path = frame.path.as_bytes();
                        Arc::new(open_dir_below(base.as_fd(), path, OFlag::O_RDONLY, resolve)?)
                    }
                };
                Ok(frame.fd.insert(fd))
            }
            _ => Ok(base),
        }
    }

    /// Goes down into the directory `name` of the current one.
    pub fn enter(&mut self, name: &OsStr) -> io::Result<()> {
        let resolve = self.resolve;
        let fd = open_dir_with(self.dir()?.as_fd(), name, resolve)?;
        self.enter_opened(name, fd)
    }

    /// As [`enter`](Descent::enter), where `fd` is that directory, opened for listing.
    pub fn enter_opened(&mut self, name: &OsStr, fd: OwnedFd) -> io::Result<()> {
        let names = list(fd.as_fd())?;
        let path = self.path().map(|path| path.child(name.as_bytes())).unwrap_or_default();
        self.frames.push(Frame::new(path, Some(Arc::new(fd)), names));
        if let Some(far) = self.frames.len().checked_sub(OPEN + 1) {
            self.frames[far].fd = None;
        }
        Ok(())
    }

    /// Goes up; gives the path of the directory that was left.
    pub fn leave(&mut self) -> Option<TarPath> {
        self.frames.pop().map(|frame| frame.path)
    }
}
