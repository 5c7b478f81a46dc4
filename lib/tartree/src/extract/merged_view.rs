//! Looks up paths in a layer and the image below it, as overlayfs merges them.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use rustix::fs::FileType;

use crate::create::{Visit, Walk};
use crate::entry::{Entry, Xattr};
use crate::error::{Error, Result};
use crate::fs::openat::proc_path;
use crate::fs::root::Root;
use crate::fs::stat::{Identity, Status};
use crate::path::TarPath;

/// The xattrs in which an overlay layer stores what is opaque (overlayfs.rst, "userxattr").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerXattrs {
    /// `trusted.overlay.*`, which only root in the initial user namespace may set.
    Trusted,
    /// `user.overlay.*`, for a mount with the option `userxattr`.
    User,
}

impl LayerXattrs {
    /// Returns the common prefix of the names.
    pub fn prefix(self) -> &'static [u8] {
        match self {
            LayerXattrs::Trusted => b"trusted.overlay.",
            LayerXattrs::User => b"user.overlay.",
        }
    }
}

/// What the merged tree has at the path of a directory. `end` is the length of the part of the path
/// that was looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    /// The directory of the image is visible, and the layer may add to it.
    Merged,
    /// The image shows nothing here: it has nothing, or the layer hides it.
    LayerOnly,
    /// The layer has an inode that is not a directory.
    Hidden { end: usize, is_whiteout: bool },
    /// The image has an inode that is not a directory, and the layer has nothing.
    NotADirectory { end: usize, link: bool },
}

/// An inode of the layer.
#[derive(Clone, Copy)]
pub(super) struct InLayer {
    pub status: Status,
    pub is_whiteout: bool,
}

/// The image below a layer, and the last directory that was looked up in both.
pub(crate) struct MergedView {
    pub(super) image: Root,
    xattrs: LayerXattrs,
    /// Whether the layer has whiteouts that are files with an xattr.
    pub(super) has_xattr_whiteouts: bool,
    /// The last path, and the length of each of its parts that is a merged directory, with whether
    /// the layer has that directory.
    path: Vec<u8>,
    merged: Vec<(usize, bool)>,
    /// The names of the image's inodes that have several.
    names: Option<HashMap<Identity, Vec<TarPath>>>,
}

impl MergedView {
    pub fn new(mut image: Root, xattrs: LayerXattrs) -> MergedView {
        // An overlay does not show what is mounted below a lower directory.
        image.stay_on_its_mount();
        let (path, merged) = (Vec::new(), Vec::new());
        MergedView { image, xattrs, has_xattr_whiteouts: false, path, merged, names: None }
    }

    /// Returns the root of the image.
    pub fn image(&self) -> &Root {
        &self.image
    }

    /// Returns the full name of an overlay xattr.
    pub fn xattr(&self, name: &str) -> Vec<u8> {
        [self.xattrs.prefix(), name.as_bytes()].concat()
    }

    /// Returns what the merged tree has at the directory `dir`.
    ///
    /// # Errors
    /// Returns an error if a directory cannot be read, or if another filesystem is mounted on a
    /// directory of the image.
    pub fn at(&mut self, layer: &mut Root, dir: &TarPath) -> Result<View> {
        let dir = dir.as_bytes();
        self.keep_common_part(dir);
        let (mut end, mut in_layer) = self.merged.last().copied().unwrap_or((0, true));
        while end < dir.len() {
            let start = if end == 0 { 0 } else { end + 1 };
            let next = dir[start..].iter().position(|&b| b == b'/').map_or(dir.len(), |at| start + at);
            let part = TarPath::of_clean(&dir[..next]);
            if in_layer {
                match self.in_layer(layer, &part)? {
                    None => in_layer = false,
                    Some(own) if !own.status.is_dir() => {
                        return Ok(View::Hidden { end: next, is_whiteout: own.is_whiteout });
                    }
                    Some(_) if self.is_opaque(layer, &part)? => return Ok(View::LayerOnly),
                    Some(_) => {}
                }
            }
            match self.in_image(&part)? {
                Some(lower) if lower.is_dir() => {}
                Some(lower) if !in_layer => {
                    return Ok(View::NotADirectory { end: next, link: lower.is_symlink() });
                }
                _ => return Ok(View::LayerOnly),
            }
            self.path.truncate(end);
            self.path.extend_from_slice(&dir[end..next]);
            self.merged.push((next, in_layer));
            end = next;
        }
        Ok(View::Merged)
    }

    /// Drops the merged directories of the last path that are not on the way to `dir`.
    fn keep_common_part(&mut self, dir: &[u8]) {
        let is_on_the_way = |end: usize, path: &[u8]| {
            dir.len() >= end && dir[..end] == path[..end] && matches!(dir.get(end), None | Some(b'/'))
        };
        let path = &self.path;
        let common = self.merged.partition_point(|&(end, _)| is_on_the_way(end, path));
        self.merged.truncate(common);
        self.path.truncate(self.merged.last().map_or(0, |&(end, _)| end));
    }

    /// Returns the merged directories of the last path that the layer lacks, parents first.
    pub fn dirs_to_copy(&self) -> Vec<TarPath> {
        let missing = self.merged.iter().filter(|&&(_, in_layer)| !in_layer);
        missing.map(|&(end, _)| TarPath::of_clean(&self.path[..end])).collect()
    }

    /// Forgets what was looked up at and below `path`, which is about to change.
    pub fn forget(&mut self, path: &TarPath) {
        let path = path.as_bytes();
        let is_below = self.path.starts_with(path) && matches!(self.path.get(path.len()), None | Some(b'/'));
        if is_below || path.is_empty() {
            self.merged.retain(|&(end, _)| end < path.len());
            self.path.truncate(self.merged.last().map_or(0, |&(end, _)| end));
        }
    }

    /// Returns the inode of the layer at `path`, whose parent is a directory of the layer or
    /// missing there.
    pub fn in_layer(&self, layer: &mut Root, path: &TarPath) -> Result<Option<InLayer>> {
        let found = layer.parent(path).and_then(|(dir, name)| {
            let status = Status::at(dir, name)?;
            let is_file = status.is_file() && status.size() == 0 && self.has_xattr_whiteouts;
            let is_marked = || {
                let name = proc_path(dir, name);
                matches!(xattr::get(name, OsStr::from_bytes(&self.xattr("whiteout"))), Ok(Some(_)))
            };
            Ok(InLayer { status, is_whiteout: is_device(&status) || is_file && is_marked() })
        });
        absent(found).map_err(|e| layer.parent_error(path, e))
    }

    /// Returns the status of the image's inode at `path`, whose parent is a directory of the image.
    pub fn in_image(&mut self, path: &TarPath) -> Result<Option<Status>> {
        let found = self.image.parent(path).and_then(|(dir, name)| Status::at(dir, name));
        let Some(status) = absent(found).map_err(|e| self.image.parent_error(path, e))? else {
            return Ok(None);
        };
        self.image.on_its_mount(path, &status)?;
        Ok((!is_device(&status)).then_some(status))
    }

    /// Opens a regular file of the image.
    pub fn open_in_image(&mut self, path: &TarPath) -> Result<File> {
        self.image.open_file(path).map_err(|e| Error::io(path, e))
    }

    /// Returns all names that the inode with this status has in the image. The first call walks
    /// through the image.
    pub fn names_in_image(&mut self, status: &Status) -> Result<Vec<TarPath>> {
        if self.names.is_none() {
            let mount = Status::at(self.image.fd(), OsStr::new("")).map(|root| root.mount());
            let mount = mount.map_err(|e| Error::io(TarPath::root(), e))?;
            let mut walk =
                Walk::new(
                    &self.image,
                    |_, status| {
                        if status.mount() == mount { Visit::Take } else { Visit::Skip }
                    },
                )?;
            let mut names: HashMap<Identity, Vec<TarPath>> = HashMap::new();
            while let Some(found) = walk.next(&mut |_| ())? {
                if found.status.links() > 1 && !found.status.is_dir() {
                    names.entry(found.status.identity()).or_default().push(found.entry.path);
                }
            }
            self.names = Some(names);
        }
        Ok(self.names.as_ref().and_then(|names| names.get(&status.identity())).cloned().unwrap_or_default())
    }

    /// Returns `entry` with the overlay xattrs of the diff renamed, so that overlayfs shows them
    /// instead of interpreting them, or `None` if it has none (overlayfs.rst, "Nested overlayfs
    /// mounts").
    pub fn escaped(&self, entry: &Entry) -> Option<Entry> {
        let prefix = self.xattrs.prefix();
        let is_ours = |xattr: &Xattr| xattr.name.starts_with(prefix);
        if !entry.meta.xattrs.iter().any(is_ours) {
            return None;
        }
        let mut entry = entry.clone();
        for xattr in entry.meta.xattrs.iter_mut().filter(|xattr| is_ours(xattr)) {
            xattr.name = [prefix, b"overlay.", &xattr.name[prefix.len()..]].concat();
        }
        Some(entry)
    }

    fn is_opaque(&self, layer: &mut Root, dir: &TarPath) -> Result<bool> {
        let fd = layer.dir(dir.as_bytes()).map_err(|e| Error::io(dir, e))?;
        let value = xattr::get_deref(proc_path(fd, OsStr::new("")), OsStr::from_bytes(&self.xattr("opaque")));
        Ok(value.map_err(|e| Error::io(dir, e))?.is_some_and(|value| value == b"y"))
    }
}

/// Reports whether the inode is a whiteout in its first form.
fn is_device(status: &Status) -> bool {
    status.file_type() == FileType::CharacterDevice && status.rdev() == (0, 0)
}

/// Replaces the error for a missing inode by `None`.
fn absent<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(e) if e.raw_os_error() == Some(Errno::ENOENT as i32) => Ok(None),
        Err(e) => Err(e),
    }
}
