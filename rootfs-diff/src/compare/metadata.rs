//! Compares the metadata of two inodes.

use tartree::{Kind, Status, Xattr};

use crate::trees::{Inode, SELINUX_LABEL};

/// Returns the xattrs that are compared: all except the SELinux label, which belongs to the host.
pub(super) fn compared_xattrs(all: &[Xattr]) -> impl Iterator<Item = &Xattr> {
    all.iter().filter(|xattr| xattr.name != SELINUX_LABEL)
}

/// Returns whether all compared xattrs are equal.
pub(super) fn same_xattrs(a: &[Xattr], b: &[Xattr]) -> bool {
    compared_xattrs(a).eq(compared_xattrs(b))
}

/// Returns whether everything is equal that statx(2) reports. Xattrs, link targets and content may
/// still differ.
pub(super) fn same_status(a: &Status, b: &Status) -> bool {
    a.file_type() == b.file_type()
        && (a.is_dir() || (a.size(), a.rdev()) == (b.size(), b.rdev()))
        && (a.is_symlink() || a.mode() == b.mode())
        && (a.uid(), a.gid(), a.mtime()) == (b.uid(), b.gid(), b.mtime())
}

/// Returns whether everything except the content of a file is equal.
pub(super) fn same_metadata(a: &Inode, b: &Inode) -> bool {
    let same_kind = match (&a.kind, &b.kind) {
        // Two files with equal content may have different holes.
        (Kind::File { size: a, .. }, Kind::File { size: b, .. }) => a == b,
        (a, b) => a == b,
    };
    let is_link = matches!(a.kind, Kind::Symlink { .. });
    let (a, b) = (&a.meta, &b.meta);
    same_kind
        && (is_link || a.mode == b.mode)
        && (a.uid, a.gid, a.mtime) == (b.uid, b.gid, b.mtime)
        && same_xattrs(&a.xattrs, &b.xattrs)
}
