//! The upper directory of an overlay: of each directory where to look, and of plain files what is there.
//!
//! A file with one name and without marks in the upper directory is what the overlay shows (overlayfs.rst, "Upper and
//! Lower"), and so are the attributes of a directory; read there they cost half. Whatever is marked, of which the kernel
//! makes something else, is read from the view: metacopy files, redirects, attributes that were escaped, whiteouts as files.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use tartree::{Identity, Kind, Meta, Root, Status, TarPath, xattr_names, xattrs_at};

use crate::compare::merged;
use crate::content::LABEL;
use crate::tree::{Marks, Tree};

/// fuse-overlayfs writes its marks both as attributes and as a file, as far as it is allowed to.
const FUSE_OPAQUE: &[u8] = b"user.fuseoverlayfs.opaque";
const OPAQUE_FILE: &[u8] = b".wh..wh..opq";
const WHITEOUT: &[u8] = b".wh.";

/// The upper directory.
pub(crate) struct Upper {
    tree: Tree,
    marks: Marks,
    /// The kernel shows what stands in it, and nothing is mounted in it.
    shown: bool,
}

/// What an overlay shows where something stands in its upper directory.
pub(crate) enum Shown {
    /// A regular file, as it is there.
    File(Status, Kind, Meta),
    /// A directory, as it is there; one that [`hides`](Listing::hides) what is below it only where nothing is.
    Dir(Status, Listing),
    /// Nothing: it is a whiteout.
    Nothing,
}

impl Upper {
    /// An upper directory that tells only where to look.
    pub fn new(root: Root, marks: Marks) -> Upper {
        Upper { tree: Tree::new(root, marks), marks, shown: false }
    }

    /// As [`new`](Upper::new), of the overlay that `view` is. What is in `root` is believed to be what is seen if it
    /// is the view's own upper directory and not another one at the same path, if both show owners alike, which they do
    /// not where one is an idmapped mount, and if there are no labels: those the overlay may have by a mount option.
    pub fn shown_in(root: Root, marks: Marks, view: &Root) -> Upper {
        let status = |root: &Root| Status::at(root.fd(), OsStr::new("")).ok();
        let labels = xattrs_at(view.fd(), OsStr::new(""))
            .map_or(true, |all| all.iter().any(|xattr| xattr.name == LABEL));
        let same = match (status(&root), status(view)) {
            (Some(a), Some(b)) => {
                let of = |status: &Status| {
                    (status.identity().ino, status.ctime(), status.mode(), status.uid(), status.gid())
                };
                of(&a) == of(&b)
            }
            _ => false,
        };
        Upper { shown: same && !labels, ..Upper::new(root, marks) }
    }

    pub fn tree(&mut self) -> &mut Tree {
        &mut self.tree
    }

    pub fn into_root(self) -> Root {
        self.tree.into_root()
    }

    /// Lists the directory at `path`.
    pub fn list(&mut self, path: &TarPath) -> io::Result<Listing> {
        let names = self.tree.list(path)?;
        let attributes = xattr_names(self.tree.dir(path)?)?;
        let mut listing = Listing { hides: false, plain: true, shown: self.shown, names };
        for attribute in attributes.split(|&b| b == 0).filter(|name| !name.is_empty()) {
            match self.marks.prefix().and_then(|prefix| attribute.strip_prefix(prefix)) {
                Some(mark) => {
                    listing.hides |= matches!(mark, b"opaque" | b"redirect");
                    listing.shown &= matches!(mark, b"origin" | b"impure" | b"uuid" | b"opaque");
                }
                None => {
                    listing.hides |= attribute == FUSE_OPAQUE;
                    listing.shown &= attribute != FUSE_OPAQUE && attribute != LABEL;
                    listing.plain = false;
                }
            }
        }
        if listing.names.iter().any(|name| name.to_bytes() == OPAQUE_FILE) {
            (listing.hides, listing.shown) = (true, false);
        }
        Ok(listing)
    }

    /// What is seen at `path`, in a directory whose listing is [`shown`](Listing::shown). `None` where the view must be asked.
    pub fn shows(&mut self, path: &TarPath) -> Option<Shown> {
        let status = self.tree.status_or_whiteout(path).ok()?;
        if self.tree.is_whiteout(&status) {
            return Some(Shown::Nothing);
        }
        if status.is_dir() {
            let listing = self.list(path).ok()?;
            return listing.shown.then_some(Shown::Dir(status, listing));
        }
        if !status.is_file() || status.links() > 1 {
            return None;
        }
        let (kind, mut meta) = self.tree.marked_object(path, &status).ok()??;
        let prefix = self.marks.prefix()?;
        let is_plain =
            |name: &[u8]| name.strip_prefix(prefix).map_or(name != LABEL, |mark| mark == b"origin");
        if !meta.xattrs.iter().all(|xattr| is_plain(&xattr.name)) {
            return None;
        }
        self.tree.drop_marks(&mut meta.xattrs);
        Some(Shown::File(status, kind, meta))
    }

    /// Which inode the object at `path` is, if it stands in it and can have no marks, as a symbolic link or a device under
    /// `userxattr`; `seen` is what the view shows of it. A mounted overlay may show a number for each name of it: one that was
    /// looked up before its inode was copied up keeps the old number until it is forgotten, and the copy does not tell where
    /// from it is.
    pub fn unmarked(&mut self, path: &TarPath, seen: &Status) -> Option<Identity> {
        if !self.shown || seen.is_file() {
            return None;
        }
        let status = self.tree.status_or_whiteout(path).ok()?;
        (!status.is_file() && !status.is_dir()).then(|| status.identity())
    }

    /// Whether the file at `path` was a hard link when it was copied up under `index=on`.
    pub fn is_indexed(&mut self, path: &TarPath) -> bool {
        let Some(prefix) = self.marks.prefix() else { return false };
        let name = [prefix, b"nlink"].concat();
        self.tree.parent(path).is_ok_and(|(dir, file)| {
            let file = Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string()).join(file);
            matches!(xattr::get(file, OsStr::from_bytes(&name)), Ok(Some(_)))
        })
    }
}

/// One directory of the upper directory.
pub(crate) struct Listing {
    names: Vec<CString>,
    /// It hides what is below it, or shows something from elsewhere: its names are not all that differ.
    pub hides: bool,
    /// It has no attributes but overlayfs's own, so the merged directory, whose attributes are those of this one, has none.
    pub plain: bool,
    /// The directory is what is seen, and so are the plain files in it, see [`Upper::shows`].
    pub shown: bool,
}

impl Listing {
    /// The names to look at, in reverse order.
    pub fn places(self) -> Vec<CString> {
        let hidden: Vec<_> = self.names.iter().filter_map(whited_out).collect();
        if hidden.is_empty() { self.names } else { merged(self.names, hidden) }
    }
}

/// fuse-overlayfs writes a file `.wh.NAME` where it may not make a device: NAME is what it hides.
fn whited_out(name: &CString) -> Option<CString> {
    let hidden = name.to_bytes().strip_prefix(WHITEOUT)?;
    CString::new(hidden).ok().filter(|hidden| !hidden.is_empty())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::process::Command;

    use super::*;

    /// What is shown at each name, in a word.
    fn shown(upper: &mut Upper, names: &[&str]) -> Vec<&'static str> {
        let one = |name: &&str| match upper.shows(&TarPath::root().child(name.as_bytes())) {
            Some(Shown::File(..)) => "file",
            Some(Shown::Dir(_, listing)) if listing.hides => "new dir",
            Some(Shown::Dir(..)) => "dir",
            Some(Shown::Nothing) => "nothing",
            None => "ask",
        };
        names.iter().map(one).collect()
    }

    #[test]
    fn only_what_no_mark_makes_something_else_of_is_shown() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let marks = [
            ("plain", "file", ""),
            ("copied", "file", "user.overlay.origin"),
            ("own", "file", "user.note"),
            ("metacopy", "ask", "user.overlay.metacopy"),
            ("escaped", "ask", "user.overlay.overlay.opaque"),
            ("unknown", "ask", "user.overlay.x"),
            ("dir", "dir", ""),
            ("dir copied", "dir", "user.overlay.impure"),
            ("dir opaque", "new dir", "user.overlay.opaque"),
            ("dir redirect", "ask", "user.overlay.redirect"),
            ("dir unknown", "ask", "user.overlay.x"),
            ("dir fuse", "ask", "user.fuseoverlayfs.opaque"),
        ];
        for (name, _, mark) in marks {
            if name.starts_with("dir") {
                fs::create_dir(at(name)).unwrap()
            } else {
                fs::write(at(name), "x").unwrap()
            }
            if !mark.is_empty() {
                xattr::set(at(name), mark, b"y").unwrap();
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
        let others =
            [("one", "ask"), ("link", "ask"), ("with file", "ask"), ("gone", "nothing"), ("missing", "ask")];
        let all: Vec<_> = marks.iter().map(|&(name, expected, _)| (name, expected)).chain(others).collect();
        let names: Vec<_> = all.iter().map(|&(name, _)| name).collect();
        let expected: Vec<_> = all.iter().map(|&(_, expected)| expected).collect();
        let open = || Root::open(dir.path()).unwrap();
        let upper = || Upper::shown_in(open(), Marks::User, &open());
        assert!(upper().list(&TarPath::root()).unwrap().shown);
        assert_eq!(shown(&mut upper(), &names), expected);
        // Of another directory than the one that is seen, and of one whose owners are shown by a program, nothing is believed.
        let other = tempfile::tempdir().unwrap();
        let mut other = Upper::shown_in(open(), Marks::User, &Root::open(other.path()).unwrap());
        assert!(!other.list(&TarPath::root()).unwrap().shown);
        assert!(!Upper::new(open(), Marks::User).list(&TarPath::root()).unwrap().shown);
    }

    #[test]
    fn labels_are_those_of_the_view() {
        let dir = tempfile::tempdir().unwrap();
        let label = |path: &Path| xattr::set(path, "security.selinux", b"system_u:object_r:x_t:s0");
        for name in ["file", "plain"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        fs::create_dir(dir.path().join("dir")).unwrap();
        if label(&dir.path().join("file")).is_err() {
            // Only root may, and not where a policy is loaded.
            return;
        }
        label(&dir.path().join("dir")).unwrap();
        let open = || Root::open(dir.path()).unwrap();
        let mut upper = Upper::shown_in(open(), Marks::User, &open());
        assert_eq!(shown(&mut upper, &["file", "plain", "dir"]), ["ask", "file", "ask"]);
        let other = TarPath::root().child(b"other");
        fs::create_dir(dir.path().join("other")).unwrap();
        assert!(Upper::shown_in(open(), Marks::User, &open()).list(&other).unwrap().shown);
        label(dir.path()).unwrap();
        assert!(!Upper::shown_in(open(), Marks::User, &open()).list(&other).unwrap().shown);
    }
}
