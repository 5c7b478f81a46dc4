//! Interprets the error numbers of the kernel for an inode, and finds reasons that the number alone
//! does not state.

use std::ffi::OsStr;
use std::io;
use std::os::fd::BorrowedFd;

use nix::errno::Errno;
use nix::sys::statvfs::fstatvfs;
use nix::unistd::geteuid;

use crate::error::Error;
use crate::fs::stat::Status;
use crate::path::TarPath;

/// Reports whether an inode no longer exists or was replaced by an inode of another type, for
/// example a directory by a file or a file by a symbolic link.
pub(crate) fn is_gone(e: &io::Error) -> bool {
    let gone = [Errno::ENOENT, Errno::ENOTDIR, Errno::ELOOP, Errno::ESTALE];
    gone.iter().any(|errno| e.raw_os_error() == Some(*errno as i32))
}

/// Returns the error for creating or removing `name` in `dir`, with its reason if one can be found.
/// `path` is the path of the entry.
pub(crate) fn error(dir: BorrowedFd<'_>, name: &OsStr, path: &TarPath, e: impl Into<io::Error>) -> Error {
    let e = e.into();
    let why = match e.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EBUSY) if is_mount_point(dir, name) => return Error::mounted(path, path),
        Some(Errno::EPERM | Errno::EACCES) => denied(dir, name),
        Some(Errno::ENOSPC) => full(dir),
        Some(Errno::EMLINK) => Some("the filesystem allows no more links"),
        _ => None,
    };
    match why {
        Some(why) => Error::io(format!("{path}: {why}"), e),
        None => Error::io(path, e),
    }
}

/// Reports whether `name` in `dir` is on another mount than `dir`.
pub(crate) fn is_mount_point(dir: BorrowedFd<'_>, name: &OsStr) -> bool {
    let mount = |name: &OsStr| Status::at(dir, name).map(|status| status.mount());
    matches!((mount(OsStr::new("")), mount(name)), (Ok(outside), Ok(inside)) if outside != inside)
}

fn denied(dir: BorrowedFd<'_>, name: &OsStr) -> Option<&'static str> {
    let above = Status::at(dir, OsStr::new("")).ok()?;
    let entry = Status::at(dir, name).ok();
    let me = geteuid().as_raw();
    match entry {
        Some(entry) if entry.is_immutable() => Some("it is immutable (chattr +i)"),
        Some(entry) if entry.is_append_only() => Some("it is append-only (chattr +a)"),
        _ if above.is_immutable() => Some("its directory is immutable (chattr +i)"),
        Some(_) if above.is_append_only() => Some("its directory is append-only (chattr +a)"),
        Some(entry) if above.mode() & 0o1000 != 0 && entry.uid() != me && above.uid() != me => {
            Some("it belongs to another user, in a sticky directory")
        }
        _ => None,
    }
}

/// Returns a reason if the filesystem has no free inodes: ENOSPC covers that case too, and `df`
/// does not show it.
fn full(dir: BorrowedFd<'_>) -> Option<&'static str> {
    let free = fstatvfs(dir).ok()?;
    (free.files() > 0 && free.files_available() == 0 && free.blocks_available() > 0)
        .then_some("the filesystem has no free inodes")
}
