//! The upper directory of an overlay: which names to compare, and the plain files and directories
//! that can be read there directly.
//!
//! If an upper file has one name and no overlay xattrs, the merged view shows the file unchanged
//! (overlayfs.rst, "Upper and Lower"). The view also shows the xattrs of an upper directory
//! unchanged. Reading these files and xattrs in the upper directory halves the cost. Everything
//! that the kernel transforms is read from the merged view: metacopy files, redirects, escaped
//! xattrs, and whiteouts that are regular files.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use tartree::{Identity, Root, Status, TarPath, xattr_names, xattrs_at};

use super::tree::{Inode, SELINUX_LABEL, Tree, union};
use crate::overlay::OverlayXattrs;

/// The opaque xattr of fuse-overlayfs. If its privileges permit, fuse-overlayfs also creates the
/// file [`OPAQUE_FILE`].
const FUSE_OPAQUE: &[u8] = b"user.fuseoverlayfs.opaque";
const OPAQUE_FILE: &[u8] = b".wh..wh..opq";
const WHITEOUT_PREFIX: &[u8] = b".wh.";

/// The upper directory of an overlay.
pub(crate) struct UpperDir {
    tree: Tree,
    overlay_xattrs: OverlayXattrs,
    /// True if the kernel's merged view shows the plain content of this directory unchanged.
    same_as_view: bool,
    /// Lower directories that the old tree lacks, topmost first. Their names are compared, too.
    new_lowers: Vec<Tree>,
}

/// An entry of the upper directory, as the merged view shows it.
pub(crate) enum UpperEntry {
    /// A regular file, the same as in the upper directory.
    File(Status, Inode),
    /// A directory with the same metadata as in the upper directory. If its listing
    /// [`hides_lower`](Listing::hides_lower), this is only true if no lower layer has the
    /// directory.
    Dir(Status, Listing),
    /// A whiteout, for which the view shows nothing.
    Whiteout,
}

impl UpperDir {
    /// Returns an upper directory from which only the names are used.
    pub fn new(root: Root, overlay_xattrs: OverlayXattrs) -> UpperDir {
        UpperDir {
            tree: Tree::new(root, overlay_xattrs),
            overlay_xattrs,
            same_as_view: false,
            new_lowers: Vec::new(),
        }
    }

    /// Adds lower directories that the old tree lacks, topmost first.
    pub fn with_new_lowers(self, lowers: impl Iterator<Item = Root>) -> UpperDir {
        let new_lowers = lowers.map(|root| Tree::new(root, self.overlay_xattrs)).collect();
        UpperDir { new_lowers, ..self }
    }

    /// Returns the upper directory of the overlay with the root directory `view`. Its plain content
    /// is read directly only if three conditions hold:
    ///
    /// - `root` is the upper directory of `view`, and not another directory at the same path;
    /// - `root` and `view` show the same owners, which differ if one of them is an idmapped mount;
    /// - the view has no SELinux labels, since a mount option can replace the labels of the upper
    ///   directory.
    pub fn compared_with_view(root: Root, overlay_xattrs: OverlayXattrs, view: &Root) -> UpperDir {
        let status = |root: &Root| Status::at(root.fd(), OsStr::new("")).ok();
        let has_label = xattrs_at(view.fd(), OsStr::new(""))
            .map_or(true, |all| all.iter().any(|xattr| xattr.name == SELINUX_LABEL));
        let same = match (status(&root), status(view)) {
            (Some(a), Some(b)) => {
                let of = |status: &Status| {
                    (status.identity().ino, status.ctime(), status.mode(), status.uid(), status.gid())
                };
                of(&a) == of(&b)
            }
            _ => false,
        };
        UpperDir { same_as_view: same && !has_label, ..UpperDir::new(root, overlay_xattrs) }
    }

    pub fn tree(&mut self) -> &mut Tree {
        &mut self.tree
    }

    pub fn into_root(self) -> Root {
        self.tree.into_root()
    }

    /// Lists the directory at `path`, with its names in the lower directories that the old tree
    /// lacks.
    ///
    /// # Errors
    /// Returns any errno of openat2(2), getdents(2) or flistxattr(2).
    pub fn list(&mut self, path: &TarPath) -> io::Result<Listing> {
        let mut listing = match list_layer(&mut self.tree, self.overlay_xattrs, path) {
            Err(e) if is_missing(&e) && !self.new_lowers.is_empty() => Listing::default(),
            listing => {
                let listing = listing?;
                Listing { same_as_view: listing.same_as_view && self.same_as_view, ..listing }
            }
        };
        for lower in &mut self.new_lowers {
            match list_layer(lower, self.overlay_xattrs, path) {
                Ok(lower) => {
                    listing.hides_lower |= lower.hides_lower;
                    listing.names = union(std::mem::take(&mut listing.names), lower.names);
                }
                Err(e) if is_missing(&e) => {}
                // A file or a whiteout hides the directories below it.
                Err(_) => listing.hides_lower = true,
            }
        }
        Ok(listing)
    }

    /// Returns the entry that the merged view shows at `path`, which is in a directory whose
    /// listing is [`same_as_view`](Listing::same_as_view). Returns `None` if the upper directory
    /// alone does not determine the entry.
    pub fn entry(&mut self, path: &TarPath) -> Option<UpperEntry> {
        let status = self.tree.status_or_whiteout(path).ok()?;
        if self.tree.is_whiteout(&status) {
            return Some(UpperEntry::Whiteout);
        }
        if status.is_dir() {
            let listing = self.list(path).ok()?;
            return listing.same_as_view.then_some(UpperEntry::Dir(status, listing));
        }
        if !status.is_file() || status.links() > 1 {
            return None;
        }
        let mut inode = self.tree.inode_with_overlay_xattrs(path, &status).ok()??;
        let prefix = self.overlay_xattrs.prefix()?;
        let is_plain =
            |name: &[u8]| name.strip_prefix(prefix).map_or(name != SELINUX_LABEL, |name| name == b"origin");
        if !inode.meta.xattrs.iter().all(|xattr| is_plain(&xattr.name)) {
            return None;
        }
        self.tree.drop_overlay_xattrs(&mut inode.meta.xattrs);
        Some(UpperEntry::File(status, inode))
    }

    /// Returns the upper inode at `path` if the type of the inode allows no overlay xattrs, such as
    /// a symbolic link or a device under `userxattr`. `seen` is the status that the view shows.
    ///
    /// A mounted overlay may show a different inode number for each name of such a file. A name
    /// that was looked up before the copy-up keeps the old number until the kernel drops the name
    /// from its cache, and without an xattr the copy does not record its origin.
    pub fn inode_without_overlay_xattrs(&mut self, path: &TarPath, seen: &Status) -> Option<Identity> {
        if !self.same_as_view || seen.is_file() {
            return None;
        }
        let status = self.tree.status_or_whiteout(path).ok()?;
        (!status.is_file() && !status.is_dir()).then(|| status.identity())
    }

    /// Returns whether the file at `path` has the overlay xattr `nlink`, which it gets if it is a
    /// hard link when it is copied up under `index=on`.
    pub fn has_nlink_xattr(&mut self, path: &TarPath) -> bool {
        let Some(prefix) = self.overlay_xattrs.prefix() else { return false };
        let name = [prefix, b"nlink"].concat();
        self.tree.parent(path).is_ok_and(|(dir, file)| {
            let file = Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string()).join(file);
            matches!(xattr::get(file, OsStr::from_bytes(&name)), Ok(Some(_)))
        })
    }
}

/// Lists the directory at `path` of one layer.
fn list_layer(layer: &mut Tree, overlay_xattrs: OverlayXattrs, path: &TarPath) -> io::Result<Listing> {
    let names = layer.list(path)?;
    let xattrs = xattr_names(layer.dir(path)?)?;
    let mut listing = Listing { hides_lower: false, has_no_xattrs: true, same_as_view: true, names };
    for xattr in xattrs.split(|&b| b == 0).filter(|name| !name.is_empty()) {
        match overlay_xattrs.prefix().and_then(|prefix| xattr.strip_prefix(prefix)) {
            Some(name) => {
                listing.hides_lower |= matches!(name, b"opaque" | b"redirect");
                listing.same_as_view &= matches!(name, b"origin" | b"impure" | b"uuid" | b"opaque");
            }
            None => {
                listing.hides_lower |= xattr == FUSE_OPAQUE;
                listing.same_as_view &= xattr != FUSE_OPAQUE && xattr != SELINUX_LABEL;
                listing.has_no_xattrs = false;
            }
        }
    }
    if listing.names.iter().any(|name| name.to_bytes() == OPAQUE_FILE) {
        (listing.hides_lower, listing.same_as_view) = (true, false);
    }
    Ok(listing)
}

fn is_missing(e: &io::Error) -> bool {
    e.kind() == io::ErrorKind::NotFound
}

/// A directory in the upper directory. The default is a directory that only lower directories have.
#[derive(Default)]
pub(crate) struct Listing {
    names: Vec<CString>,
    /// True if the directory hides the lower directories or shows a lower directory from another
    /// path. Then names that the directory does not contain can also differ from the old tree.
    pub hides_lower: bool,
    /// True if the directory has no xattrs except overlay xattrs. The merged directory then has no
    /// xattrs.
    pub has_no_xattrs: bool,
    /// True if the merged view shows this directory and its plain files unchanged. See
    /// [`UpperDir::entry`].
    pub same_as_view: bool,
}

impl Listing {
    /// Returns the names to compare, in reverse byte order: the names in the directory, and the
    /// names that its whiteouts hide.
    pub fn into_names(self) -> Vec<CString> {
        let hidden: Vec<_> = self.names.iter().filter_map(hidden_name).collect();
        if hidden.is_empty() { self.names } else { union(self.names, hidden) }
    }
}

/// Returns NAME if `name` is `.wh.NAME`. fuse-overlayfs writes such a file as a whiteout of NAME if
/// it may not create a device.
fn hidden_name(name: &CString) -> Option<CString> {
    let hidden = name.to_bytes().strip_prefix(WHITEOUT_PREFIX)?;
    CString::new(hidden).ok().filter(|hidden| !hidden.is_empty())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::process::Command;

    use super::*;

    /// Returns one word for each name, which describes the entry that `upper` returns.
    fn entries(upper: &mut UpperDir, names: &[&str]) -> Vec<&'static str> {
        let one = |name: &&str| match upper.entry(&TarPath::root().child(name.as_bytes())) {
            Some(UpperEntry::File(..)) => "file",
            Some(UpperEntry::Dir(_, listing)) if listing.hides_lower => "new dir",
            Some(UpperEntry::Dir(..)) => "dir",
            Some(UpperEntry::Whiteout) => "whiteout",
            None => "view",
        };
        names.iter().map(one).collect()
    }

    #[test]
    fn entries_with_overlay_xattrs_are_read_from_the_view() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let cases = [
            ("plain", "file", ""),
            ("copied", "file", "user.overlay.origin"),
            ("own", "file", "user.note"),
            ("metacopy", "view", "user.overlay.metacopy"),
            ("escaped", "view", "user.overlay.overlay.opaque"),
            ("unknown", "view", "user.overlay.x"),
            ("dir", "dir", ""),
            ("dir copied", "dir", "user.overlay.impure"),
            ("dir opaque", "new dir", "user.overlay.opaque"),
            ("dir redirect", "view", "user.overlay.redirect"),
            ("dir unknown", "view", "user.overlay.x"),
            ("dir fuse", "view", "user.fuseoverlayfs.opaque"),
        ];
        for (name, _, overlay_xattr) in cases {
            if name.starts_with("dir") {
                fs::create_dir(at(name)).unwrap()
            } else {
                fs::write(at(name), "x").unwrap()
            }
            if !overlay_xattr.is_empty() {
                xattr::set(at(name), overlay_xattr, b"y").unwrap();
            }
        }
        fs::write(at("one"), "").unwrap();
        fs::hard_link(at("one"), at("two")).unwrap();
        symlink("plain", at("link")).unwrap();
        fs::create_dir(at("with file")).unwrap();
        fs::write(at("with file/.wh..wh..opq"), "").unwrap();
        assert!(
            Command::new("mknod")
                .args(["-m", "0", "gone", "c", "0", "0"])
                .current_dir(&dir)
                .status()
                .unwrap()
                .success()
        );
        let others = [
            ("one", "view"),
            ("link", "view"),
            ("with file", "view"),
            ("gone", "whiteout"),
            ("missing", "view"),
        ];
        let all: Vec<_> = cases.iter().map(|&(name, expected, _)| (name, expected)).chain(others).collect();
        let names: Vec<_> = all.iter().map(|&(name, _)| name).collect();
        let expected: Vec<_> = all.iter().map(|&(_, expected)| expected).collect();
        let open = || Root::open(dir.path()).unwrap();
        let upper = || UpperDir::compared_with_view(open(), OverlayXattrs::User, &open());
        assert!(upper().list(&TarPath::root()).unwrap().same_as_view);
        assert_eq!(entries(&mut upper(), &names), expected);
        // Only the names are read from an upper directory that does not belong to the view or was
        // not compared with one.
        let other = tempfile::tempdir().unwrap();
        let mut other =
            UpperDir::compared_with_view(open(), OverlayXattrs::User, &Root::open(other.path()).unwrap());
        assert!(!other.list(&TarPath::root()).unwrap().same_as_view);
        assert!(!UpperDir::new(open(), OverlayXattrs::User).list(&TarPath::root()).unwrap().same_as_view);
    }

    #[test]
    fn selinux_labels_are_read_from_the_view() {
        let dir = tempfile::tempdir().unwrap();
        let label = |path: &Path| xattr::set(path, "security.selinux", b"system_u:object_r:x_t:s0");
        for name in ["file", "plain"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        fs::create_dir(dir.path().join("dir")).unwrap();
        if label(&dir.path().join("file")).is_err() {
            // The test needs root, and no loaded SELinux policy, to set a label.
            return;
        }
        label(&dir.path().join("dir")).unwrap();
        let open = || Root::open(dir.path()).unwrap();
        let mut upper = UpperDir::compared_with_view(open(), OverlayXattrs::User, &open());
        assert_eq!(entries(&mut upper, &["file", "plain", "dir"]), ["view", "file", "view"]);
        let other = TarPath::root().child(b"other");
        fs::create_dir(dir.path().join("other")).unwrap();
        assert!(
            UpperDir::compared_with_view(open(), OverlayXattrs::User, &open())
                .list(&other)
                .unwrap()
                .same_as_view
        );
        label(dir.path()).unwrap();
        assert!(
            !UpperDir::compared_with_view(open(), OverlayXattrs::User, &open())
                .list(&other)
                .unwrap()
                .same_as_view
        );
    }
}
