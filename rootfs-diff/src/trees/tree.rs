//! One of the two compared trees: status, metadata and names by path.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::FileType;
use rustix::io::Errno;
use tartree::{Error, Kind, Meta, Result, Root, Status, TarPath, Xattr, read_metadata, xattrs, xattrs_at};

use crate::overlay::OverlayXattrs;

/// The xattr with the SELinux label. The label follows the policy of the host, so two hosts may
/// show different labels for the same unchanged file.
pub(crate) const SELINUX_LABEL: &[u8] = b"security.selinux";

/// Type and metadata of an inode.
pub(crate) struct Inode {
    pub kind: Kind,
    pub meta: Meta,
}

/// A tree, and the xattrs in it that belong to overlayfs.
pub(crate) struct Tree {
    root: Root,
    overlay_xattrs: OverlayXattrs,
    /// ID of the mount that the root is on.
    mount: Option<u64>,
}

impl Tree {
    pub fn new(root: Root, overlay_xattrs: OverlayXattrs) -> Tree {
        let mount = Status::at(root.fd(), OsStr::new("")).ok().map(|status| status.mount());
        Tree { root, overlay_xattrs, mount }
    }

    pub fn into_root(self) -> Root {
        self.root
    }

    /// Returns the status of the file at `path`. Returns `None` if there is no file or a whiteout.
    ///
    /// # Errors
    /// Returns an error if the file cannot be inspected.
    pub fn status(&mut self, path: &TarPath) -> Result<Option<Status>> {
        match self.status_or_whiteout(path) {
            Ok(status) if self.is_whiteout(&status) => Ok(None),
            Ok(status) => Ok(Some(status)),
            Err(e) if is_absent(&e) => Ok(None),
            Err(e) => Err(Error::Io { object: path.to_string(), source: e }),
        }
    }

    /// Returns the status of the file or whiteout at `path`.
    ///
    /// # Errors
    /// Returns any errno of openat2(2) or statx(2).
    pub fn status_or_whiteout(&mut self, path: &TarPath) -> std::io::Result<Status> {
        let (dir, name) = self.root.parent(path)?;
        Status::at(dir, name)
    }

    /// Returns whether `status` is the status of a whiteout. Only a layer that is read directly
    /// shows whiteouts. No other file in a layer is a device 0:0, since overlayfs refuses mknod(2)
    /// of such a device.
    pub fn is_whiteout(&self, status: &Status) -> bool {
        self.overlay_xattrs != OverlayXattrs::None
            && status.file_type() == FileType::CharacterDevice
            && status.rdev() == (0, 0)
    }

    /// Returns whether the file is the root of another mount.
    pub fn is_mount_point(&self, status: &Status) -> bool {
        self.mount.is_some_and(|mount| mount != status.mount())
    }

    /// Returns the inode at `path`, without overlay xattrs. Returns `None` for a socket.
    ///
    /// # Errors
    /// Returns an error if the inode cannot be read.
    pub fn inode(&mut self, path: &TarPath, status: &Status) -> Result<Option<Inode>> {
        Ok(self.inode_with_overlay_xattrs(path, status)?.map(|mut inode| {
            self.drop_overlay_xattrs(&mut inode.meta.xattrs);
            inode
        }))
    }

    /// Returns the same inode as [`inode`](Tree::inode), but with overlay xattrs.
    ///
    /// # Errors
    /// Returns an error if the inode cannot be read.
    pub fn inode_with_overlay_xattrs(&mut self, path: &TarPath, status: &Status) -> Result<Option<Inode>> {
        let captured = self.parent(path).and_then(|(dir, name)| read_metadata(dir, name, status));
        let captured = captured.map_err(|source| Error::Io { object: path.to_string(), source })?;
        Ok(captured.map(|(kind, meta)| Inode { kind, meta }))
    }

    /// Returns the xattrs of an open file, without overlay xattrs.
    ///
    /// # Errors
    /// Returns any errno of flistxattr(2) or fgetxattr(2).
    pub fn xattrs(&self, file: &File) -> std::io::Result<Vec<Xattr>> {
        let mut all = xattrs(file.as_fd())?;
        self.drop_overlay_xattrs(&mut all);
        Ok(all)
    }

    /// Returns the xattrs of the file at `path`, without overlay xattrs.
    ///
    /// # Errors
    /// Returns any errno of openat2(2), listxattr(2) or getxattr(2).
    pub fn xattrs_at(&mut self, path: &TarPath) -> std::io::Result<Vec<Xattr>> {
        let (dir, name) = self.root.parent(path)?;
        let mut all = xattrs_at(dir, name)?;
        self.drop_overlay_xattrs(&mut all);
        Ok(all)
    }

    /// Removes the overlay xattrs from `all`.
    pub fn drop_overlay_xattrs(&self, all: &mut Vec<Xattr>) {
        if let Some(prefix) = self.overlay_xattrs.prefix() {
            all.retain(|xattr| !xattr.name.starts_with(prefix));
        }
    }

    /// Returns the names in the directory at `path`, in reverse byte order.
    ///
    /// # Errors
    /// Returns an error if the directory cannot be read.
    pub fn names(&mut self, path: &TarPath) -> Result<Vec<CString>> {
        self.list(path).map_err(|source| Error::Io { object: path.to_string(), source })
    }

    /// Returns the same names as [`names`](Tree::names), but the plain error of a failed system
    /// call.
    ///
    /// # Errors
    /// Returns any errno of openat2(2) or getdents(2).
    pub fn list(&mut self, path: &TarPath) -> std::io::Result<Vec<CString>> {
        self.root.list(path.as_bytes())
    }

    /// Opens the directory at `path`.
    ///
    /// # Errors
    /// Returns any errno of openat2(2).
    pub fn dir(&mut self, path: &TarPath) -> std::io::Result<BorrowedFd<'_>> {
        self.root.dir(path.as_bytes())
    }

    /// Opens the parent directory of `path`, and returns it with the last component of `path`.
    ///
    /// # Errors
    /// Returns any errno of openat2(2).
    pub fn parent<'p>(&mut self, path: &'p TarPath) -> std::io::Result<(BorrowedFd<'_>, &'p OsStr)> {
        self.root.parent(path)
    }

    /// Opens the regular file at `path`.
    ///
    /// # Errors
    /// Returns any errno of openat2(2).
    pub fn open(&mut self, path: &TarPath) -> std::io::Result<File> {
        self.root.open_file(path)
    }
}

/// Returns whether `e` says that a path does not exist in this tree: ENOENT; ENOTDIR, if a
/// component is not a directory in this tree; ELOOP, if a component is a symbolic link in this
/// tree.
pub(crate) fn is_absent(e: &std::io::Error) -> bool {
    [Errno::NOENT, Errno::NOTDIR, Errno::LOOP]
        .iter()
        .any(|errno| e.raw_os_error() == Some(errno.raw_os_error()))
}

/// Returns the union of two lists of names, each in reverse byte order, in the same order.
pub(crate) fn union(mut a: Vec<CString>, b: Vec<CString>) -> Vec<CString> {
    a.extend(b);
    // The stable sort merges the two sorted runs in linear time.
    a.sort_by(|a, b| b.cmp(a));
    a.dedup();
    a
}
