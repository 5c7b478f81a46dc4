//! The two views that are compared: the tree as it was, and as it is.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, open_tree,
};
use tartree::{Files, Place, Root, TarPath};

use crate::layers::{Layers, LayersError};
use crate::mountinfo;
use crate::same_inode::SameInode;
use crate::tree::{Marks, Tree};
use crate::upper::Upper;

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
    pub(crate) upper: Option<Upper>,
    /// Not mounted: the merged view lacks what an index would add, see [`Aliases`](crate::aliases::Aliases).
    pub(crate) without_index: bool,
    /// Not mounted, and once mounted with an index: of a changed hard link whose changed name was removed, the new
    /// content is in the work directory alone.
    pub(crate) lost_index: bool,
    /// What proves that nothing of an object need be read.
    pub(crate) same_inode: SameInode,
}

/// Who shows the tree as it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum View {
    /// The kernel, and nothing is mounted in it.
    Alone,
    /// The kernel, with what is mounted in it.
    Mounted,
    /// A program, by its own rules: fuse-overlayfs.
    Program,
    /// The kernel, in a view of the layers that was made for this.
    Made,
}

/// What the files of a diff are read from.
pub struct New {
    view: Root,
    upper: Option<Root>,
}

impl Files for New {
    fn open(&mut self, path: &TarPath, place: Place) -> io::Result<fs::File> {
        match (place, &mut self.upper) {
            (Place::Beside, Some(upper)) => upper.open_file(path),
            _ => self.view.open_file(path),
        }
    }

    fn root(&self, place: Place) -> BorrowedFd<'_> {
        match (place, &self.upper) {
            (Place::Beside, Some(upper)) => upper.fd(),
            _ => self.view.fd(),
        }
    }
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
        let (merged, view) = match alone(&real).map_err(open)? {
            Some(merged) => (merged, View::Alone),
            None => (Root::open(&real).map_err(open)?, View::Mounted),
        };
        Source::of_layers(&found, &upper, merged, view)
    }

    /// The overlay that is mounted at `mount_point` and does not tell its layers, such as a fuse-overlayfs.
    ///
    /// # Errors
    /// When a view cannot be made.
    pub fn mounted_from(mount_point: &Path, layers: &Layers) -> Result<Source, SourceError> {
        let upper = layers.upper.clone().ok_or_else(|| SourceError::NoUpper(mount_point.into()))?;
        let merged = without_submounts(mount_point).map_err(|e| SourceError::Open(mount_point.into(), e))?;
        let source = Source::of_layers(layers, &upper, merged, View::Program)?;
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
        Source::of_layers(layers, &upper, Root::new(merged), View::Made)
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
            without_index: false,
            lost_index: false,
            same_inode,
        })
    }

    fn of_layers(layers: &Layers, upper: &Path, merged: Root, view: View) -> Result<Source, SourceError> {
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
        let without_index = view == View::Made;
        let lost_index =
            without_index && matches!(xattr::get(upper, OsStr::from_bytes(&origin)), Ok(Some(_)));
        // Nor is any help in one of which only those who mounted it see what is hidden.
        let by_others = matches!(view, View::Alone | View::Mounted);
        let upper = match view {
            _ if layers.index || by_others && !marks.are_seen() => None,
            View::Mounted | View::Program => Some(Upper::new(open(upper)?, marks)),
            View::Alone | View::Made => {
                let clone = alone(upper).and_then(|clone| clone.map(listable).transpose());
                Some(match clone.map_err(|e| SourceError::Open(upper.into(), e))? {
                    Some(root) => Upper::shown_in(root, marks, &merged),
                    None => Upper::new(open(upper)?, marks),
                })
            }
        };
        Ok(Source {
            base: Tree::new(base, marks),
            new: Tree::new(merged, marks),
            upper,
            without_index,
            lost_index,
            same_inode: SameInode::Layers,
        })
    }

    /// Whether the upper file at `path` was a hard link when it was copied up under `index=on`, in a view that does not know the index.
    pub(crate) fn is_indexed(&mut self, path: &TarPath) -> bool {
        self.without_index && self.upper.as_mut().is_some_and(|upper| upper.is_indexed(path))
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
    pub fn into_new(self) -> New {
        New { view: self.new.into_root(), upper: self.upper.map(Upper::into_root) }
    }

    /// The tree in which objects of `place` stand.
    pub(crate) fn new_at(&mut self, place: Place) -> &mut Tree {
        match (place, &mut self.upper) {
            (Place::Beside, Some(upper)) => upper.tree(),
            _ => &mut self.new,
        }
    }
}

/// The directory as it is below everything that is mounted inside it: volumes, `/proc`, bind mounts.
fn without_submounts(dir: &Path) -> io::Result<Root> {
    alone(dir)?.map_or_else(|| Root::open(dir), Ok)
}

/// As [`without_submounts`]; `None` where that cannot be had.
fn alone(dir: &Path) -> io::Result<Option<Root>> {
    // A clone of one mount does not carry the mounts in it (open_tree(2), without AT_RECURSIVE).
    match open_tree(CWD, dir, OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC) {
        Ok(fd) => Ok(Some(Root::new(fd))),
        // An ordinary user, a locked mount, or a kernel before 5.2: mounts are recognised by their ids then.
        Err(Errno::PERM | Errno::INVAL | Errno::NOSYS) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// The same root by a descriptor that more can be asked of than of one that is `O_PATH`.
fn listable(root: Root) -> io::Result<Root> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(Root::new(openat(root.fd(), ".", flags, Mode::empty())?))
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
