//! Searches for the directories that the mount options of an overlay may mean.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};
use tartree::{Identity, Status};

use super::layers::{Layers, LayersError, unescaped};
use super::mount::MountRoot;

/// Number of parent directories of the upper directory and of the mount point from which relative
/// layer paths are resolved.
const PARENTS: usize = 4;
/// Bytes that are read of a `lower` file of containers/storage: 500 layers take 28 bytes each.
const LOWER_FILE: u64 = 64 << 10;

/// Resolves the paths in the mount options of an overlay.
pub(crate) struct CandidatePaths<'a> {
    root: &'a MountRoot,
    /// Directories from which relative paths are resolved.
    bases: Vec<PathBuf>,
    /// The layers that containers/storage has recorded, the upper layer first.
    storage: Vec<PathBuf>,
}

impl<'a> CandidatePaths<'a> {
    /// Prepares the search for the `layers` of the overlay at `root`.
    pub fn new(root: &'a MountRoot, layers: &Layers) -> CandidatePaths<'a> {
        let mount_point = Path::new(OsStr::from_bytes(&root.mount.mount_point));
        let upper = layers.upper.as_deref().filter(|upper| upper.is_absolute());
        // containerd and Docker name the upper directory by an absolute path below the directory to
        // which the lower paths are relative. containers/storage mounts at ID/merged; its lower
        // paths are relative to the parent directory of ID.
        let parents =
            |path: &Path| path.ancestors().skip(1).take(PARENTS).map(Path::to_path_buf).collect::<Vec<_>>();
        let mut bases = upper.map(parents).unwrap_or_default();
        bases.extend(parents(mount_point));
        let mut paths = CandidatePaths { root, bases, storage: Vec::new() };
        let is_number = |path: &&PathBuf| path.as_os_str().as_bytes().iter().all(u8::is_ascii_digit);
        if layers.lowers.iter().all(|lower| is_number(&lower)) {
            paths.storage = paths.recorded_by_storage(mount_point).unwrap_or_default();
        }
        if paths.storage.len() != layers.lowers.len() + 1 {
            paths.storage.clear();
        }
        paths
    }

    /// Returns the layers that containers/storage has recorded next to the mount point. If an
    /// overlay has very many layers, containers/storage mounts them by descriptors, and the mount
    /// options hold only the numbers of these descriptors.
    fn recorded_by_storage(&self, mount_point: &Path) -> Option<Vec<PathBuf>> {
        let container = mount_point.parent()?;
        let mut text = Vec::new();
        let file = File::open(self.root.namespace.reach(&container.join("lower"))).ok()?;
        file.take(LOWER_FILE).read_to_end(&mut text).ok()?;
        let graph_root = container.parent()?;
        let lowers = text.split(|&b| b == b':').map(|name| graph_root.join(OsStr::from_bytes(name)));
        Some([container.join("diff")].into_iter().chain(lowers).collect())
    }

    /// Opens the directories that may be the layer number `at`, which the mount options call
    /// `name`. Layer 0 is the upper directory.
    pub fn open(&self, at: usize, name: &Path) -> Vec<File> {
        let mut open: Vec<File> = Vec::new();
        let names =
            if at == 0 { vec![name.to_path_buf(), unescaped(name)] } else { vec![name.to_path_buf()] };
        let joined = names.iter().flat_map(|name| match name.is_absolute() {
            true => vec![name.clone()],
            false => self.bases.iter().map(|base| base.join(name)).collect(),
        });
        for path in joined.chain(self.storage.get(at).cloned()) {
            for path in [path.clone(), self.root.namespace.reach(&path)] {
                let Some(dir) = open_directory(&path) else { continue };
                let Some(id) = identity(&dir) else { continue };
                // The overlay itself may be mounted over one of its layers, but is never its own
                // layer.
                let is_overlay = id.dev == self.root.mount.device;
                if !is_overlay && !open.iter().any(|other| identity(other) == Some(id)) {
                    open.push(dir);
                }
            }
        }
        open
    }

    /// Opens the data-only layer that the mount options call `name`. The kernel does not read a
    /// data-only layer when a directory is listed, so the identity of such a layer is not proved.
    ///
    /// # Errors
    /// Returns an error if no such directory can be opened.
    pub fn open_data_only(&self, name: &Path) -> Result<OwnedFd, LayersError> {
        let dir = self.open(1, name).into_iter().next().map(OwnedFd::from);
        dir.ok_or_else(|| LayersError::Unproven(name.to_string_lossy().into()))
    }
}

fn open_directory(path: &Path) -> Option<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(CWD, path, flags, Mode::empty()).ok().map(File::from)
}

fn identity(dir: &File) -> Option<Identity> {
    Status::at(dir.as_fd(), OsStr::new("")).ok().map(|status| status.identity())
}
