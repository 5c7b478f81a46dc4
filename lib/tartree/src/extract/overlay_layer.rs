//! Extracts a diff as a layer of an overlay: a directory that overlayfs shows on top of the image,
//! so that the merged tree is the same as a copy of the image to which the diff was applied.
//!
//! A deletion is a whiteout: a character device 0:0, or where the kernel or the filesystem refuses
//! it, an empty file with the overlay xattr `whiteout`. A directory that replaces a directory of
//! the image is opaque (overlayfs.rst, "whiteouts and opaque directories"). The layer also needs
//! copies of inodes that only the image has: the parent directories of changes, whose metadata the
//! layer determines, and files that get a further hard link.
//!
//! The layer directory itself holds all state. Each step looks up the path in both trees.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, SFlag, mkdirat, mknodat};
use nix::unistd::linkat;

use crate::entry::{Entry, Kind};
use crate::error::{Error, Result};
use crate::extract::extractor::Extractor;
use crate::extract::merged_view::{LayerXattrs, MergedView, View};
use crate::extract::set_metadata::is_acl;
use crate::extract::sparse_content::SparseContent;
use crate::format::reader::Direct;
use crate::fs::errno;
use crate::fs::openat::proc_path;
use crate::fs::read_metadata::read_metadata;
use crate::fs::remove::Keep;
use crate::fs::root::Root;
use crate::fs::stat::Status;
use crate::notice::{Notice, Notices};
use crate::path::TarPath;

impl Extractor {
    /// Makes this extractor write a layer over `image` instead of a copy of the image. The root
    /// of the extractor must be an empty directory. It gets the metadata of the image's root,
    /// because an overlay shows the metadata of its topmost layer.
    ///
    /// # Errors
    /// Returns an error if the overlay xattrs cannot be set, or if the image cannot be read.
    pub fn into_layer(
        mut self,
        image: Root,
        xattrs: LayerXattrs,
        notices: &mut dyn Notices,
    ) -> Result<Extractor> {
        let view = MergedView::new(image, xattrs);
        view.can_set_xattrs(self.root.fd())?;
        self.layer = Some(view);
        self.copy_dir(&TarPath::root(), notices)?;
        Ok(self)
    }

    /// Creates the inode of `entry` in the layer.
    pub(super) fn apply_to_layer<C: Read>(
        &mut self,
        entry: &Entry,
        content: &mut C,
        move_to: Direct<C>,
        notices: &mut dyn Notices,
    ) -> Result<()> {
        let path = &entry.path;
        match &entry.kind {
            Kind::Char { major: 0, minor: 0 } => {
                let what = "device 0:0".into();
                let why = "an overlay cannot show such a device, it is a whiteout";
                notices.notice(Notice::NotMade { path: path.clone(), what, why });
                // Where the image has another inode, that inode was replaced.
                return self.remove_from_layer(path, &mut |_| Keep::Remove).map(drop);
            }
            Kind::Dir if path.is_root() => {}
            Kind::Dir => self.prepare(path, path, notices)?,
            Kind::HardLink { target } => {
                self.copy_target(path, target, notices)?;
                self.prepare_parent(path, notices)?;
            }
            _ => self.prepare_parent(path, notices)?,
        }
        let Some(view) = &mut self.layer else { return Ok(()) };
        let escaped = view.escaped(entry);
        if entry.kind != Kind::Dir {
            view.forget(path);
        }
        self.create_entry(escaped.as_ref().unwrap_or(entry), content, move_to, notices)
    }

    /// Removes the inode at `path` from the merged tree, except the entries that `keep` keeps, which
    /// must be in the layer. Returns whether nothing of the inode is left.
    pub(super) fn remove_from_layer(
        &mut self,
        path: &TarPath,
        keep: &mut dyn FnMut(&TarPath) -> Keep,
    ) -> Result<bool> {
        let choice = keep(path);
        let (Some(parent), Some(view)) = (path.parent(), &mut self.layer) else {
            return Err(Error::malformed(path, "the root cannot be removed"));
        };
        if choice == Keep::Keep {
            return Ok(false);
        }
        match view.at(&mut self.root, &parent)? {
            View::Merged => {}
            View::NotADirectory { link: true, .. } => {
                return Err(Error::ThroughLink { object: path.to_string() });
            }
            View::NotADirectory { .. } | View::Hidden { is_whiteout: true, .. } => return Ok(true),
            View::LayerOnly | View::Hidden { .. } => return self.remove_in_root(path, keep),
        }
        let own = view.in_layer(&mut self.root, path)?;
        if own.is_some_and(|own| own.is_whiteout) {
            return Ok(true);
        }
        let Some(lower) = view.in_image(path)? else { return self.remove_in_root(path, keep) };
        view.forget(path);
        let mut ignored = |_: Notice| ();
        if choice == Keep::Remove {
            if own.is_some() {
                self.remove_in_root(path, &mut |_| Keep::Remove)?;
            }
            self.prepare_parent(path, &mut ignored)?;
            self.whiteout(path)?;
            return Ok(true);
        }
        let is_dir = own.map_or(lower.is_dir(), |own| own.status.is_dir());
        if !is_dir {
            return Ok(false);
        }
        self.prepare(path, path, &mut ignored)?;
        if lower.is_dir() {
            self.make_opaque(path)?;
        }
        self.remove_in_root(path, keep)
    }

    /// Copies the parents of `path` that only the image has.
    fn prepare_parent(&mut self, path: &TarPath, notices: &mut dyn Notices) -> Result<()> {
        let parent = path.parent().unwrap_or_default();
        self.prepare(&parent, path, notices)
    }

    /// Copies the directory `dir` and its parents into the layer, as far as only the image has
    /// them, and replaces a whiteout on the way by an opaque directory. `path` is the entry that
    /// needs the directory. If `dir` is the entry itself, it may replace any inode.
    fn prepare(&mut self, dir: &TarPath, path: &TarPath, notices: &mut dyn Notices) -> Result<()> {
        let Some(view) = &mut self.layer else { return Ok(()) };
        let found = view.at(&mut self.root, dir)?;
        let is_own = |end: usize| dir == path && end == dir.as_bytes().len();
        match found {
            View::NotADirectory { end, link } if !is_own(end) => {
                return Err(match link {
                    true => Error::ThroughLink { object: path.to_string() },
                    false => Error::malformed(path, "a parent path component is not a directory"),
                });
            }
            _ => {}
        }
        for missing in view.dirs_to_copy() {
            self.copy_dir(&missing, notices)?;
        }
        match found {
            View::Hidden { end, is_whiteout } if is_whiteout || is_own(end) => {
                self.replace_by_dir(&TarPath::of_clean(&dir.as_bytes()[..end]))
            }
            _ => Ok(()),
        }
    }

    /// Replaces the whiteout or file `path` of the layer by a directory that shows nothing of the
    /// image.
    fn replace_by_dir(&mut self, path: &TarPath) -> Result<()> {
        let Some(view) = &mut self.layer else { return Ok(()) };
        view.forget(path);
        let hides = view.in_image(path)?.is_some_and(|status| status.is_dir());
        self.remove_in_root(path, &mut |_| Keep::Remove)?;
        let (dir, name) = self.root.make_parent(path)?;
        mkdirat(dir, name, Mode::from_bits_truncate(0o755)).map_err(|e| errno::error(dir, name, path, e))?;
        if hides { self.make_opaque(path) } else { Ok(()) }
    }

    /// Creates `path` as a copy of the image's directory, without its content.
    fn copy_dir(&mut self, path: &TarPath, notices: &mut dyn Notices) -> Result<()> {
        let Some(view) = &mut self.layer else { return Ok(()) };
        let Some((mut entry, _)) = view.entry_in_image(path)? else { return Ok(()) };
        view.forget(path);
        self.metadata.ids().map_to_container(&mut entry)?;
        if !path.is_root() {
            let (dir, name) = self.root.make_parent(path)?;
            mkdirat(dir, name, Mode::S_IRWXU).map_err(|e| errno::error(dir, name, path, e))?;
        }
        // An entry of the diff keeps the xattrs of an existing directory, except its ACLs. So the
        // xattrs are set now, and the entry of the diff may replace what is set at the end.
        let (acls, xattrs): (_, Vec<_>) =
            std::mem::take(&mut entry.meta.xattrs).into_iter().partition(is_acl);
        let dir = self.root.dir(path.as_bytes()).map_err(|e| Error::io(path, e))?;
        self.metadata.xattrs_of_dir(dir, path, &xattrs, notices)?;
        entry.meta.xattrs = acls;
        self.dirs.push(&entry, true)
    }

    /// Copies the target of a hard link into the layer if only the image has it. All visible names
    /// of the inode become links to the copy, as they would share a change in the image.
    fn copy_target(&mut self, path: &TarPath, target: &TarPath, notices: &mut dyn Notices) -> Result<()> {
        let (Some(parent), Some(view)) = (target.parent(), &mut self.layer) else { return Ok(()) };
        match view.at(&mut self.root, &parent)? {
            View::Merged => {}
            View::NotADirectory { link: true, .. } => {
                return Err(Error::ThroughLink { object: target.to_string() });
            }
            _ => return Ok(()),
        }
        let missing = || Error::io(format!("{path}: hard link to {target}"), Errno::ENOENT);
        match view.in_layer(&mut self.root, target)? {
            Some(own) if own.is_whiteout => return Err(missing()),
            Some(_) => return Ok(()),
            None => {}
        }
        let Some((mut entry, status)) = view.entry_in_image(target)? else { return Err(missing()) };
        if status.is_dir() {
            return Ok(());
        }
        self.metadata.ids().map_to_container(&mut entry)?;
        let mut content = match &entry.kind {
            Kind::File { map, .. } => Some(SparseContent::new(view.open_in_image(target)?, map.as_ref())),
            _ => None,
        };
        let others = if status.links() > 1 { view.names_in_image(&status)? } else { Vec::new() };
        self.prepare_parent(target, notices)?;
        match &mut content {
            Some(content) => self.create_entry(&entry, content, |_, _, _| Some(0), notices)?,
            None => self.create_entry(&entry, &mut io::empty(), |_, _, _| Some(0), notices)?,
        }
        others.iter().try_for_each(|other| self.link_other_name(target, other, notices))
    }

    /// Links the copied file `target` to the further name `other` of the same inode of the image, if
    /// that name is still visible.
    fn link_other_name(
        &mut self,
        target: &TarPath,
        other: &TarPath,
        notices: &mut dyn Notices,
    ) -> Result<()> {
        let (Some(parent), Some(view)) = (other.parent(), &mut self.layer) else { return Ok(()) };
        let is_visible = view.at(&mut self.root, &parent)? == View::Merged
            && view.in_layer(&mut self.root, other)?.is_none();
        if !is_visible {
            return Ok(());
        }
        self.prepare_parent(other, notices)?;
        let (dir, from) = self.root.parent(target).map_err(|e| Error::io(target, e))?;
        let dir = dir.try_clone_to_owned().map_err(|e| Error::io(target, e))?;
        let (to, name) = self.root.parent(other).map_err(|e| Error::io(other, e))?;
        linkat(&dir, from, to, name, AtFlags::empty()).map_err(|e| errno::error(to, name, other, e))
    }

    /// Creates a whiteout at `path`, where the layer has nothing.
    fn whiteout(&mut self, path: &TarPath) -> Result<()> {
        let (dir, name) = self.root.make_parent(path)?;
        match mknodat(dir, name, SFlag::S_IFCHR, Mode::empty(), 0) {
            Ok(()) => return Ok(()),
            // A user namespace may create this device since Linux 5.8, but not on every filesystem.
            Err(Errno::EPERM | Errno::EINVAL | Errno::EOPNOTSUPP | Errno::ENOSYS) => {}
            Err(e) => return Err(errno::error(dir, name, path, e)),
        }
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = openat(dir, name, flags, Mode::S_IRUSR | Mode::S_IWUSR)
            .map_err(|e| errno::error(dir, name, path, e))?;
        let Some(view) = &mut self.layer else { return Ok(()) };
        view.has_xattr_whiteouts = true;
        view.set(file.as_fd(), "whiteout", b"", path)?;
        // The kernel looks for such whiteouts only in directories with this value, and only in
        // layers whose root has it (Linux 6.7).
        view.set(self.root.fd(), "opaque", b"x", &TarPath::root())?;
        let parent = path.parent().unwrap_or_default();
        let dir = self.root.dir(parent.as_bytes()).map_err(|e| Error::io(&parent, e))?;
        view.set(dir, "opaque", b"x", &parent)
    }

    /// Makes the directory `path` of the layer hide the image's content of this directory.
    fn make_opaque(&mut self, path: &TarPath) -> Result<()> {
        let Some(view) = &mut self.layer else { return Ok(()) };
        view.forget(path);
        let dir = self.root.dir(path.as_bytes()).map_err(|e| Error::io(path, e))?;
        view.set(dir, "opaque", b"y", path)
    }
}

impl MergedView {
    /// Sets the overlay xattr `name` of an inode of the layer.
    fn set(&self, inode: BorrowedFd<'_>, name: &str, value: &[u8], path: &TarPath) -> Result<()> {
        let name = self.xattr(name);
        xattr::set_deref(proc_path(inode, OsStr::new("")), OsStr::from_bytes(&name), value)
            .map_err(|e| Error::io(format!("{path}: attribute {}", name.escape_ascii()), e))
    }

    /// Returns an error if this process cannot set overlay xattrs in `dir`.
    fn can_set_xattrs(&self, dir: BorrowedFd<'_>) -> Result<()> {
        self.set(dir, "opaque", b"n", &TarPath::root())?;
        let name = self.xattr("opaque");
        xattr::remove_deref(proc_path(dir, OsStr::new("")), OsStr::from_bytes(&name))
            .map_err(|e| Error::io(TarPath::root(), e))
    }

    /// Returns the entry of the image's inode at `path`, with host IDs and without overlay xattrs.
    ///
    /// # Errors
    /// Returns an error if the inode cannot be read, is a socket, or is on another mount.
    fn entry_in_image(&mut self, path: &TarPath) -> Result<Option<(Entry, Status)>> {
        let Some(status) = self.in_image(path)? else { return Ok(None) };
        let prefix = self.xattr("");
        let (dir, name) = self.image.parent(path).map_err(|e| Error::io(path, e))?;
        let Some((kind, mut meta)) = read_metadata(dir, name, &status).map_err(|e| Error::io(path, e))?
        else {
            let what = "a socket of the image cannot be copied into the layer".into();
            return Err(Error::Unsupported { object: path.to_string(), what });
        };
        meta.xattrs.retain(|xattr| !xattr.name.starts_with(&prefix));
        Ok(Some((Entry { path: path.clone(), kind, meta }, status)))
    }
}
