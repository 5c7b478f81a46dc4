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

/// Longer paths are resolved in steps, because the kernel accepts at most PATH_MAX (4096) bytes per
/// call.
const STEP: usize = 4000;
/// Opens the directory at `path` below `base`. `path` is clean and not empty.
pub(crate) fn open_dir_below(
    base: BorrowedFd<'_>,
    path: &[u8],
    flags: OFlag,
    resolve: ResolveFlag,
) -> io::Result<OwnedFd> {
    open_below(base, path, flags | OFlag::O_DIRECTORY, resolve)
}

/// Opens the inode at `path` below `base`, never through a symbolic link. `path` is clean and not
/// empty.
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
            // EAGAIN: a concurrent rename kept the kernel from proving that the path stays below
            // the base (openat2(2)).
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
    // O_NOATIME: listing must not change the atime. The kernel grants the flag to the owner only.
    match openat(dir, name, flags | OFlags::NOATIME, Mode::empty()) {
        Err(rustix::io::Errno::PERM) => Ok(openat(dir, name, flags, Mode::empty())?),
        opened => Ok(opened?),
    }
}

/// Like [`open_dir`], but restricts name resolution by the flags `resolve`.
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

/// Opens a regular file for reading. Does not block on a FIFO and does not follow a symbolic link
/// that has replaced the file.
///
/// # Errors
/// Returns any errno of openat(2).
pub fn open_file(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    // O_NOATIME: reading must not change the atime. The kernel grants the flag to the owner only.
    match openat(dir, name, flags | OFlags::NOATIME, Mode::empty()) {
        Err(rustix::io::Errno::PERM) => Ok(openat(dir, name, flags, Mode::empty())?.into()),
        opened => Ok(opened?.into()),
    }
}

/// Returns a path for system calls that accept no directory descriptor.
pub(crate) fn proc_path(dir: BorrowedFd<'_>, name: &OsStr) -> PathBuf {
    let mut path = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd()));
    if !name.is_empty() {
        path.push(name);
    }
    path
}
