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

#[cfg(test)]
mod tests {
    use super::*;

    fn inode(kind: Kind, xattrs: &[&[u8]]) -> Inode {
        let xattr = |name: &&[u8]| Xattr { name: name.to_vec(), value: b"value".to_vec() };
        Inode { kind, meta: Meta { xattrs: xattrs.iter().map(xattr).collect(), ..Meta::default() } }
    }

    #[test]
    fn acls_that_must_vanish_are_written_as_empty_acls() {
        let file = || Kind::File { size: 0, map: None };
        let link = || Kind::Symlink { target: b"t".to_vec() };
        let (access, default, note) = (ACCESS_ACL, DEFAULT_ACL, &b"user.note"[..]);
        let none: &[&[u8]] = &[];
        // The kind, the xattrs of the new inode, those of the old inode, whether new files inherit
        // an ACL, and the names of the expected empty ACLs.
        for (kind, new, old, inherits, expected) in [
            (Kind::Dir, none, None, false, none),
            (Kind::Dir, none, None, true, &[access, default]),
            (Kind::Dir, none, Some(none), false, none),
            (Kind::Dir, none, Some(&[access][..]), false, &[access]),
            (Kind::Dir, none, Some(&[default]), false, &[default]),
            (Kind::Dir, &[access], Some(&[access, default]), false, &[default]),
            (Kind::Dir, &[access, default, note], Some(&[access, default]), true, none),
            (file(), none, None, false, none),
            (file(), none, None, true, &[access]),
            (file(), &[access], None, true, none),
            (file(), &[note], Some(&[access]), false, &[access]),
            (Kind::Fifo, none, None, true, &[access]),
            (link(), none, None, true, none),
            (link(), none, Some(&[access]), true, none),
        ] {
            let old = old.map(|xattrs: &[&[u8]]| inode(Kind::Dir, xattrs));
            let entry = entry(TarPath::root(), inode(kind, new), old.as_ref(), inherits);
            let empty: Vec<&[u8]> =
                entry.meta.xattrs.iter().filter(|x| x.value == EMPTY_ACL).map(|x| &x.name[..]).collect();
            assert_eq!(empty, expected, "{:?}, before: {new:?}, inherits: {inherits}", entry.kind);
            assert_eq!(entry.meta.xattrs.len(), new.len() + expected.len());
            assert!(entry.meta.xattrs.is_sorted());
        }
    }

    #[test]
    fn only_the_removal_of_other_xattrs_needs_a_new_directory() {
        let (access, default, label) = (ACCESS_ACL, DEFAULT_ACL, &b"security.selinux"[..]);
        let (a, b) = (&b"user.a"[..], &b"user.b"[..]);
        for (new, old, expected) in [
            (&[][..], &[][..], false),
            (&[], &[access, default, label], false),
            (&[], &[a], true),
            (&[a], &[], false),
            (&[a], &[a, access], false),
            (&[a], &[a, b], true),
            (&[b], &[a], true),
            (&[access, default], &[access, a], true),
        ] {
            let [new, old] = [new, old].map(|xattrs: &[&[u8]]| inode(Kind::Dir, xattrs).meta);
            assert_eq!(loses_xattrs(&new, &old), expected, "{new:?} {old:?}");
        }
    }
}
