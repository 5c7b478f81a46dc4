//! Which mount a directory is the root of, by the mount's ID and never by its path.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, setns, unshare};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxAttributes, StatxFlags, openat, statx};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};
use rustix::process::fchdir;
use tartree::{Root, Status};

use crate::layers::LayersError;
use crate::mountinfo::{self, Mount};

/// The mounts that one process sees.
#[derive(Clone)]
pub(crate) struct Namespace {
    /// The process, unless it is this one.
    process: Option<u32>,
    pub mounts: Vec<Mount>,
}

/// A mount, and its root directory.
pub(crate) struct Found {
    pub mount: Mount,
    pub namespace: Namespace,
    dir: OwnedFd,
}

impl Namespace {
    /// Returns the mounts that this process sees.
    pub fn own() -> io::Result<Namespace> {
        Ok(Namespace { process: None, mounts: mountinfo::parse(&fs::read("/proc/self/mountinfo")?) })
    }

    /// Returns the mounts of all other processes, of those with the same namespace and root directory once.
    fn others() -> impl Iterator<Item = Namespace> {
        let mut seen = HashSet::new();
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        processes.filter_map(move |entry| {
            let process = entry.file_name().to_str()?.parse().ok()?;
            let link = |name: &str| fs::read_link(entry.path().join(name)).ok();
            if !seen.insert((link("ns/mnt")?, link("root")?)) {
                return None;
            }
            let text = fs::read(entry.path().join("mountinfo")).ok()?;
            Some(Namespace { process: Some(process), mounts: mountinfo::parse(&text) })
        })
    }

    /// Returns the path by which this process reaches the absolute `path` of the namespace.
    pub fn reach(&self, path: &Path) -> PathBuf {
        match self.process {
            Some(process) => {
                let root = PathBuf::from(format!("/proc/{process}/root"));
                root.join(path.strip_prefix("/").unwrap_or(path))
            }
            None => path.into(),
        }
    }

    /// Runs `job` where the mounts of this namespace may be cloned, which is within it only. Passes the path of the directory
    /// that has the open descriptors.
    ///
    /// # Errors
    /// Any errno of setns(2), and the errors of `job`.
    pub fn within<T: Send, E: From<io::Error> + Send>(
        &self,
        job: impl FnOnce(&str) -> Result<T, E> + Send,
    ) -> Result<T, E> {
        let Some(process) = self.process else { return job("/proc/self/fd/") };
        // Only a thread that shares neither root nor working directory with others can enter a namespace.
        let enter = || {
            let namespace = fs::File::open(format!("/proc/{process}/ns/mnt"))?;
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let descriptors = openat(CWD, "/proc/self/fd", flags, Mode::empty())?;
            unshare(CloneFlags::CLONE_FS)?;
            setns(&namespace, CloneFlags::CLONE_NEWNS)?;
            // The /proc over there, if any, may know nothing of this process.
            Ok(fchdir(descriptors)?)
        };
        let thread = move || enter().map_err(|e: io::Error| E::from(e)).and_then(|()| job(""));
        let ended = std::thread::scope(|scope| scope.spawn(thread).join());
        ended.unwrap_or_else(|_| Err(io::Error::other("the thread in the mount namespace has failed").into()))
    }

    /// Returns whether `dir` is on a mount of this namespace.
    pub fn has(&self, dir: BorrowedFd<'_>) -> bool {
        mount_id(dir).is_ok_and(|id| self.mounts.iter().any(|mount| mount.id == id))
    }

    /// Opens the root directory of `mount`. Returns `None` if another mount hides it.
    pub fn open(&self, mount: &Mount) -> Option<OwnedFd> {
        let path = self.reach(Path::new(OsStr::from_bytes(&mount.mount_point)));
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = openat(CWD, path, flags, Mode::empty()).ok()?;
        (mount_id(dir.as_fd()).ok()? == mount.id).then_some(dir)
    }
}

impl Found {
    /// Finds the mount of which `dir` is the root directory.
    ///
    /// # Errors
    /// Returns an error if `dir` is not the root directory of a mount that a process sees.
    pub fn of(dir: OwnedFd) -> Result<Found, LayersError> {
        let id = mount_id(dir.as_fd())?;
        let own = Namespace::own()?;
        let namespace = match own.has(dir.as_fd()) {
            true => own,
            false => Namespace::others().find(|other| other.has(dir.as_fd())).ok_or(LayersError::Detached)?,
        };
        let mount = namespace.mounts.iter().find(|mount| mount.id == id).cloned();
        let mount = mount.ok_or(LayersError::Detached)?;
        let found = Found { mount, namespace, dir };
        let is_root = is_mount_root(found.dir.as_fd(), id)?;
        if !is_root || !found.mount.fs_type.ends_with(b"overlay") && !found.is_fuse() {
            found.is_hidden()?;
        }
        if !is_root {
            return Err(LayersError::NotOverlay("a directory without a mount of its own".into()));
        }
        if found.mount.root.ends_with(b"//deleted") {
            return Err(LayersError::Deleted);
        }
        Ok(found)
    }

    fn is_fuse(&self) -> bool {
        self.mount.fs_type == b"fuse.fuse-overlayfs"
    }

    /// Returns an error if an overlay is mounted at the same path, below what the path leads to.
    fn is_hidden(&self) -> Result<(), LayersError> {
        let path = fs::read_link(format!("/proc/self/fd/{}", self.dir.as_raw_fd()))?;
        let is_overlay =
            |mount: &Mount| mount.fs_type == b"overlay" && mount.mount_point == path.as_os_str().as_bytes();
        match self.namespace.mounts.iter().any(is_overlay) {
            true => Err(LayersError::Hidden(String::from_utf8_lossy(&self.mount.fs_type).into())),
            false => Ok(()),
        }
    }

    /// Returns the directory of the overlay that is mounted: the empty path for the overlay itself, which a bind mount need
    /// not show.
    pub fn inside(&self) -> &[u8] {
        self.mount.root.strip_prefix(b"/").unwrap_or(&self.mount.root)
    }

    /// Returns the mounted directory.
    pub fn dir(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// Returns the root directory of the file system: from another mount of it if this one shows only a part. `None` if
    /// there is none.
    pub fn whole(&self) -> io::Result<Option<OwnedFd>> {
        if self.inside().is_empty() {
            return Ok(Some(self.dir.try_clone()?));
        }
        let root = |namespace: &Namespace| {
            let mounts = namespace.mounts.iter();
            let mut all = mounts.filter(|mount| mount.device == self.mount.device && mount.root == b"/");
            all.find_map(|mount| namespace.open(mount))
        };
        Ok(root(&Namespace::own()?).or_else(|| Namespace::others().find_map(|namespace| root(&namespace))))
    }

    /// Returns the mounted directory without what is mounted inside it. `None` if this process may not clone the mount.
    ///
    /// # Errors
    /// Any errno of open_tree(2).
    pub fn alone(&self) -> io::Result<Option<Root>> {
        let cloned = self.namespace.within(|_| alone(self.dir.as_fd()));
        match cloned {
            Err(e) if e.raw_os_error() == Some(Errno::PERM.raw_os_error()) => Ok(None),
            cloned => cloned,
        }
    }
}

/// Returns `dir` without what is mounted inside it. `None` if this process may not clone the mount.
///
/// # Errors
/// Any errno of open_tree(2).
pub(crate) fn alone(dir: BorrowedFd<'_>) -> io::Result<Option<Root>> {
    // A clone of one mount does not carry the mounts in it (open_tree(2), without AT_RECURSIVE).
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    match open_tree(dir, "", flags) {
        Ok(fd) => Ok(Some(Root::new(fd))),
        // An ordinary user, a locked mount, or a kernel before 5.2: mounts are recognised by their IDs then.
        Err(Errno::PERM | Errno::INVAL | Errno::NOSYS) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// Returns the ID of the mount that `dir` is in.
pub(crate) fn mount_id(dir: BorrowedFd<'_>) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", dir.as_raw_fd()))?;
    let id = text.lines().find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok());
    id.ok_or_else(|| io::Error::other("fdinfo without mnt_id"))
}

/// Returns whether `dir`, in the mount `id`, is the root directory of the mount.
fn is_mount_root(dir: BorrowedFd<'_>, id: u64) -> io::Result<bool> {
    let status = statx(dir, "", AtFlags::EMPTY_PATH | AtFlags::NO_AUTOMOUNT, StatxFlags::BASIC_STATS)?;
    if status.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT) {
        return Ok(status.stx_attributes.contains(StatxAttributes::MOUNT_ROOT));
    }
    // Before Linux 5.8.
    let above = openat(dir, "..", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let identity = |dir| Status::at(dir, OsStr::new("")).map(|status| status.identity());
    Ok(mount_id(above.as_fd())? != id || identity(above.as_fd())? == identity(dir)?)
}
