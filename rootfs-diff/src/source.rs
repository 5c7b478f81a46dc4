//! The two views that are compared: the tree as it was, and as it is.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, open_tree,
};
use tartree::{Root, TarPath};

use crate::layers::{Layers, LayersError};
use crate::mountinfo;
use crate::same_inode::SameInode;
use crate::tree::{Marks, Tree};

/// Why the views could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A layer or directory cannot be opened.
    #[error("{}", .0.display())]
    Open(PathBuf, #[source] io::Error),
    /// The layers of a mount cannot be told.
    #[error("{}", .0.display())]
    Layers(PathBuf, #[source] LayersError),
    /// The mount has no upper directory.
    #[error("{}: mounted read-only, without an upper directory: nothing can have changed", .0.display())]
    NoUpper(PathBuf),
    /// The kernel does not give a merged view of these layers.
    #[error("a merged view of {0} layers")]
    Merge(usize, #[source] io::Error),
}

/// The tree as it was, the tree as it is, and where to look.
pub struct Source {
    pub(crate) base: Tree,
    pub(crate) new: Tree,
    /// The upper directory, unless everything must be looked at.
    pub(crate) upper: Option<Root>,
    pub(crate) marks: Marks,
    /// Not mounted: the merged view lacks what an index would add, see [`Aliases`](crate::aliases::Aliases).
    pub(crate) without_index: bool,
    /// Not mounted, and once mounted with an index: of a changed hard link whose changed name was removed, the new
    /// content is in the work directory alone.
    pub(crate) lost_index: bool,
    /// What proves that nothing of an object need be read.
    pub(crate) same_inode: SameInode,
}

impl Source {
    /// The overlay that is mounted at `mount_point`.
    ///
    /// # Errors
    /// When nothing is mounted there, its layers cannot be told, or a view cannot be made.
    pub fn mounted(mount_point: &Path) -> Result<Source, SourceError> {
        let open = |e| SourceError::Open(mount_point.into(), e);
        let real = fs::canonicalize(mount_point).map_err(open)?;
        let text = fs::read("/proc/self/mountinfo")
            .map_err(|e| SourceError::Open("/proc/self/mountinfo".into(), e))?;
        let mounts = mountinfo::parse(&text);
        let layers = |e| SourceError::Layers(mount_point.into(), e);
        let mount = mountinfo::at(&mounts, real.as_os_str().as_bytes()).ok_or_else(|| {
            layers(LayersError::NotOverlay("a directory without a mount of its own".into()))
        })?;
        let found = Layers::of(mount).map_err(layers)?;
        let upper = found.upper.clone().ok_or_else(|| SourceError::NoUpper(mount_point.into()))?;
        let merged = without_submounts(&real).map_err(open)?;
        Source::of_layers(&found, &upper, merged, false)
    }

    /// The overlay that is mounted at `mount_point` and does not tell its layers, such as a fuse-overlayfs.
    ///
    /// # Errors
    /// When a view cannot be made.
    pub fn mounted_from(mount_point: &Path, layers: &Layers) -> Result<Source, SourceError> {
        let upper = layers.upper.clone().ok_or_else(|| SourceError::NoUpper(mount_point.into()))?;
        let merged = without_submounts(mount_point).map_err(|e| SourceError::Open(mount_point.into(), e))?;
        let source = Source::of_layers(layers, &upper, merged, false)?;
        // A file system in user space numbers inodes as it likes.
        Ok(Source { same_inode: SameInode::Never, ..source })
    }

    /// An overlay of these layers that need not be mounted.
    ///
    /// # Errors
    /// When a view cannot be made.
    pub fn unmounted(layers: &Layers) -> Result<Source, SourceError> {
        let upper = layers.upper.clone().ok_or_else(|| SourceError::NoUpper(PathBuf::from("upper")))?;
        let mut names = vec![upper.clone()];
        names.extend(layers.lowers.iter().cloned());
        let merged = merge(&names, layers)?;
        Source::of_layers(layers, &upper, Root::new(merged), true)
    }

    /// Two plain trees, of any storage driver.
    ///
    /// # Errors
    /// When one cannot be opened.
    pub fn trees(from: &Path, to: &Path) -> Result<Source, SourceError> {
        let open = |path: &Path| without_submounts(path).map_err(|e| SourceError::Open(path.into(), e));
        let marks = Marks::None;
        let (base, new) = (open(from)?, open(to)?);
        let same_inode = SameInode::of_trees((from, &base), (to, &new));
        Ok(Source {
            base: Tree::new(base, marks),
            new: Tree::new(new, marks),
            upper: None,
            marks,
            without_index: false,
            lost_index: false,
            same_inode,
        })
    }

    fn of_layers(
        layers: &Layers,
        upper: &Path,
        merged: Root,
        without_index: bool,
    ) -> Result<Source, SourceError> {
        let open = |path: &Path| Root::open(path).map_err(|e| SourceError::Open(path.into(), e));
        let base = match &layers.lowers[..] {
            // overlayfs wants two layers, and a single one without data-only layers is its own view.
            [only] if layers.data_only.is_empty() => open(only)?,
            lowers => Root::new(merge(lowers, layers)?),
        };
        let marks = if layers.userxattr { Marks::User } else { Marks::Trusted };
        // With an index the other names of a changed hard link are not in the upper directory at all.
        // The kernel marks the upper directory with the lower one it belongs to when there is an index to be kept.
        let origin = marks.prefix().map(|prefix| [prefix, b"origin"].concat()).unwrap_or_default();
        let lost_index =
            without_index && matches!(xattr::get(upper, OsStr::from_bytes(&origin)), Ok(Some(_)));
        let upper = if layers.index { None } else { Some(open(upper)?) };
        Ok(Source {
            base: Tree::new(base, marks),
            new: Tree::new(merged, marks),
            upper,
            marks,
            without_index,
            lost_index,
            same_inode: SameInode::Layers,
        })
    }

    /// Whether the upper file at `path` was a hard link when it was copied up under `index=on`, in a view that does not know the index.
    pub(crate) fn is_indexed(&mut self, path: &TarPath) -> bool {
        let (true, Some(prefix), Some(upper)) =
            (self.without_index, self.marks.prefix(), self.upper.as_mut())
        else {
            return false;
        };
        let name = [prefix, b"nlink"].concat();
        upper.parent(path).is_ok_and(|(dir, file)| {
            let file = Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string()).join(file);
            matches!(xattr::get(file, OsStr::from_bytes(&name)), Ok(Some(_)))
        })
    }

    /// The regular file at `path` in the tree as it was.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open_old(&mut self, path: &TarPath) -> io::Result<fs::File> {
        self.base.open(path)
    }

    /// The regular file at `path` in the tree as it is.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open_new(&mut self, path: &TarPath) -> io::Result<fs::File> {
        self.new.open(path)
    }

    /// The tree as it is; the content of a diff is read from it.
    pub fn into_new(self) -> Root {
        self.new.into_root()
    }
}

/// The directory as it is below everything that is mounted inside it: volumes, `/proc`, bind mounts.
fn without_submounts(dir: &Path) -> io::Result<Root> {
    // A clone of one mount does not carry the mounts in it (open_tree(2), without AT_RECURSIVE).
    match open_tree(CWD, dir, OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC) {
        Ok(fd) => Ok(Root::new(fd)),
        // An ordinary user, a locked mount, or a kernel before 5.2: mounts are recognised by their ids then.
        Err(Errno::PERM | Errno::INVAL | Errno::NOSYS) => Root::open(dir),
        Err(e) => Err(e.into()),
    }
}

/// A read-only merged view of `lowers`, topmost first: a mount without a mount point that ends with its descriptor.
fn merge(lowers: &[PathBuf], layers: &Layers) -> Result<OwnedFd, SourceError> {
    let mut open = Vec::new();
    for path in lowers.iter().chain(&layers.data_only) {
        let fd = fs::File::open(path).map_err(|e| SourceError::Open(path.clone(), e))?;
        open.push(OwnedFd::from(fd));
    }
    let (names, data) = open.split_at(lowers.len());
    // redirect and metacopy marks are followed where they are; only a user namespace refuses the option.
    let attempts: &[bool] = if layers.userxattr { &[false] } else { &[true, false] };
    let mut last = Errno::INVAL;
    for &follow in attempts {
        match view(names, data, layers.userxattr, follow) {
            Ok(fd) => return Ok(fd),
            Err(e) => last = e,
        }
    }
    Err(SourceError::Merge(lowers.len(), last.into()))
}

fn view(names: &[OwnedFd], data: &[OwnedFd], userxattr: bool, follow: bool) -> rustix::io::Result<OwnedFd> {
    // Descriptors stand for the paths: a value of fsconfig is limited to 255 bytes, and needs no escapes this way.
    let path = |fd: &OwnedFd| format!("/proc/self/fd/{}", fd.as_raw_fd());
    let fs = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let one_by_one = names.iter().try_for_each(|fd| fsconfig_set_string(fs.as_fd(), "lowerdir+", path(fd)));
    match one_by_one {
        Ok(()) => data.iter().try_for_each(|fd| fsconfig_set_string(fs.as_fd(), "datadir+", path(fd)))?,
        // Before Linux 6.7 there is only the colon list.
        Err(Errno::INVAL) => {
            let list = |fds: &[OwnedFd]| fds.iter().map(path).collect::<Vec<_>>().join(":");
            let all = if data.is_empty() { list(names) } else { format!("{}::{}", list(names), list(data)) };
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
