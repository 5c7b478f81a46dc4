//! Mount namespaces of this and of other processes.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, setns, unshare};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::process::fchdir;

use super::mountinfo::{self, Mount};

/// A mount namespace, and the mounts that a process in it sees.
#[derive(Clone)]
pub(crate) struct MountNamespace {
    /// A process in the namespace; `None` for the namespace of this process.
    process: Option<u32>,
    pub mounts: Vec<Mount>,
}

impl MountNamespace {
    /// Returns the mount namespace of this process.
    ///
    /// # Errors
    /// Returns an error if `/proc/self/mountinfo` cannot be read.
    pub fn own() -> io::Result<MountNamespace> {
        Ok(MountNamespace { process: None, mounts: mountinfo::parse(&fs::read("/proc/self/mountinfo")?) })
    }

    /// Returns the mount namespaces of all processes in `/proc`. Processes that share a namespace
    /// and a root directory are returned once.
    pub fn all() -> impl Iterator<Item = MountNamespace> {
        let mut seen = HashSet::new();
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        processes.filter_map(move |entry| {
            let process = entry.file_name().to_str()?.parse().ok()?;
            let link = |name: &str| fs::read_link(entry.path().join(name)).ok();
            if !seen.insert((link("ns/mnt")?, link("root")?)) {
                return None;
            }
            let text = fs::read(entry.path().join("mountinfo")).ok()?;
            Some(MountNamespace { process: Some(process), mounts: mountinfo::parse(&text) })
        })
    }

    /// Translates an absolute path in the mount namespace to a path that this process can open.
    pub fn reach(&self, path: &Path) -> PathBuf {
        match self.process {
            Some(process) => {
                let root = PathBuf::from(format!("/proc/{process}/root"));
                root.join(path.strip_prefix("/").unwrap_or(path))
            }
            None => path.into(),
        }
    }

    /// Runs `job` inside this namespace, since the kernel clones a mount only for a process in the
    /// mount's own namespace. Passes `job` the prefix that turns the number of an open descriptor
    /// into a path.
    ///
    /// # Errors
    /// Returns any errno of setns(2), and the errors of `job`.
    pub fn run_within<T: Send, E: From<io::Error> + Send>(
        &self,
        job: impl FnOnce(&str) -> Result<T, E> + Send,
    ) -> Result<T, E> {
        let Some(process) = self.process else { return job("/proc/self/fd/") };
        // setns(2) refuses a thread that shares its root or working directory with other threads.
        let enter = || {
            let namespace = fs::File::open(format!("/proc/{process}/ns/mnt"))?;
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let descriptors = openat(CWD, "/proc/self/fd", flags, Mode::empty())?;
            unshare(CloneFlags::CLONE_FS)?;
            setns(&namespace, CloneFlags::CLONE_NEWNS)?;
            // The other namespace may have no /proc, or the /proc of another PID namespace.
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

/// Returns the ID of the mount that `dir` is on.
///
/// # Errors
/// Returns an error if `/proc/self/fdinfo` cannot be read.
pub(crate) fn mount_id(dir: BorrowedFd<'_>) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", dir.as_raw_fd()))?;
    let id = text.lines().find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok());
    id.ok_or_else(|| io::Error::other("fdinfo without mnt_id"))
}
