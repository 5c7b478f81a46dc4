//! Descends a tree of any depth with a bounded number of descriptors.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use nix::fcntl::{OFlag, ResolveFlag};

use crate::fs::openat::{open_dir, open_dir_below, open_dir_with};
use crate::fs::readdir::{Name, list};
use crate::path::TarPath;

/// Number of directories on the current path that stay open. Directories above them are reopened on
/// the way up.
const OPEN: usize = 16;

/// The path from a base directory down to the directory that is being listed.
pub(crate) struct Descent {
    base: Arc<OwnedFd>,
    resolve: ResolveFlag,
    frames: Vec<Frame>,
}

struct Frame {
    /// Path of the current directory below the base.
    path: TarPath,
    fd: Option<Arc<OwnedFd>>,
    /// Names still to visit, in reverse order.
    names: Vec<Name>,
    /// Number of these names that [`upcoming`](Descent::upcoming) has not returned yet.
    not_announced: usize,
}

impl Frame {
    fn new(path: TarPath, fd: Option<Arc<OwnedFd>>, names: Vec<Name>) -> Frame {
        let not_announced = names.len();
        Frame { path, fd, names, not_announced }
    }
}

impl Descent {
    /// Starts a descent at the directory `base`.
    pub fn new(base: BorrowedFd<'_>) -> io::Result<Descent> {
        Descent::by(base, ResolveFlag::empty())
    }

    /// Like [`new`](Descent::new), but opens directories with `resolve`.
    pub fn by(base: BorrowedFd<'_>, resolve: ResolveFlag) -> io::Result<Descent> {
        // Opens a descriptor of its own: `base` may be O_PATH, and the caller's listing position
        // must not move.
        let fd = open_dir(base, OsStr::new("."))?;
        let names = list(fd.as_fd())?;
        Ok(Descent { base: Arc::new(fd), resolve, frames: vec![Frame::new(TarPath::root(), None, names)] })
    }

    /// Returns the path of the current directory below the base, or `None` after the last
    /// directory.
    pub fn path(&self) -> Option<&TarPath> {
        self.frames.last().map(|frame| &frame.path)
    }

    /// Returns the next name in the current directory.
    pub fn next_name(&mut self) -> Option<Name> {
        self.frames.last_mut().and_then(|frame| frame.names.pop())
    }

    /// Returns the base, the current directory, and the next names in the current directory that
    /// this function has not returned before. The names are in reverse order. At most `window`
    /// names are returned, and none while more than `refill_at` of the returned names are still to
    /// be visited.
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

    /// Returns the current directory.
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

    /// Descends into the directory `name` of the current directory.
    pub fn enter(&mut self, name: &OsStr) -> io::Result<()> {
        let resolve = self.resolve;
        let fd = open_dir_with(self.dir()?.as_fd(), name, resolve)?;
        self.enter_opened(name, fd)
    }

    /// Like [`enter`](Descent::enter), for a directory that is already open as `fd`, for listing.
    pub fn enter_opened(&mut self, name: &OsStr, fd: OwnedFd) -> io::Result<()> {
        let names = list(fd.as_fd())?;
        let path = self.path().map(|path| path.child(name.as_bytes())).unwrap_or_default();
        self.frames.push(Frame::new(path, Some(Arc::new(fd)), names));
        if let Some(far) = self.frames.len().checked_sub(OPEN + 1) {
            self.frames[far].fd = None;
        }
        Ok(())
    }

    /// Ascends to the parent directory and returns the path of the directory that was left.
    pub fn leave(&mut self) -> Option<TarPath> {
        self.frames.pop().map(|frame| frame.path)
    }
}
