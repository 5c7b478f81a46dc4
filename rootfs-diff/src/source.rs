//! The two views that are compared: the tree as it was, and as it is.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string,
    fsmount, fsopen,
};
use tartree::{Files, Place, Root, TarPath};

use crate::layers::{Layers, LayersError};
use crate::overlay::{Directories, Found, Namespace, alone, identify, listable};
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
    /// Owners in the tree as it was are not those that the overlay shows: equal ones prove nothing.
    pub(crate) unmapped: bool,
    /// What proves that nothing of an object need be read.
    pub(crate) same_inode: SameInode,
}

/// Who shows the tree as it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum View<'a> {
    /// The kernel, and only this directory of the overlay.
    Part(&'a [u8]),
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
    /// Whether one of the two trees has `path`.
    pub fn has(&mut self, path: &TarPath) -> bool {
        let there = |tree: &mut Tree| tree.status(path).is_ok_and(|status| status.is_some());
        there(&mut self.new) || there(&mut self.base)
    }

    /// Opens the overlay that is mounted at `mount_point`, or the directory of one that is bind-mounted there.
    ///
    /// # Errors
    /// Returns an error if no overlay is mounted there, if its layers cannot be proved, or if there is no merged view of them.
    pub fn mounted(mount_point: &Path) -> Result<Source, SourceError> {
        let open = |e| SourceError::Open(mount_point.into(), e);
        let layers = |e| SourceError::Layers(mount_point.into(), e);
        let found = Found::of(directory(mount_point).map_err(open)?).map_err(layers)?;
        let names = Layers::of(&found.mount).map_err(layers)?;
        if names.upper.is_none() {
            return Err(SourceError::NoUpper(mount_point.into()));
        }
        let directories = identify(&found, &names).map_err(layers)?;
        let (merged, view) = match found.alone().map_err(open)? {
            Some(merged) => (merged, View::Alone),
            None => (Root::new(listable(found.dir()).map_err(|e| open(e.into()))?), View::Mounted),
        };
        let view = if found.inside().is_empty() { view } else { View::Part(found.inside()) };
        Source::of_layers(&names, directories, merged, view)
    }

    /// The overlay that is mounted at `mount_point` and does not tell its layers, such as a fuse-overlayfs.
    ///
    /// # Errors
    /// When a view cannot be made.
    pub fn mounted_from(mount_point: &Path, layers: &Layers) -> Result<Source, SourceError> {
        let directories = given(layers)?;
        let index = directory(mount_point).is_ok_and(|dir| {
            let found = Found::of(dir);
            found.is_ok_and(|found| Layers::of(&found.mount).is_ok_and(|layers| layers.index))
        });
        let layers = &Layers { index: layers.index || index, ..layers.clone() };
        let merged = without_submounts(mount_point).map_err(|e| SourceError::Open(mount_point.into(), e))?;
        let source = Source::of_layers(layers, directories, merged, View::Program)?;
        // A file system in user space numbers inodes as it likes.
        Ok(Source { same_inode: SameInode::Never, ..source })
    }

    /// An overlay of these layers that need not be mounted.
    ///
    /// # Errors
    /// When a view cannot be made.
    pub fn unmounted(layers: &Layers) -> Result<Source, SourceError> {
        let upper = layers.upper.clone().ok_or_else(|| SourceError::NoUpper(PathBuf::from("upper")))?;
        let directories = given(layers)?;
        let path = |path: &PathBuf| directory(path).map_err(|e| SourceError::Open(path.clone(), e));
        let names = [&upper].into_iter().chain(&layers.lowers).map(path).collect::<Result<Vec<_>, _>>()?;
        let merged = merge(&names, &directories.data_only, &directories.namespace, layers.userxattr)?;
        Source::of_layers(layers, directories, Root::new(merged), View::Made)
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
            unmapped: false,
            same_inode,
        })
    }

    fn of_layers(
        layers: &Layers,
        directories: Directories,
        merged: Root,
        view: View,
    ) -> Result<Source, SourceError> {
        let Directories { upper, upper_alone, mut lowers, data_only, namespace, unmapped } = directories;
        let base = match lowers.len() {
            // overlayfs refuses a single layer, and without data-only layers that layer is its own view.
            1 if data_only.is_empty() => lowers.remove(0),
            _ => merge(&lowers, &data_only, &namespace, layers.userxattr)?,
        };
        let base = match view {
            View::Part(inside) => part(base.as_fd(), inside)?,
            _ => base,
        };
        let marks = if layers.userxattr { Marks::User } else { Marks::Trusted };
        // With an index the other names of a changed hard link are not in the upper directory at all.
        // The kernel marks the upper directory with the lower one it belongs to when there is an index to be kept.
        let origin = marks.prefix().map(|prefix| [prefix, b"origin"].concat()).unwrap_or_default();
        let without_index = view == View::Made;
        let path = format!("/proc/self/fd/{}", upper.as_raw_fd());
        let origin = xattr::get_deref(path, OsStr::from_bytes(&origin));
        let lost_index = without_index && matches!(origin, Ok(Some(_)));
        // The upper directory is no help either to a process that cannot read the xattrs by which it hides what is below.
        let by_others = matches!(view, View::Alone | View::Mounted);
        let root = Root::new(upper);
        let upper = match view {
            View::Part(_) => None,
            _ if layers.index || by_others && !marks.are_seen() => None,
            View::Alone | View::Made if upper_alone => Some(Upper::shown_in(root, marks, &merged)),
            _ => Some(Upper::new(root, marks)),
        };
        Ok(Source {
            base: Tree::new(Root::new(base), marks),
            new: Tree::new(merged, marks),
            upper,
            without_index,
            lost_index,
            unmapped,
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

/// Opens the directory at `path`, following links: it is what the user named.
fn directory(path: &Path) -> io::Result<OwnedFd> {
    Ok(openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Opens a directory without what is mounted inside it: volumes, `/proc`, bind mounts.
fn without_submounts(dir: &Path) -> io::Result<Root> {
    alone(directory(dir)?.as_fd())?.map_or_else(|| Root::open(dir), Ok)
}

/// Opens the directories that the user has named as the layers of an overlay.
fn given(layers: &Layers) -> Result<Directories, SourceError> {
    let open = |path: &PathBuf| {
        let dir = fs::File::open(path).map(OwnedFd::from);
        dir.map_err(|e| SourceError::Open(path.clone(), e))
    };
    let path = layers.upper.clone().ok_or_else(|| SourceError::NoUpper(PathBuf::from("upper")))?;
    let upper = open(&path)?;
    let clone = alone(upper.as_fd())
        .and_then(|clone| clone.map(|root| Ok(listable(root.fd())?)).transpose())
        .map_err(|e| SourceError::Open(path, e))?;
    let (upper_alone, upper) = (clone.is_some(), clone.unwrap_or(upper));
    let all = |paths: &[PathBuf]| paths.iter().map(open).collect::<Result<Vec<_>, _>>();
    let (lowers, data_only) = (all(&layers.lowers)?, all(&layers.data_only)?);
    let namespace = Namespace::own().map_err(|e| SourceError::Open("/proc/self/mountinfo".into(), e))?;
    Ok(Directories { upper, upper_alone, lowers, data_only, namespace, unmapped: false })
}

/// Opens the directory `inside` of `base`, or an empty one if there is none.
fn part(base: BorrowedFd<'_>, inside: &[u8]) -> Result<OwnedFd, SourceError> {
    let open = |e: Errno| SourceError::Open(OsStr::from_bytes(inside).into(), e.into());
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    match openat2(base, OsStr::from_bytes(inside), flags, Mode::empty(), resolve) {
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => empty().map_err(open),
        opened => opened.map_err(open),
    }
}

/// Returns an empty directory that nobody else sees.
fn empty() -> rustix::io::Result<OwnedFd> {
    let fs = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(fs.as_fd())?;
    fsmount(fs.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_RDONLY)
}

/// Merges `lowers`, topmost first, into a read-only view: a mount without a mount point that ends with its descriptor.
fn merge(
    lowers: &[OwnedFd],
    data_only: &[OwnedFd],
    namespace: &Namespace,
    userxattr: bool,
) -> Result<OwnedFd, SourceError> {
    // redirect and metacopy marks are followed where they are; only a user namespace refuses the option.
    let attempts: &[bool] = if userxattr { &[false] } else { &[true, false] };
    let view = namespace.within(|descriptors| {
        let mut last = Errno::INVAL;
        for &follow in attempts {
            match view(lowers, data_only, descriptors, userxattr, follow) {
                Ok(fd) => return Ok(fd),
                Err(e) => last = e,
            }
        }
        Err(io::Error::from(last))
    });
    view.map_err(|e| SourceError::Merge(lowers.len(), e))
}

fn view(
    names: &[OwnedFd],
    data: &[OwnedFd],
    descriptors: &str,
    userxattr: bool,
    follow: bool,
) -> rustix::io::Result<OwnedFd> {
    // Descriptors instead of paths: a value of fsconfig is limited to 255 bytes, and needs no escapes this way.
    let path = |fd: &OwnedFd| format!("{descriptors}{}", fd.as_raw_fd());
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
