//! Builds the entry of a changed path, and detects changes that an entry cannot express.

use tartree::{Entry, Kind, Meta, TarPath, Xattr};

use super::metadata::compared_xattrs;
use crate::trees::Inode;

const ACCESS_ACL: &[u8] = b"system.posix_acl_access";
const DEFAULT_ACL: &[u8] = b"system.posix_acl_default";
/// An ACL that has only the version header and no entries. Setting it removes the ACL
/// (linux/posix_acl_xattr.h).
const EMPTY_ACL: &[u8] = &[2, 0, 0, 0];

/// Returns the entry of `new`. Adds an empty ACL if `old` had an ACL that `new` lacks, or if the
/// extracted file would inherit an ACL (`inherits`).
pub(super) fn entry(path: TarPath, new: Inode, old: Option<&Inode>, inherits: bool) -> Entry {
    let Inode { kind, mut meta } = new;
    if !matches!(kind, Kind::Symlink { .. }) {
        let is_dir = matches!(kind, Kind::Dir);
        for name in [ACCESS_ACL, DEFAULT_ACL] {
            let had = old.is_some_and(|old| old.meta.xattr(name).is_some());
            let gets = inherits && (is_dir || name == ACCESS_ACL);
            if (had || gets) && meta.xattr(name).is_none() {
                meta.xattrs.push(Xattr { name: name.to_vec(), value: EMPTY_ACL.to_vec() });
            }
        }
        meta.xattrs.sort();
    }
    Entry { path, kind, meta }
}

/// Returns whether new files in the directory inherit an ACL.
pub(super) fn has_default_acl(inode: &Inode) -> bool {
    inode.meta.xattr(DEFAULT_ACL).is_some()
}

/// Returns whether a directory has lost an xattr that is not an ACL. A tar entry cannot remove such
/// an xattr. A tar entry can only replace an ACL by an empty ACL.
pub(super) fn loses_xattrs(new: &Meta, old: &Meta) -> bool {
    compared_xattrs(&old.xattrs).any(|xattr| {
        xattr.name != ACCESS_ACL && xattr.name != DEFAULT_ACL && new.xattr(&xattr.name).is_none()
    })
}
