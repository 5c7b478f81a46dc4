//! The two trees that are compared: the old tree before the changes, and the new tree.

mod leaves;
mod new_files;
mod same_inode;
mod tree;
mod upper;

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};
use tartree::{Root, SourceTree, TarPath};

pub(crate) use leaves::Leaves;
pub use new_files::NewFiles;
pub(crate) use tree::{Inode, SELINUX_LABEL, Tree, is_absent, union};
pub(crate) use upper::{Listing, UpperEntry};

use crate::overlay::layers::{Layers, LayersError};
use crate::overlay::{
    LayerDirs, MountRoot, OverlayXattrs, clone_without_submounts, identify, merge, open_readable,
    open_subdirectory,
};
use same_inode::SameInode;
use upper::UpperDir;

/// An error while opening the two trees.
#[derive(Debug, thiserror::Error)]
pub enum TreesError {
    /// A layer or another directory cannot be opened.
    #[error("{}", .0.display())]
    Open(PathBuf, #[source] io::Error),
    /// The layers of a mount cannot be determined.
    #[error("{}", .0.display())]
    Layers(PathBuf, #[source] LayersError),
    /// The mount has no upper directory.
    #[error("{}: mounted read-only, without an upper directory: nothing can have changed", .0.display())]
    NoUpper(PathBuf),
    /// The overlay has fewer lower directories than the image is said to have.
    #[error("expected at least {expected} lower directories, found {found}")]
    ImageLayers { expected: usize, found: usize },
    /// The kernel refuses to merge the layers.
    #[error("cannot mount a merged view of {0} layers")]
    Merge(usize, #[source] io::Error),
}

/// The old tree, the new tree, and the facts that decide which inodes both trees share.
pub struct Trees {
    pub(crate) old: Tree,
    pub(crate) new: Tree,
    /// The upper directory. Only the paths in it are compared. `None` if both trees must be walked
    /// completely.
    pub(crate) upper: Option<UpperDir>,
    /// True if the new tree is a view that was merged without the overlay's index. In this view,
    /// the other hard links of a changed file show the old content.
    pub(crate) view_lacks_index: bool,
    /// True if `view_lacks_index` is true and the overlay has been mounted with an index. If the
    /// changed name of a hard link was then removed, its new content is only in the work directory.
    pub(crate) may_lose_index: bool,
    /// True if the old tree shows other owners than the overlay does, so that equal owners prove
    /// nothing.
    pub(crate) owners_unmapped: bool,
    /// The proof that both trees show one unchanged inode.
    pub(crate) same_inode: SameInode,
}

/// Which lower directories of an overlay are the old tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageLayers {
    /// All lower directories.
    All,
    /// This number of lower directories, counted from the lowest. Everything in the other lower
    /// directories is a change.
    Lowest(usize),
}

/// The view of an overlay that shows the new tree.
#[derive(Clone, Copy, PartialEq, Eq)]
enum MergedView<'a> {
    /// An overlay mount that shows only this subdirectory.
    Subdirectory(&'a [u8]),
    /// A clone of the overlay mount, without the mounts inside it.
    WithoutSubmounts,
    /// The overlay mount, with the mounts inside it.
    WithSubmounts,
    /// A fuse-overlayfs, which merges by its own rules.
    Fuse,
    /// An overlay of the layers that was mounted for this comparison.
    Temporary,
}

impl Trees {
    /// Returns whether one of the two trees has `path`.
    pub fn has(&mut self, path: &TarPath) -> bool {
        let has = |tree: &mut Tree| tree.status(path).is_ok_and(|status| status.is_some());
        has(&mut self.new) || has(&mut self.old)
    }

    /// Opens the overlay that is mounted at `mount_point`, or the subdirectory of an overlay that
    /// is bind-mounted there.
    ///
    /// # Errors
    /// Returns an error if no overlay is mounted there, if its layers cannot be identified, if there
    /// are fewer than `image` counts, or if the kernel refuses to merge them.
    pub fn mounted(mount_point: &Path, image: ImageLayers) -> Result<Trees, TreesError> {
        let open = |e| TreesError::Open(mount_point.into(), e);
        let layers = |e| TreesError::Layers(mount_point.into(), e);
        let root = MountRoot::find(open_directory(mount_point).map_err(open)?).map_err(layers)?;
        let names = Layers::of(&root.mount).map_err(layers)?;
        if names.upper.is_none() {
            return Err(TreesError::NoUpper(mount_point.into()));
        }
        let dirs = identify(&root, &names).map_err(layers)?;
        let (merged, view) = match root.clone_without_submounts().map_err(open)? {
            Some(merged) => (merged, MergedView::WithoutSubmounts),
            None => {
                let dir = open_readable(root.dir()).map_err(|e| open(e.into()))?;
                (Root::new(dir), MergedView::WithSubmounts)
            }
        };
        let view = match root.subdirectory() {
            b"" => view,
            subdirectory => MergedView::Subdirectory(subdirectory),
        };
        Trees::of_layers(&names, image, dirs, merged, view)
    }

    /// Opens the overlay that is mounted at `mount_point` and does not report its layers, such as a
    /// fuse-overlayfs.
    ///
    /// # Errors
    /// Returns an error if a directory cannot be opened, or if the kernel refuses to merge the
    /// layers.
    pub fn mounted_with_layers(
        mount_point: &Path,
        layers: &Layers,
        image: ImageLayers,
    ) -> Result<Trees, TreesError> {
        let dirs = open_named(layers)?;
        let index = open_directory(mount_point).is_ok_and(|dir| {
            let root = MountRoot::find(dir);
            root.is_ok_and(|root| Layers::of(&root.mount).is_ok_and(|layers| layers.index))
        });
        let layers = &Layers { index: layers.index || index, ..layers.clone() };
        let merged = open_without_submounts(mount_point)?;
        let trees = Trees::of_layers(layers, image, dirs, merged, MergedView::Fuse)?;
        // A FUSE file system may assign inode numbers freely.
        Ok(Trees { same_inode: SameInode::Never, ..trees })
    }

    /// Opens an overlay of `layers` that need not be mounted.
    ///
    /// # Errors
    /// Returns an error if a layer cannot be opened, or if the kernel refuses to merge the layers.
    pub fn unmounted(layers: &Layers, image: ImageLayers) -> Result<Trees, TreesError> {
        let upper = upper_of(layers)?;
        let dirs = open_named(layers)?;
        let path = |path: &PathBuf| open_directory(path).map_err(|e| TreesError::Open(path.clone(), e));
        let all = [upper].into_iter().chain(&layers.lowers).map(path).collect::<Result<Vec<_>, _>>()?;
        let merged = merge(&all, &dirs.data_only, &dirs.namespace, layers.userxattr)
            .map_err(|e| TreesError::Merge(all.len(), e))?;
        Trees::of_layers(layers, image, dirs, Root::new(merged), MergedView::Temporary)
    }

    /// Opens two plain directories, which any storage driver may have made.
    ///
    /// # Errors
    /// Returns an error if a directory cannot be opened.
    pub fn directories(from: &Path, to: &Path) -> Result<Trees, TreesError> {
        let (old, new) = (open_without_submounts(from)?, open_without_submounts(to)?);
        let same_inode = SameInode::of_directories((from, &old), (to, &new));
        Ok(Trees {
            old: Tree::new(old, OverlayXattrs::None),
            new: Tree::new(new, OverlayXattrs::None),
            upper: None,
            view_lacks_index: false,
            may_lose_index: false,
            owners_unmapped: false,
            same_inode,
        })
    }

    fn of_layers(
        layers: &Layers,
        image: ImageLayers,
        dirs: LayerDirs,
        merged: Root,
        view: MergedView,
    ) -> Result<Trees, TreesError> {
        let LayerDirs { upper, upper_without_submounts, mut lowers, data_only, namespace, owners_unmapped } =
            dirs;
        let new_lowers = match image {
            ImageLayers::All => Vec::new(),
            ImageLayers::Lowest(expected) => match lowers.len().checked_sub(expected) {
                Some(new) => lowers.drain(..new).collect(),
                None => return Err(TreesError::ImageLayers { expected, found: lowers.len() }),
            },
        };
        let old = match lowers.len() {
            // overlayfs refuses a single lower directory. Without data-only layers that directory
            // is the old tree itself.
            1 if data_only.is_empty() => lowers.remove(0),
            count => merge(&lowers, &data_only, &namespace, layers.userxattr)
                .map_err(|e| TreesError::Merge(count, e))?,
        };
        let old = match view {
            MergedView::Subdirectory(path) => open_subdirectory(old.as_fd(), path)
                .map_err(|e| TreesError::Open(OsStr::from_bytes(path).into(), e.into()))?,
            _ => old,
        };
        let overlay_xattrs = if layers.userxattr { OverlayXattrs::User } else { OverlayXattrs::Trusted };
        // If an overlay has an index, the kernel records in an xattr of the upper directory the
        // lower directory that belongs to the upper directory.
        let origin = overlay_xattrs.prefix().map(|prefix| [prefix, b"origin"].concat()).unwrap_or_default();
        let view_lacks_index = view == MergedView::Temporary;
        let path = format!("/proc/self/fd/{}", upper.as_raw_fd());
        let origin = xattr::get_deref(path, OsStr::from_bytes(&origin));
        let may_lose_index = view_lacks_index && matches!(origin, Ok(Some(_)));
        let by_kernel = matches!(view, MergedView::WithoutSubmounts | MergedView::WithSubmounts);
        let root = Root::new(upper);
        let upper = match view {
            MergedView::Subdirectory(_) => None,
            // With an index, the upper directory lacks the other names of a changed hard link.
            // Without the right to read overlay xattrs, this process cannot see which directories
            // in the upper directory hide lower directories.
            _ if layers.index || by_kernel && !overlay_xattrs.are_readable() => None,
            MergedView::WithoutSubmounts | MergedView::Temporary if upper_without_submounts => {
                Some(UpperDir::compared_with_view(root, overlay_xattrs, &merged))
            }
            _ => Some(UpperDir::new(root, overlay_xattrs)),
        };
        let upper = upper.map(|upper| upper.with_new_lowers(new_lowers.into_iter().map(Root::new)));
        Ok(Trees {
            old: Tree::new(Root::new(old), overlay_xattrs),
            new: Tree::new(merged, overlay_xattrs),
            upper,
            view_lacks_index,
            may_lose_index,
            owners_unmapped,
            same_inode: SameInode::ByLayers,
        })
    }

    /// Returns whether the upper file at `path` was a hard link when it was copied up under
    /// `index=on`, and the new tree lacks the index.
    pub(crate) fn is_indexed(&mut self, path: &TarPath) -> bool {
        self.view_lacks_index && self.upper.as_mut().is_some_and(|upper| upper.has_nlink_xattr(path))
    }

    /// Opens the regular file at `path` of the old tree.
    ///
    /// # Errors
    /// Returns any errno of openat2(2).
    pub fn open_old(&mut self, path: &TarPath) -> io::Result<File> {
        self.old.open(path)
    }

    /// Opens the regular file at `path` of the new tree.
    ///
    /// # Errors
    /// Returns any errno of openat2(2).
    pub fn open_new(&mut self, path: &TarPath) -> io::Result<File> {
        self.new.open(path)
    }

    /// Returns the new tree, from which the content of a diff is read.
    pub fn into_new_files(self) -> NewFiles {
        NewFiles { merged: self.new.into_root(), upper: self.upper.map(UpperDir::into_root) }
    }

    /// Returns the tree that holds the new files of `source_tree`.
    pub(crate) fn new_at(&mut self, source_tree: SourceTree) -> &mut Tree {
        match (source_tree, &mut self.upper) {
            (SourceTree::Secondary, Some(upper)) => upper.tree(),
            _ => &mut self.new,
        }
    }
}

fn upper_of(layers: &Layers) -> Result<&PathBuf, TreesError> {
    layers.upper.as_ref().ok_or_else(|| TreesError::NoUpper(PathBuf::from("upper")))
}

/// Opens the layer directories that the user has named.
fn open_named(layers: &Layers) -> Result<LayerDirs, TreesError> {
    let upper = upper_of(layers)?;
    LayerDirs::open_named(upper, layers).map_err(|(path, e)| TreesError::Open(path, e))
}

/// Opens the directory at `path`. Follows symbolic links, since the user has named this path.
fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    Ok(openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Opens a directory without the mounts inside it: volumes, `/proc`, bind mounts. If this process
/// may not clone the mount, opens the directory with these mounts.
fn open_without_submounts(path: &Path) -> Result<Root, TreesError> {
    let open =
        || clone_without_submounts(open_directory(path)?.as_fd())?.map_or_else(|| Root::open(path), Ok);
    open().map_err(|e| TreesError::Open(path.into(), e))
}
