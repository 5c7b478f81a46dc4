//! Identifies the layer directories of a mounted overlay by observing which directories the kernel
//! reads.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat, openat2};
use tartree::Status;

use super::candidates::CandidatePaths;
use super::file_handle::FileHandle;
use super::layer_dirs::LayerDirs;
use super::layer_reads::{LayerRead, reads_of_watched, reads_on_file_systems};
use super::layers::{Layers, LayersError};
use super::mount::{MountRoot, open_readable};
use super::namespace::MountNamespace;

/// File systems that cannot hold a layer, and network file systems, where even opening the root
/// directory may wait for a server.
const NO_LAYERS: [&[u8]; 24] = [
    b"proc",
    b"sysfs",
    b"cgroup",
    b"cgroup2",
    b"devpts",
    b"mqueue",
    b"debugfs",
    b"tracefs",
    b"securityfs",
    b"bpf",
    b"configfs",
    b"fusectl",
    b"pstore",
    b"efivarfs",
    b"autofs",
    b"nsfs",
    b"rpc_pipefs",
    b"binfmt_misc",
    b"nfs",
    b"nfs4",
    b"cifs",
    b"smb3",
    b"ceph",
    b"9p",
];

const SUBDIRECTORY: OFlags =
    OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Opens the layer directories of the overlay at `root`, whose mount options name `layers`.
///
/// # Errors
/// Returns an error if the kernel reads a directory that cannot be found.
pub(crate) fn identify(root: &MountRoot, layers: &Layers) -> Result<LayerDirs, LayersError> {
    let paths = CandidatePaths::new(root, layers);
    let names: Vec<&Path> = layers.upper.iter().chain(&layers.lowers).map(PathBuf::as_path).collect();
    let candidates: Vec<Vec<File>> =
        names.iter().enumerate().map(|(at, name)| paths.open(at, name)).collect();
    let data_only =
        layers.data_only.iter().map(|name| paths.open_data_only(name)).collect::<Result<Vec<_>, _>>()?;
    let identification = Identification { root, own: MountNamespace::own()?, names, candidates, data_only };
    match root.file_system_root()? {
        Some(dir) => identification.by_root(dir.as_fd()),
        None => identification.by_subdirectory(),
    }
}

struct Identification<'a> {
    root: &'a MountRoot,
    /// The mount namespace of this process.
    own: MountNamespace,
    /// The upper directory and the lower directories, as the mount options name them.
    names: Vec<&'a Path>,
    /// The directories that each of the `names` may mean.
    candidates: Vec<Vec<File>>,
    data_only: Vec<OwnedFd>,
}

impl Identification<'_> {
    /// Identifies the layers by listing the root directory of the overlay.
    fn by_root(self, root: BorrowedFd<'_>) -> Result<LayerDirs, LayersError> {
        let watched = reads_of_watched(root, self.candidates.iter().flatten())?;
        if self.are_as_named(&watched) {
            return self.open(watched);
        }
        let Some(reads) = reads_on_file_systems(root, &self.file_systems())? else {
            return Err(self.unproven(&watched));
        };
        // While a process keeps the root directory open after listing it, the kernel answers from
        // its cache and does not read the lower layers.
        if reads.len() < 2 {
            return self.by_children_of_root(root, reads);
        }
        let reads = without_nested_overlays(reads);
        if reads.len() == self.names.len() { self.open(reads) } else { Err(self.unproven(&reads)) }
    }

    /// Identifies the layers by listing the directories in the root directory `root`. The kernel
    /// reads each of these directories in every layer that contains it, and `..` leads from the
    /// directory to the root of the layer. `reads` holds the upper layer, which is already known.
    fn by_children_of_root(
        self,
        root: BorrowedFd<'_>,
        reads: Vec<LayerRead>,
    ) -> Result<LayerDirs, LayersError> {
        let file_systems = self.file_systems();
        let mut layers: Vec<Option<LayerRead>> = self.candidates.iter().map(|_| None).collect();
        let mut add = |read: LayerRead| {
            let at = self.candidates.iter().position(|all| all.iter().any(|dir| is_same_dir(&read, dir)));
            if let Some(layer) = at.and_then(|at| layers.get_mut(at)) {
                layer.get_or_insert(read);
            }
            layers.iter().all(Option::is_some)
        };
        let mut complete = reads.into_iter().any(&mut add);
        for name in tartree::names(root, OsStr::new("."))? {
            let Some(dir) = openat(root, &name, SUBDIRECTORY, Mode::empty()).ok().filter(|_| !complete)
            else {
                continue;
            };
            let reads = reads_on_file_systems(dir.as_fd(), &file_systems)?.unwrap_or_default();
            complete = reads.iter().filter_map(parent).any(&mut add);
        }
        let names = self.names.iter().zip(&layers);
        let missing = names.filter(|(_, read)| read.is_none()).map(|(name, _)| name).next();
        match missing {
            Some(name) => Err(LayersError::InUse(name.to_string_lossy().into())),
            None => self.open(layers.into_iter().flatten().collect()),
        }
    }

    /// Identifies the layers by listing the mounted subdirectory of an overlay whose root directory
    /// is not mounted. The kernel reads only the layers that have this subdirectory.
    fn by_subdirectory(self) -> Result<LayerDirs, LayersError> {
        let subdirectory = Path::new(OsStr::from_bytes(self.root.subdirectory()));
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let parts = self.candidates.iter().filter_map(|all| {
            let dir = openat2(all.first()?, subdirectory, flags, Mode::empty(), resolve).ok()?;
            Some(File::from(dir))
        });
        let parts: Vec<File> = parts.collect();
        let reads = match reads_on_file_systems(self.root.dir(), &self.file_systems())? {
            Some(reads) => reads,
            None => reads_of_watched(self.root.dir(), parts.iter())?,
        };
        let same = |(read, part): (&LayerRead, &File)| is_same_dir(read, part);
        if reads.is_empty() || reads.len() != parts.len() || !reads.iter().zip(&parts).all(same) {
            return Err(self.unproven(&[]));
        }
        let owners_unmapped = !reads.iter().zip(&parts).all(|(read, part)| has_same_owner(read, part));
        Ok(LayerDirs { owners_unmapped, ..self.first_candidates()? })
    }

    /// Returns whether `reads` are the layers that the mount options name, in the same order.
    fn are_as_named(&self, reads: &[LayerRead]) -> bool {
        let same = |(read, all): (&LayerRead, &Vec<File>)| all.iter().any(|dir| is_same_dir(read, dir));
        reads.len() == self.candidates.len() && reads.iter().zip(&self.candidates).all(same)
    }

    /// Opens the layers that the kernel has read.
    fn open(mut self, mut reads: Vec<LayerRead>) -> Result<LayerDirs, LayersError> {
        let single = self.names.len() == 2 && self.data_only.is_empty();
        let mut open = |at: usize| reads.get_mut(at).and_then(|read| read.dir.take());
        // The overlay's private mount of a layer, if known, is preferred: it has no submounts.
        let (upper, lower) = (open(0), open(1).filter(|_| single));
        let upper_without_submounts = upper.is_some();
        let upper = match upper {
            Some(dir) => dir,
            None => match self.reopen(0, &reads[0], &self.own)? {
                Reopened::Candidate(index) => self.candidates[0].swap_remove(index).into(),
                Reopened::ByHandle(dir) => dir,
            },
        };
        // All lower directories must be on mounts of one namespace; otherwise the kernel refuses to
        // merge them.
        let (lowers, namespace) = match lower {
            Some(lower) => (vec![lower], self.own),
            None => match self.reopen_lowers(&reads, &self.own) {
                Err(LayersError::Unproven(_)) => {
                    let reopened = self.reopen_lowers(&reads, &self.root.namespace)?;
                    (self.take(reopened), self.root.namespace.clone())
                }
                reopened => (self.take(reopened?), self.own),
            },
        };
        let owners_unmapped = !reads[1..].iter().zip(&lowers).all(|(read, dir)| has_same_owner(read, dir));
        let data_only = self.data_only;
        Ok(LayerDirs { upper, upper_without_submounts, lowers, data_only, namespace, owners_unmapped })
    }

    fn reopen_lowers(
        &self,
        reads: &[LayerRead],
        namespace: &MountNamespace,
    ) -> Result<Vec<Reopened>, LayersError> {
        (1..reads.len()).map(|at| self.reopen(at, &reads[at], namespace)).collect()
    }

    /// Finds the layer number `at`, which the kernel has read as `read`, on a mount of `namespace`.
    fn reopen(
        &self,
        at: usize,
        read: &LayerRead,
        namespace: &MountNamespace,
    ) -> Result<Reopened, LayersError> {
        let candidates = &self.candidates[at];
        let candidate =
            candidates.iter().position(|dir| is_same_dir(read, dir) && namespace.has(dir.as_fd()));
        match candidate {
            Some(index) => Ok(Reopened::Candidate(index)),
            None => {
                let any = candidates.iter().find(|dir| is_same_dir(read, *dir));
                let handle = any.and_then(|dir| FileHandle::of(dir.as_fd()).ok());
                let handle = handle.as_ref().or(read.handle.as_ref());
                let dir = handle.and_then(|handle| open_by_handle(handle, read, namespace));
                Ok(Reopened::ByHandle(dir.ok_or_else(|| self.unproven(&[]))?))
            }
        }
    }

    /// Moves the directories out of the candidates. Duplicates of the descriptors would exceed the
    /// usual limit of a process if there are 500 layers.
    fn take(&mut self, reopened: Vec<Reopened>) -> Vec<OwnedFd> {
        let lowers = reopened.into_iter().zip(&mut self.candidates[1..]);
        let open = |(reopened, candidates): (Reopened, &mut Vec<File>)| match reopened {
            Reopened::Candidate(index) => candidates.swap_remove(index).into(),
            Reopened::ByHandle(dir) => dir,
        };
        lowers.map(open).collect()
    }

    /// Returns the layers that the mount options name: the first candidate of each layer.
    fn first_candidates(self) -> Result<LayerDirs, LayersError> {
        if self.candidates.iter().any(Vec::is_empty) {
            return Err(self.unproven(&[]));
        }
        let first = |mut all: Vec<File>| OwnedFd::from(all.swap_remove(0));
        let mut layers = self.candidates.into_iter().map(first);
        let upper = layers.next().ok_or_else(|| LayersError::Unproven("upperdir".into()))?;
        let lowers: Vec<OwnedFd> = layers.collect();
        let is_own = lowers.iter().all(|dir| self.own.has(dir.as_fd()));
        let namespace = if is_own { self.own } else { self.root.namespace.clone() };
        Ok(LayerDirs {
            upper,
            upper_without_submounts: false,
            lowers,
            data_only: self.data_only,
            namespace,
            owners_unmapped: false,
        })
    }

    /// Opens one mount of every file system that may hold layers.
    fn file_systems(&self) -> Vec<OwnedFd> {
        let mut seen = vec![self.root.mount.device];
        let mut open = Vec::new();
        for namespace in [&self.own, &self.root.namespace] {
            for mount in &namespace.mounts {
                if seen.contains(&mount.device) || NO_LAYERS.contains(&&mount.fs_type[..]) {
                    continue;
                }
                if let Some(dir) = namespace.open(mount) {
                    seen.push(mount.device);
                    open.push(dir);
                }
            }
        }
        open
    }

    /// Returns the error that names the first layer that is not among `reads`.
    fn unproven(&self, reads: &[LayerRead]) -> LayersError {
        let unread = |all: &Vec<File>| !all.iter().any(|dir| reads.iter().any(|read| is_same_dir(read, dir)));
        let at = self.candidates.iter().position(unread).unwrap_or(0);
        let name = self.names.get(at).map_or("".into(), |name| name.to_string_lossy());
        LayersError::Unproven(name.into())
    }
}

/// A layer that was found on a mount of a namespace.
enum Reopened {
    /// The candidate with this index.
    Candidate(usize),
    /// A directory that was opened by its file handle.
    ByHandle(OwnedFd),
}

/// Drops the reads of an overlay that is itself a lower layer. The private mounts of such an
/// overlay are older than the private mount of the upper directory. The upper directory comes first
/// in `reads`, and is never on an overlay.
fn without_nested_overlays(mut reads: Vec<LayerRead>) -> Vec<LayerRead> {
    if let Some(upper) = reads.first().and_then(|upper| upper.mount) {
        reads.retain(|read| read.mount.is_none_or(|mount| mount >= upper));
    }
    reads
}

/// Returns the parent of a directory that was read, on the same mount.
fn parent(read: &LayerRead) -> Option<LayerRead> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = openat(read.dir.as_ref()?, "..", flags, Mode::empty()).ok()?;
    let status = Status::at(dir.as_fd(), OsStr::new("")).ok()?;
    Some(LayerRead { status, dir: Some(dir), handle: None, mount: read.mount })
}

/// Returns whether `dir` shows the owner that the overlay sees. The owners differ if the overlay
/// reads the directory through an idmapped mount.
fn has_same_owner(read: &LayerRead, dir: &impl AsFd) -> bool {
    let owners = |status: &Status| (status.uid(), status.gid());
    let status = Status::at(dir.as_fd(), OsStr::new(""));
    status.is_ok_and(|status| owners(&status) == owners(&read.status))
}

/// Opens the directory that was read through a mount of `namespace`.
fn open_by_handle(handle: &FileHandle, read: &LayerRead, namespace: &MountNamespace) -> Option<OwnedFd> {
    let device = read.status.identity().dev;
    let mounts = namespace.mounts.iter().filter(|mount| !NO_LAYERS.contains(&&mount.fs_type[..]));
    // A btrfs subvolume has another device number than its file system, so other mounts are tried
    // as well.
    let (same, others): (Vec<_>, Vec<_>) = mounts.partition(|mount| mount.device == device);
    same.into_iter().chain(others).find_map(|mount| {
        let dir = handle.open(open_readable(namespace.open(mount)?.as_fd()).ok()?.as_fd()).ok()?;
        is_same_dir(read, &dir).then_some(dir)
    })
}

/// Returns whether `dir` is the directory that was read.
fn is_same_dir(read: &LayerRead, dir: &impl AsFd) -> bool {
    let status = Status::at(dir.as_fd(), OsStr::new(""));
    status.is_ok_and(|status| status.identity() == read.status.identity())
}
