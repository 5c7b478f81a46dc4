//! Finds the mount of which a directory is the root, by the ID of the mount and never by its path.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, Mode, OFlags, StatxAttributes, StatxFlags, openat, statx};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};
use tartree::{Root, Status};

use super::layers::LayersError;
use super::mountinfo::Mount;
use super::namespace::{MountNamespace, mount_id};

/// The root directory of a mount, with the mount and its namespace.
pub(crate) struct MountRoot {
    pub mount: Mount,
    pub namespace: MountNamespace,
    dir: OwnedFd,
}

impl MountRoot {
    /// Finds the mount of which `dir` is the root directory.
    ///
    /// # Errors
    /// Returns an error if `dir` is not the root directory of a mount that some process sees.
    pub fn find(dir: OwnedFd) -> Result<MountRoot, LayersError> {
        let id = mount_id(dir.as_fd())?;
        let own = MountNamespace::own()?;
        let namespace = match own.has(dir.as_fd()) {
            true => own,
            false => {
                MountNamespace::all().find(|other| other.has(dir.as_fd())).ok_or(LayersError::Detached)?
            }
        };
        let mount = namespace.mounts.iter().find(|mount| mount.id == id).cloned();
        let mount = mount.ok_or(LayersError::Detached)?;
        let found = MountRoot { mount, namespace, dir };
        let is_root = is_mount_root(found.dir.as_fd(), id)?;
        if !is_root || !found.mount.fs_type.ends_with(b"overlay") && !found.is_fuse() {
            found.refuse_hidden_overlay()?;
        }
        if !is_root {
            return Err(LayersError::NotOverlay("a directory below a mount point".into()));
        }
        if found.mount.root.ends_with(b"//deleted") {
            return Err(LayersError::Deleted);
        }
        Ok(found)
    }

    fn is_fuse(&self) -> bool {
        self.mount.fs_type == b"fuse.fuse-overlayfs"
    }

    /// Returns an error if an overlay is mounted at the same path and a later mount covers it.
    fn refuse_hidden_overlay(&self) -> Result<(), LayersError> {
        let path = fs::read_link(format!("/proc/self/fd/{}", self.dir.as_raw_fd()))?;
        let is_overlay =
            |mount: &Mount| mount.fs_type == b"overlay" && mount.mount_point == path.as_os_str().as_bytes();
        match self.namespace.mounts.iter().any(is_overlay) {
            true => Err(LayersError::Hidden(String::from_utf8_lossy(&self.mount.fs_type).into())),
            false => Ok(()),
        }
    }

    /// Returns the path, inside the overlay, of the directory that is mounted. The path is empty
    /// unless the mount is a bind mount of a subdirectory.
    pub fn subdirectory(&self) -> &[u8] {
        self.mount.root.strip_prefix(b"/").unwrap_or(&self.mount.root)
    }

    /// Returns the mounted directory.
    pub fn dir(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// Returns the root directory of the file system, through another mount if this mount shows
    /// only a subdirectory. Returns `None` if no mount shows the root directory.
    ///
    /// # Errors
    /// Returns an error if `/proc/self/mountinfo` cannot be read.
    pub fn file_system_root(&self) -> io::Result<Option<OwnedFd>> {
        if self.subdirectory().is_empty() {
            return Ok(Some(self.dir.try_clone()?));
        }
        let root = |namespace: &MountNamespace| {
            let mounts = namespace.mounts.iter();
            let mut roots = mounts.filter(|mount| mount.device == self.mount.device && mount.root == b"/");
            roots.find_map(|mount| namespace.open(mount))
        };
        let own = root(&MountNamespace::own()?);
        Ok(own.or_else(|| MountNamespace::all().find_map(|namespace| root(&namespace))))
    }

    /// Clones the mount without the mounts inside it. Returns `None` if this process may not clone
    /// it.
    ///
    /// # Errors
    /// Returns any errno of open_tree(2).
    pub fn clone_without_submounts(&self) -> io::Result<Option<Root>> {
        let cloned = self.namespace.run_within(|_| clone_without_submounts(self.dir.as_fd()));
        match cloned {
            Err(e) if e.raw_os_error() == Some(Errno::PERM.raw_os_error()) => Ok(None),
            cloned => cloned,
        }
    }
}

/// Clones the mount at `dir` without the mounts inside it. Returns `None` if this process may not
/// clone it.
///
/// # Errors
/// Returns any errno of open_tree(2).
pub(crate) fn clone_without_submounts(dir: BorrowedFd<'_>) -> io::Result<Option<Root>> {
    // Without AT_RECURSIVE the clone has no submounts (open_tree(2)).
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    match open_tree(dir, "", flags) {
        Ok(fd) => Ok(Some(Root::new(fd))),
        // The clone fails for an unprivileged user, for a locked mount, and on Linux before 5.2.
        // The comparison then recognises submounts by their mount IDs.
        Err(Errno::PERM | Errno::INVAL | Errno::NOSYS) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// Opens `dir` for reading: unlike an `O_PATH` descriptor, the returned descriptor can be listed.
///
/// # Errors
/// Returns any errno of openat(2).
pub(crate) fn open_readable(dir: BorrowedFd<'_>) -> rustix::io::Result<OwnedFd> {
    openat(dir, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// Returns whether `dir`, on the mount `id`, is the root directory of that mount.
fn is_mount_root(dir: BorrowedFd<'_>, id: u64) -> io::Result<bool> {
    let status = statx(dir, "", AtFlags::EMPTY_PATH | AtFlags::NO_AUTOMOUNT, StatxFlags::BASIC_STATS)?;
    if status.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT) {
        return Ok(status.stx_attributes.contains(StatxAttributes::MOUNT_ROOT));
    }
    // Linux before 5.8 does not report STATX_ATTR_MOUNT_ROOT.
    let parent = openat(dir, "..", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let identity = |dir| Status::at(dir, OsStr::new("")).map(|status| status.identity());
    Ok(mount_id(parent.as_fd())? != id || identity(parent.as_fd())? == identity(dir)?)
}
