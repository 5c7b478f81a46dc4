//! Finds out which directories the kernel reads when a merged directory is listed.
//!
//! The kernel reads the directory of the upper layer first and then the directories of the lower
//! layers, topmost first. The kernel reads each directory through a private mount of the overlay
//! that no path leads to. fanotify(7) reports a descriptor on that mount. Therefore the descriptor
//! shows the same inodes and owners as the overlay sees, even on an idmapped mount, and even if the
//! path has since been renamed, replaced or covered.
//! Without CAP_SYS_ADMIN, inotify(7) still reports which of the watched directories were read.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::fanotify::{EventFFlags, Fanotify, InitFlags, MarkFlags, MaskFlags};
use nix::sys::inotify::{self, AddWatchFlags, Inotify};
use rustix::fs::{AtFlags, StatxFlags, statx};
use tartree::{Identity, Status};

use super::file_handle::FileHandle;

/// Maximum number of descriptors that are kept. An overlay may have 500 layers, and the usual limit
/// of a process is 1024 descriptors.
const MAX_KEPT: usize = 64;

/// A layer directory that the kernel has read.
pub(crate) struct LayerRead {
    pub status: Status,
    /// The directory, on the mount through which the overlay reads it. `None` without
    /// CAP_SYS_ADMIN.
    pub dir: Option<OwnedFd>,
    /// The file handle of the directory, which opens it on another mount.
    pub handle: Option<FileHandle>,
    /// The unique ID of the mount, which grows with every mount (Linux 6.8).
    pub mount: Option<u64>,
}

/// Lists `merged` and returns which of the directories `watched` the kernel read, in order.
///
/// # Errors
/// Returns any errno of fanotify_mark(2), inotify_add_watch(2) or getdents(2).
pub(crate) fn reads_of_watched<'a>(
    merged: BorrowedFd<'_>,
    mut watched: impl Iterator<Item = &'a File>,
) -> io::Result<Vec<LayerRead>> {
    match fanotify() {
        Ok(group) => {
            watched.try_for_each(|dir| mark(&group, MarkFlags::empty(), dir.as_fd()))?;
            list(merged)?;
            own_reads(&group, false)
        }
        // fanotify reports descriptors only with CAP_SYS_ADMIN, and the seccomp filter of a
        // container may not know the call.
        Err(Errno::EPERM | Errno::ENOSYS | Errno::EACCES | Errno::EMFILE) => by_inotify(merged, watched),
        Err(e) => Err(e.into()),
    }
}

/// Lists `merged` and returns which directories on the file systems of `mounts` the kernel read, in
/// order. Returns `None` without the privilege to watch file systems.
///
/// # Errors
/// Returns any errno of fanotify(7) or getdents(2).
pub(crate) fn reads_on_file_systems(
    merged: BorrowedFd<'_>,
    mounts: &[OwnedFd],
) -> io::Result<Option<Vec<LayerRead>>> {
    let Ok(group) = fanotify() else { return Ok(None) };
    for mount in mounts {
        // Some file systems cannot be watched. A layer on such a file system is then missing from
        // the result, and the caller reports it as not identified.
        let _ = mark(&group, MarkFlags::FAN_MARK_FILESYSTEM, mount.as_fd());
    }
    list(merged)?;
    own_reads(&group, true).map(Some)
}

fn fanotify() -> nix::Result<Fanotify> {
    let flags = InitFlags::FAN_CLASS_NOTIF
        | InitFlags::FAN_CLOEXEC
        | InitFlags::FAN_NONBLOCK
        | InitFlags::FAN_UNLIMITED_QUEUE
        | InitFlags::FAN_UNLIMITED_MARKS;
    // The group also receives events of other processes: without O_NONBLOCK, opening a FIFO that
    // such a process reads would block.
    let events =
        EventFFlags::O_RDONLY | EventFFlags::O_LARGEFILE | EventFFlags::O_CLOEXEC | EventFFlags::O_NONBLOCK;
    Fanotify::init(flags, events)
}

fn mark(group: &Fanotify, what: MarkFlags, dir: BorrowedFd<'_>) -> nix::Result<()> {
    // FAN_CLOSE_NOWRITE reports the upper directory even if the kernel has cached the names from an
    // earlier listing.
    let mask = MaskFlags::FAN_ACCESS | MaskFlags::FAN_CLOSE_NOWRITE | MaskFlags::FAN_ONDIR;
    group.mark(MarkFlags::FAN_MARK_ADD | what, mask, dir, Some("."))
}

fn list(merged: BorrowedFd<'_>) -> io::Result<()> {
    tartree::names(merged, OsStr::new(".")).map(drop)
}

/// Returns the directories that this process has read since the marks were set, each once. Adds
/// their file handles if `handles` is set.
fn own_reads(group: &Fanotify, handles: bool) -> io::Result<Vec<LayerRead>> {
    let mut reads: Vec<LayerRead> = Vec::new();
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
                let handle = if handles { FileHandle::of(dir).ok() } else { None };
                let mount = unique_mount_id(dir);
                let dir = (reads.len() < MAX_KEPT).then(|| dir.try_clone_to_owned()).transpose()?;
                reads.push(LayerRead { status, dir, handle, mount });
            }
        }
    }
}

/// Returns the unique ID of the mount that `dir` is on, which the kernel never reuses (Linux 6.8).
fn unique_mount_id(dir: BorrowedFd<'_>) -> Option<u64> {
    const UNIQUE: StatxFlags = StatxFlags::from_bits_retain(0x4000);
    let status = statx(dir, "", AtFlags::EMPTY_PATH, UNIQUE).ok()?;
    StatxFlags::from_bits_retain(status.stx_mask).contains(UNIQUE).then_some(status.stx_mnt_id)
}

/// Implements [`reads_of_watched`] with inotify(7), whose events name the watch, but neither the
/// process nor a descriptor of the directory.
fn by_inotify<'a>(
    merged: BorrowedFd<'_>,
    watched: impl Iterator<Item = &'a File>,
) -> io::Result<Vec<LayerRead>> {
    let group = Inotify::init(inotify::InitFlags::IN_CLOEXEC | inotify::InitFlags::IN_NONBLOCK)?;
    let mut watches = Vec::new();
    for dir in watched {
        let path = format!("/proc/self/fd/{}", dir.as_raw_fd());
        // Without read permission a directory cannot be watched, so it is not proved to be a layer.
        if let Ok(watch) = group.add_watch(&path[..], AddWatchFlags::IN_ACCESS | AddWatchFlags::IN_ONLYDIR) {
            watches.push((watch, Status::at(dir.as_fd(), OsStr::new(""))?));
        }
    }
    list(merged)?;
    let mut reads: Vec<LayerRead> = Vec::new();
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
                reads.push(LayerRead { status: *status, dir: None, handle: None, mount: None });
            }
        }
    }
}
