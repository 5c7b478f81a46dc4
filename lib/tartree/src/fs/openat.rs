//! Opens files and directories relative to a directory descriptor, never through a symbolic link.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use rustix::fs::{Mode, OFlags, openat};

/// Paths longer than this are resolved in steps: the kernel takes at most PATH_MAX (4096) bytes at once.
const STEP: usize = 4000;
/// Opens the directory at the clean, not empty `path` below `base`.
pub(crate) fn open_dir_below(
    base: BorrowedFd<'_>,
    path: &[u8],
    flags: OFlag,
    resolve: ResolveFlag,
) -> io::Result<OwnedFd> {
    open_below(base, path, flags | OFlag::O_DIRECTORY, resolve)
}

/// Opens whatever is at the clean, not empty `path` below `base`, never through a symbolic link.
pub(crate) fn open_below(
    base: BorrowedFd<'_>,
    path: &[u8],
    flags: OFlag,
    resolve: ResolveFlag,
) -> io::Result<OwnedFd> {
    let resolve = resolve | ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS;
    let mut rest = path;
    let mut opened: Option<OwnedFd> = None;
    loop {
        let (step, after) = if rest.len() <= STEP {
            (rest, &b""[..])
        } else {
            let at = rest[..STEP].iter().rposition(|&b| b == b'/').ok_or(Errno::ENAMETOOLONG)?;
            (&rest[..at], &rest[at + 1..])
        };
        let flags = if after.is_empty() { flags } else { OFlag::O_PATH | OFlag::O_DIRECTORY };
        let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(resolve);
        let dir = opened.as_ref().map_or(base, |fd| fd.as_fd());
        let next = loop {
            // EAGAIN: something was renamed meanwhile and the kernel could not be sure (openat2(2)).
            match openat2(dir, OsStr::from_bytes(step), how) {
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                result => break result?,
            }
        };
        if after.is_empty() {
            return Ok(next);
        }
        opened = Some(next);
        rest = after;
    }
}

/// Opens the directory `name` in `dir` for listing.
pub(crate) fn open_dir(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    // As for files: listing shall not change the atime where we may ask for that.
    match openat(dir, name, flags | OFlags::NOATIME, Mode::empty()) {
        Err(rustix::io::Errno::PERM) => Ok(openat(dir, name, flags, Mode::empty())?),
        opened => Ok(opened?),
    }
}

/// As [`open_dir`], with `resolve`.
pub(crate) fn open_dir_with(dir: BorrowedFd<'_>, name: &OsStr, resolve: ResolveFlag) -> io::Result<OwnedFd> {
    if resolve.is_empty() {
        return open_dir(dir, name);
    }
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW;
    match open_dir_below(dir, name.as_bytes(), flags | OFlag::O_NOATIME, resolve) {
        Err(e) if e.raw_os_error() == Some(libc::EPERM) => {
            open_dir_below(dir, name.as_bytes(), flags, resolve)
        }
        opened => opened,
    }
}

/// Opens a regular file for reading. A FIFO that took its place does not block, a link is not followed.
///
/// # Errors
/// The kernel's.
pub fn open_file(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    // Reading must not change the tree: atime stays, where we may ask for that.
    match openat(dir, name, flags | OFlags::NOATIME, Mode::empty()) {
        Err(rustix::io::Errno::PERM) => Ok(openat(dir, name, flags, Mode::empty())?.into()),
        opened => Ok(opened?.into()),
    }
}

/// A path for the system calls that take no directory descriptor.
pub(crate) fn proc_path(dir: BorrowedFd<'_>, name: &OsStr) -> PathBuf {
    let mut path = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd()));
    if !name.is_empty() {
        path.push(name);
    }
    path
}
