//! The open layer directories of an overlay.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use super::layers::Layers;
use super::mount::{clone_without_submounts, open_readable};
use super::namespace::MountNamespace;

/// The layer directories of an overlay, open.
pub(crate) struct LayerDirs {
    pub upper: OwnedFd,
    /// True if `upper` shows the directory without the mounts inside it.
    pub upper_without_submounts: bool,
    /// The lower directories, topmost first.
    pub lowers: Vec<OwnedFd>,
    pub data_only: Vec<OwnedFd>,
    /// The mount namespace of the layers' mounts.
    pub namespace: MountNamespace,
    /// True if the lower directories show other owners than the overlay does, because the overlay
    /// reads them through idmapped mounts that have been unmounted.
    pub owners_unmapped: bool,
}

impl LayerDirs {
    /// Opens the layer directories that the user has named, with `upper` as the upper directory.
    ///
    /// # Errors
    /// Returns the path of a directory that cannot be opened, and the cause.
    pub fn open_named(upper: &Path, layers: &Layers) -> Result<LayerDirs, (PathBuf, io::Error)> {
        let open = |path: &Path| File::open(path).map(OwnedFd::from).map_err(|e| (path.to_owned(), e));
        let opened = open(upper)?;
        let clone = clone_without_submounts(opened.as_fd())
            .and_then(|clone| clone.map(|root| Ok(open_readable(root.fd())?)).transpose())
            .map_err(|e| (upper.to_owned(), e))?;
        let (upper_without_submounts, upper) = (clone.is_some(), clone.unwrap_or(opened));
        let all = |paths: &[PathBuf]| paths.iter().map(|path| open(path)).collect::<Result<Vec<_>, _>>();
        let (lowers, data_only) = (all(&layers.lowers)?, all(&layers.data_only)?);
        let namespace = MountNamespace::own().map_err(|e| ("/proc/self/mountinfo".into(), e))?;
        Ok(LayerDirs { upper, upper_without_submounts, lowers, data_only, namespace, owners_unmapped: false })
    }
}
