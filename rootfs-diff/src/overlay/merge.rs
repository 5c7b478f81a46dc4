//! Lets the kernel merge lower directories into a read-only view, which is not mounted anywhere.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string,
    fsmount, fsopen,
};

use super::namespace::MountNamespace;

/// Merges `lowers`, topmost first, into a read-only overlay without a mount point. The mount ends
/// when the returned descriptor is closed.
///
/// # Errors
/// Returns any errno of fsconfig(2), fsmount(2) or setns(2).
pub(crate) fn merge(
    lowers: &[OwnedFd],
    data_only: &[OwnedFd],
    namespace: &MountNamespace,
    userxattr: bool,
) -> io::Result<OwnedFd> {
    // Redirects and metacopy files of the layers must be followed. Only a user namespace refuses
    // these mount options; the second attempt is for that case.
    let attempts: &[bool] = if userxattr { &[false] } else { &[true, false] };
    namespace.run_within(|descriptors| {
        let mut last = Errno::INVAL;
        for &follow in attempts {
            match mount_overlay(lowers, data_only, descriptors, userxattr, follow) {
                Ok(fd) => return Ok(fd),
                Err(e) => last = e,
            }
        }
        Err(io::Error::from(last))
    })
}

/// Mounts an overlay of `lowers`. `descriptors` turns the number of a descriptor into a path;
/// `follow` sets the mount options for redirects and metacopy files.
fn mount_overlay(
    lowers: &[OwnedFd],
    data_only: &[OwnedFd],
    descriptors: &str,
    userxattr: bool,
    follow: bool,
) -> rustix::io::Result<OwnedFd> {
    // fsconfig(2) limits a value to 255 bytes; the path of a descriptor is short and needs no
    // escapes.
    let path = |fd: &OwnedFd| format!("{descriptors}{}", fd.as_raw_fd());
    let fs = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let one_by_one = lowers.iter().try_for_each(|fd| fsconfig_set_string(fs.as_fd(), "lowerdir+", path(fd)));
    match one_by_one {
        Ok(()) => {
            data_only.iter().try_for_each(|fd| fsconfig_set_string(fs.as_fd(), "datadir+", path(fd)))?
        }
        // Linux before 6.7 accepts only one list, separated by colons.
        Err(Errno::INVAL) => {
            let list = |fds: &[OwnedFd]| fds.iter().map(path).collect::<Vec<_>>().join(":");
            let all = match data_only {
                [] => list(lowers),
                _ => format!("{}::{}", list(lowers), list(data_only)),
            };
            fsconfig_set_string(fs.as_fd(), "lowerdir", all)?;
        }
        Err(e) => return Err(e),
    }
    if userxattr {
        fsconfig_set_flag(fs.as_fd(), "userxattr")?;
    }
    if follow {
        fsconfig_set_string(fs.as_fd(), "redirect_dir", "follow")?;
        fsconfig_set_string(fs.as_fd(), "metacopy", "on")?;
    }
    fsconfig_create(fs.as_fd())?;
    fsmount(fs.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_RDONLY)
}

/// Opens the directory `path` below `root`. Returns an empty directory if `path` does not exist.
///
/// # Errors
/// Returns any errno of openat2(2), or of mounting a tmpfs.
pub(crate) fn open_subdirectory(root: BorrowedFd<'_>, path: &[u8]) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    match openat2(root, OsStr::from_bytes(path), flags, Mode::empty(), resolve) {
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => empty_directory(),
        opened => opened,
    }
}

/// Returns an empty directory on a tmpfs without a mount point.
fn empty_directory() -> rustix::io::Result<OwnedFd> {
    let fs = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(fs.as_fd())?;
    fsmount(fs.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_RDONLY)
}
