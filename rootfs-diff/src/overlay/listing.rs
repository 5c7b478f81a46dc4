//! Which directories the kernel reads when a merged directory is listed.
//!
//! It reads that of the upper layer first and then those of the lower layers, topmost first, each through a mount of the
//! overlay's own that no path leads to. fanotify(7) reports a descriptor on that mount, so it shows what the overlay sees,
//! including the owners of an idmapped mount, whatever has happened to the path since. Without CAP_SYS_ADMIN, inotify(7)
//! still tells which of the watched directories were read.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::fanotify::{EventFFlags, Fanotify, InitFlags, MarkFlags, MaskFlags};
use nix::sys::inotify::{self, AddWatchFlags, Inotify};
use rustix::fs::{AtFlags, StatxFlags, statx};
use tartree::{Identity, Status};

use super::handle::Handle;

/// Descriptors that are kept. There may be 500 layers, and twice as many descriptors are the usual limit.
const KEPT: usize = 64;

/// A directory that was read.
pub(crate) struct Read {
    pub status: Status,
    /// The directory, by the mount through which the overlay reads it. Unknown without CAP_SYS_ADMIN.
    pub dir: Option<OwnedFd>,
    /// What opens the directory by another mount.
    pub handle: Option<Handle>,
    /// The number of the mount, which grows with every mount (Linux 6.8).
    pub mount: Option<u64>,
}

/// Lists `merged` and returns which of the directories `watched` were read for it, in order.
///
/// # Errors
/// Any errno of fanotify_mark(2), inotify_add_watch(2) or getdents(2).
pub(crate) fn among<'a>(
    merged: BorrowedFd<'_>,
    mut watched: impl Iterator<Item = &'a File>,
) -> io::Result<Vec<Read>> {
    match fanotify() {
        Ok(group) => {
            watched.try_for_each(|dir| mark(&group, MarkFlags::empty(), dir.as_fd()))?;
            list(merged)?;
            reads(&group, false)
        }
        // Only CAP_SYS_ADMIN gives descriptors; a filter of a container may know nothing of the call.
        Err(Errno::EPERM | Errno::ENOSYS | Errno::EACCES | Errno::EMFILE) => by_inotify(merged, watched),
        Err(e) => Err(e.into()),
    }
}

/// Lists `merged` and returns which directories on the file systems of `mounts` were read for it, in order. `None` without
/// the privilege to watch file systems.
///
/// # Errors
/// Any errno of fanotify_init(2) or getdents(2).
pub(crate) fn anywhere(merged: BorrowedFd<'_>, mounts: &[OwnedFd]) -> io::Result<Option<Vec<Read>>> {
    let Ok(group) = fanotify() else { return Ok(None) };
    for mount in mounts {
        // Some file systems cannot be watched; a layer on one is then missing from the result.
        let _ = mark(&group, MarkFlags::FAN_MARK_FILESYSTEM, mount.as_fd());
    }
    list(merged)?;
    reads(&group, true).map(Some)
}

fn fanotify() -> nix::Result<Fanotify> {
    let flags = InitFlags::FAN_CLASS_NOTIF
        | InitFlags::FAN_CLOEXEC
        | InitFlags::FAN_NONBLOCK
        | InitFlags::FAN_UNLIMITED_QUEUE
        | InitFlags::FAN_UNLIMITED_MARKS;
    // Other processes are watched too: a FIFO that one of them reads must not block.
    let events =
        EventFFlags::O_RDONLY | EventFFlags::O_LARGEFILE | EventFFlags::O_CLOEXEC | EventFFlags::O_NONBLOCK;
    Fanotify::init(flags, events)
}

fn mark(group: &Fanotify, what: MarkFlags, dir: BorrowedFd<'_>) -> nix::Result<()> {
    // Closing reports the upper directory even if the kernel has kept the names from an earlier listing.
    let mask = MaskFlags::FAN_ACCESS | MaskFlags::FAN_CLOSE_NOWRITE | MaskFlags::FAN_ONDIR;
    group.mark(MarkFlags::FAN_MARK_ADD | what, mask, dir, Some("."))
}

fn list(merged: BorrowedFd<'_>) -> io::Result<()> {
    tartree::names(merged, OsStr::new(".")).map(drop)
}

/// Returns what this process has read since the marks were set, each directory once, with its handle if `handles` are needed.
fn reads(group: &Fanotify, handles: bool) -> io::Result<Vec<Read>> {
    let mut reads: Vec<Read> = Vec::new();
    let this = i32::try_from(std::process::id()).map_err(io::Error::other)?;
    loop {
        let events = match group.read_events() {
            Ok(events) => events,
            Err(Errno::EAGAIN) => return Ok(reads),
            Err(e) => return Err(e.into()),
        };
        for event in events {
            let Some(dir) = event.fd().filter(|_| event.pid() == this) else { continue };
            let status = Status::at(dir, OsStr::new(""))?;
            let known = |id: Identity| reads.iter().any(|read| read.status.identity() == id);
            if status.is_dir() && !known(status.identity()) {
                let handle = if handles { Handle::of(dir).ok() } else { None };
                let mount = unique_mount(dir);
                let dir = (reads.len() < KEPT).then(|| dir.try_clone_to_owned()).transpose()?;
                reads.push(Read { status, dir, handle, mount });
            }
        }
    }
}

/// Returns the number of the mount that `dir` is in, which no earlier mount had (Linux 6.8).
fn unique_mount(dir: BorrowedFd<'_>) -> Option<u64> {
    const UNIQUE: StatxFlags = StatxFlags::from_bits_retain(0x4000);
    let status = statx(dir, "", AtFlags::EMPTY_PATH, UNIQUE).ok()?;
    StatxFlags::from_bits_retain(status.stx_mask).contains(UNIQUE).then_some(status.stx_mnt_id)
}

/// Reads the events of inotify(7), which names the watches but neither the process nor the directory.
fn by_inotify<'a>(merged: BorrowedFd<'_>, watched: impl Iterator<Item = &'a File>) -> io::Result<Vec<Read>> {
    let group = Inotify::init(inotify::InitFlags::IN_CLOEXEC | inotify::InitFlags::IN_NONBLOCK)?;
    let mut watches = Vec::new();
    for dir in watched {
        let path = format!("/proc/self/fd/{}", dir.as_raw_fd());
        // A directory that this process may not read cannot be proved to be a layer.
        if let Ok(watch) = group.add_watch(&path[..], AddWatchFlags::IN_ACCESS | AddWatchFlags::IN_ONLYDIR) {
            watches.push((watch, Status::at(dir.as_fd(), OsStr::new(""))?));
        }
    }
    list(merged)?;
    let mut reads: Vec<Read> = Vec::new();
    loop {
        let events = match group.read_events() {
            Ok(events) => events,
            Err(Errno::EAGAIN) => return Ok(reads),
            Err(e) => return Err(e.into()),
        };
        for event in
            events.iter().filter(|event| event.mask.contains(AddWatchFlags::IN_ISDIR) && event.name.is_none())
        {
            let Some((_, status)) = watches.iter().find(|(watch, _)| *watch == event.wd) else { continue };
            if !reads.iter().any(|read| read.status.identity() == status.identity()) {
                reads.push(Read { status: *status, dir: None, handle: None, mount: None });
            }
        }
    }
}
