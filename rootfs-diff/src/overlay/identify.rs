//! The directories of a mounted overlay, as the kernel reads them.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use tartree::Status;

use super::handle::Handle;
use super::listing::{self, Read};
use super::mount::{Found, Namespace};
use crate::layers::{Layers, LayersError, unescaped};

/// Parents of the upper directory and of the mount point below which relative layers are searched.
const PARENTS: usize = 4;
/// Bytes of a `lower` file of containers/storage: 500 layers of 28 bytes, and space to spare.
const LOWER_FILE: u64 = 64 << 10;
/// File systems without directories that could be a layer, or where even opening the root directory may wait for a server.
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

/// The directories of an overlay, open.
pub(crate) struct Directories {
    pub upper: OwnedFd,
    /// Nothing is mounted in the upper directory.
    pub upper_alone: bool,
    /// Topmost first.
    pub lowers: Vec<OwnedFd>,
    pub data_only: Vec<OwnedFd>,
    /// Where their mounts are.
    pub namespace: Namespace,
    /// The lower directories show other owners than the overlay sees: it reads them by idmapped mounts that are gone.
    pub unmapped: bool,
}

/// Finds the directories of the overlay that `found` mounts, whose options name `layers`.
///
/// # Errors
/// Returns an error if the kernel reads others than can be found.
pub(crate) fn identify(found: &Found, layers: &Layers) -> Result<Directories, LayersError> {
    let places = Places::of(found, layers)?;
    let names: Vec<&Path> = layers.upper.iter().chain(&layers.lowers).map(PathBuf::as_path).collect();
    let candidates: Vec<Vec<File>> =
        names.iter().enumerate().map(|(at, name)| places.candidates(at, name)).collect();
    let data_only =
        layers.data_only.iter().map(|name| places.data_only(name)).collect::<Result<Vec<_>, _>>()?;
    let identify = Identify { found, own: Namespace::own()?, names, candidates, data_only };
    match found.whole()? {
        Some(root) => identify.by_root(root.as_fd()),
        None => identify.by_part(),
    }
}

struct Identify<'a> {
    found: &'a Found,
    own: Namespace,
    /// Of the upper directory and the lower ones, as the mount options have them.
    names: Vec<&'a Path>,
    /// Where each of them may be.
    candidates: Vec<Vec<File>>,
    data_only: Vec<OwnedFd>,
}

impl Identify<'_> {
    /// Identifies the layers by listing the root directory of the overlay.
    fn by_root(self, root: BorrowedFd<'_>) -> Result<Directories, LayersError> {
        let among = listing::among(root, self.candidates.iter().flatten())?;
        if self.are(&among) {
            return self.open(among);
        }
        let Some(reads) = listing::anywhere(root, &self.file_systems())? else {
            return Err(self.unproven(&among));
        };
        // While a process has listed the root directory and keeps it open, the kernel answers from memory.
        if reads.len() < 2 {
            return self.by_directories(root, reads);
        }
        let reads = own_layers(reads);
        if reads.len() == self.names.len() { self.open(reads) } else { Err(self.unproven(&reads)) }
    }

    /// Identifies the layers by listing the directories in the root directory `root`: the kernel reads each in every layer that
    /// has it, and `..` leads from there to the root directory of the layer. `reads` is what is known already: the upper one.
    fn by_directories(self, root: BorrowedFd<'_>, reads: Vec<Read>) -> Result<Directories, LayersError> {
        let file_systems = self.file_systems();
        let mut layers: Vec<Option<Read>> = self.candidates.iter().map(|_| None).collect();
        let mut add = |read: Read| {
            let at = self.candidates.iter().position(|all| all.iter().any(|dir| is(&read, dir)));
            if let Some(layer) = at.and_then(|at| layers.get_mut(at)) {
                layer.get_or_insert(read);
            }
            layers.iter().all(Option::is_some)
        };
        let mut all = reads.into_iter().any(&mut add);
        for name in tartree::names(root, OsStr::new("."))? {
            let Some(dir) = openat(root, &name, SUBDIRECTORY, Mode::empty()).ok().filter(|_| !all) else {
                continue;
            };
            let reads = listing::anywhere(dir.as_fd(), &file_systems)?.unwrap_or_default();
            all = reads.iter().filter_map(above).any(&mut add);
        }
        let names = self.names.iter().zip(&layers);
        let missing = names.filter(|(_, read)| read.is_none()).map(|(name, _)| name).next();
        match missing {
            Some(name) => Err(LayersError::InUse(name.to_string_lossy().into())),
            None => self.open(layers.into_iter().flatten().collect()),
        }
    }

    /// Identifies the layers by listing a directory inside the overlay, where its root directory is mounted nowhere: those that
    /// have the directory are read, the others have nothing to show there.
    fn by_part(self) -> Result<Directories, LayersError> {
        let inside = Path::new(OsStr::from_bytes(self.found.inside()));
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let parts = self.candidates.iter().filter_map(|all| {
            let dir = openat2(all.first()?, inside, flags, Mode::empty(), resolve).ok()?;
            Some(File::from(dir))
        });
        let parts: Vec<File> = parts.collect();
        let reads = match listing::anywhere(self.found.dir(), &self.file_systems())? {
            Some(reads) => reads,
            None => listing::among(self.found.dir(), parts.iter())?,
        };
        let same = |(read, part): (&Read, &File)| is(read, part);
        if reads.is_empty() || reads.len() != parts.len() || !reads.iter().zip(&parts).all(same) {
            return Err(self.unproven(&[]));
        }
        let unmapped = !reads.iter().zip(&parts).all(|(read, part)| has_owners(read, part));
        Ok(Directories { unmapped, ..self.believed()? })
    }

    /// Returns whether `reads` are the layers that the options name, in their order.
    fn are(&self, reads: &[Read]) -> bool {
        let same = |(read, all): (&Read, &Vec<File>)| all.iter().any(|dir| is(read, dir));
        reads.len() == self.candidates.len() && reads.iter().zip(&self.candidates).all(same)
    }

    /// Opens the layers that the kernel has read.
    fn open(mut self, mut reads: Vec<Read>) -> Result<Directories, LayersError> {
        let single = self.names.len() == 2 && self.data_only.is_empty();
        let mut open = |at: usize| reads.get_mut(at).and_then(|read| read.dir.take());
        // The overlay's own mount of a layer, where it is known: nothing is mounted in it.
        let (upper, lower) = (open(0), open(1).filter(|_| single));
        let upper_alone = upper.is_some();
        let upper = match upper {
            Some(dir) => dir,
            None => match self.reopen(0, &reads[0], &self.own)? {
                Way::Candidate(index) => self.candidates[0].swap_remove(index).into(),
                Way::Handle(dir) => dir,
            },
        };
        // They must be of one namespace, or no overlay can be made of them.
        let (lowers, namespace) = match lower {
            Some(lower) => (vec![lower], self.own),
            None => match self.reopen_lowers(&reads, &self.own) {
                Err(LayersError::Unproven(_)) => {
                    let ways = self.reopen_lowers(&reads, &self.found.namespace)?;
                    (self.follow(ways), self.found.namespace.clone())
                }
                ways => (self.follow(ways?), self.own),
            },
        };
        let unmapped = !reads[1..].iter().zip(&lowers).all(|(read, dir)| has_owners(read, dir));
        Ok(Directories { upper, upper_alone, lowers, data_only: self.data_only, namespace, unmapped })
    }

    fn reopen_lowers(&self, reads: &[Read], namespace: &Namespace) -> Result<Vec<Way>, LayersError> {
        (1..reads.len()).map(|at| self.reopen(at, &reads[at], namespace)).collect()
    }

    /// Finds the layer `at`, which the kernel has read as `read`, by a mount of `namespace`.
    fn reopen(&self, at: usize, read: &Read, namespace: &Namespace) -> Result<Way, LayersError> {
        let candidates = &self.candidates[at];
        let candidate = candidates.iter().position(|dir| is(read, dir) && namespace.has(dir.as_fd()));
        let way = match candidate {
            Some(index) => Way::Candidate(index),
            None => {
                let any = candidates.iter().find(|dir| is(read, *dir));
                let handle = any.and_then(|dir| Handle::of(dir.as_fd()).ok());
                let handle = handle.as_ref().or(read.handle.as_ref());
                let dir = handle.and_then(|handle| by_handle(handle, read, namespace));
                Way::Handle(dir.ok_or_else(|| self.unproven(&[]))?)
            }
        };
        Ok(way)
    }

    /// Moves the directories out of the candidates: as copies, 500 layers would be more than the usual limit of descriptors.
    fn follow(&mut self, ways: Vec<Way>) -> Vec<OwnedFd> {
        let lowers = ways.into_iter().zip(&mut self.candidates[1..]);
        let open = |(way, candidates): (Way, &mut Vec<File>)| match way {
            Way::Candidate(index) => candidates.swap_remove(index).into(),
            Way::Handle(dir) => dir,
        };
        lowers.map(open).collect()
    }

    /// Returns the layers that the mount options name.
    fn believed(self) -> Result<Directories, LayersError> {
        if self.candidates.iter().any(Vec::is_empty) {
            return Err(self.unproven(&[]));
        }
        let first = |mut all: Vec<File>| OwnedFd::from(all.swap_remove(0));
        let mut layers = self.candidates.into_iter().map(first);
        let upper = layers.next().ok_or_else(|| LayersError::Unproven("upperdir".into()))?;
        let lowers: Vec<OwnedFd> = layers.collect();
        let is_own = lowers.iter().all(|dir| self.own.has(dir.as_fd()));
        let namespace = if is_own { self.own } else { self.found.namespace.clone() };
        let data_only = self.data_only;
        Ok(Directories { upper, upper_alone: false, lowers, data_only, namespace, unmapped: false })
    }

    /// Returns one mount of every file system that may have layers.
    fn file_systems(&self) -> Vec<OwnedFd> {
        let mut seen = vec![self.found.mount.device];
        let mut open = Vec::new();
        for namespace in [&self.own, &self.found.namespace] {
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
    fn unproven(&self, reads: &[Read]) -> LayersError {
        let unread = |all: &Vec<File>| !all.iter().any(|dir| reads.iter().any(|read| is(read, dir)));
        let at = self.candidates.iter().position(unread).unwrap_or(0);
        let name = self.names.get(at).map_or("".into(), |name| name.to_string_lossy());
        LayersError::Unproven(name.into())
    }
}

/// Drops what was read for an overlay that is itself a lower layer: its mounts are older than that of the upper directory,
/// which comes first and is on no overlay.
fn own_layers(mut reads: Vec<Read>) -> Vec<Read> {
    if let Some(upper) = reads.first().and_then(|upper| upper.mount) {
        reads.retain(|read| read.mount.is_none_or(|mount| mount >= upper));
    }
    reads
}

/// Returns the directory above one that was read, by the same mount.
fn above(read: &Read) -> Option<Read> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = openat(read.dir.as_ref()?, "..", flags, Mode::empty()).ok()?;
    let status = Status::at(dir.as_fd(), OsStr::new("")).ok()?;
    Some(Read { status, dir: Some(dir), handle: None, mount: read.mount })
}

/// Returns whether `dir` shows the owners that the overlay sees, which an idmapped mount changes.
fn has_owners(read: &Read, dir: &impl AsFd) -> bool {
    let owners = |status: &Status| (status.uid(), status.gid());
    let status = Status::at(dir.as_fd(), OsStr::new(""));
    status.is_ok_and(|status| owners(&status) == owners(&read.status))
}

/// Opens the directory that was read by a mount of `namespace`.
fn by_handle(handle: &Handle, read: &Read, namespace: &Namespace) -> Option<OwnedFd> {
    let device = read.status.identity().dev;
    let mounts = namespace.mounts.iter().filter(|mount| !NO_LAYERS.contains(&&mount.fs_type[..]));
    // A subvolume of btrfs has another device number than its file system: then any mount may be the right one.
    let (same, others): (Vec<_>, Vec<_>) = mounts.partition(|mount| mount.device == device);
    same.into_iter().chain(others).find_map(|mount| {
        let dir = handle.open(listable(namespace.open(mount)?.as_fd()).ok()?.as_fd()).ok()?;
        is(read, &dir).then_some(dir)
    })
}

/// Returns whether `dir` is the directory that was read.
fn is(read: &Read, dir: &impl AsFd) -> bool {
    let status = Status::at(dir.as_fd(), OsStr::new(""));
    status.is_ok_and(|status| status.identity() == read.status.identity())
}

/// Returns the directory `dir` by a descriptor that is not `O_PATH`.
pub(crate) fn listable(dir: BorrowedFd<'_>) -> rustix::io::Result<OwnedFd> {
    openat(dir, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// How a layer is reached by a mount of a namespace.
enum Way {
    /// By one of its candidates.
    Candidate(usize),
    /// By its file handle.
    Handle(OwnedFd),
}

/// Where the words of the mount options may lead.
struct Places<'a> {
    found: &'a Found,
    /// Directories that relative paths may start from.
    bases: Vec<PathBuf>,
    /// Where containers/storage keeps the layers: the upper one first.
    storage: Vec<PathBuf>,
}

impl<'a> Places<'a> {
    fn of(found: &'a Found, layers: &Layers) -> Result<Places<'a>, LayersError> {
        let mount_point = Path::new(OsStr::from_bytes(&found.mount.mount_point));
        let upper = layers.upper.as_deref().filter(|upper| upper.is_absolute());
        // containerd and Docker name the upper directory by an absolute path below the directory that the others are
        // relative to; containers/storage mounts at ID/merged, relative to the directory with ID.
        let above =
            |path: &Path| path.ancestors().skip(1).take(PARENTS).map(Path::to_path_buf).collect::<Vec<_>>();
        let mut bases = upper.map(above).unwrap_or_default();
        bases.extend(above(mount_point));
        let mut places = Places { found, bases, storage: Vec::new() };
        let is_number = |path: &&PathBuf| path.as_os_str().as_bytes().iter().all(u8::is_ascii_digit);
        if layers.lowers.iter().all(|lower| is_number(&lower)) {
            places.storage = places.stored(mount_point).unwrap_or_default();
        }
        if places.storage.len() != layers.lowers.len() + 1 {
            places.storage.clear();
        }
        Ok(places)
    }

    /// Returns the layers that containers/storage has noted next to the mount point. With very many it mounts them by
    /// descriptors, whose numbers are all that the mount options hold.
    fn stored(&self, mount_point: &Path) -> Option<Vec<PathBuf>> {
        let container = mount_point.parent()?;
        let mut text = Vec::new();
        let file = File::open(self.found.namespace.reach(&container.join("lower"))).ok()?;
        file.take(LOWER_FILE).read_to_end(&mut text).ok()?;
        let graph_root = container.parent()?;
        let lowers = text.split(|&b| b == b':').map(|name| graph_root.join(OsStr::from_bytes(name)));
        Some([container.join("diff")].into_iter().chain(lowers).collect())
    }

    /// Opens the directories that layer `at` may be, which the mount options name `name`.
    fn candidates(&self, at: usize, name: &Path) -> Vec<File> {
        let mut open: Vec<File> = Vec::new();
        let names =
            if at == 0 { vec![name.to_path_buf(), unescaped(name)] } else { vec![name.to_path_buf()] };
        let joined = names.iter().flat_map(|name| match name.is_absolute() {
            true => vec![name.clone()],
            false => self.bases.iter().map(|base| base.join(name)).collect(),
        });
        for path in joined.chain(self.storage.get(at).cloned()) {
            for path in [path.clone(), self.found.namespace.reach(&path)] {
                let Some(dir) = directory(&path) else { continue };
                let Some(identity) = identity(&dir) else { continue };
                // An overlay that was mounted over one of its layers is no layer of its own.
                let is_overlay = identity.dev == self.found.mount.device;
                if !is_overlay && !open.iter().any(|other| self::identity(other) == Some(identity)) {
                    open.push(dir);
                }
            }
        }
        open
    }

    fn data_only(&self, name: &Path) -> Result<OwnedFd, LayersError> {
        let dir = self.candidates(1, name).into_iter().next().map(OwnedFd::from);
        dir.ok_or_else(|| LayersError::Unproven(name.to_string_lossy().into()))
    }
}

fn directory(path: &Path) -> Option<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(CWD, path, flags, Mode::empty()).ok().map(File::from)
}

fn identity(dir: &File) -> Option<tartree::Identity> {
    Status::at(dir.as_fd(), OsStr::new("")).ok().map(|status| status.identity())
}
