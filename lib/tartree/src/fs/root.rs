//! Resolves names below one directory, never through a symbolic link. No other module resolves
//! names.

use std::cell::OnceCell;
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, ResolveFlag, openat};
use nix::sys::stat::{Mode, mkdirat};

use crate::error::{Error, Result};
use crate::fs::errno;
use crate::fs::inherited_acl;
use crate::fs::mounts::Mounts;
use crate::fs::openat::{open_below, open_dir, open_dir_below, open_file};
use crate::fs::readdir::list;
use crate::fs::remove::{Keep, remove_tree};
use crate::fs::stat::Status;
use crate::limits::Limit;
use crate::path::{TarPath, is_at_or_below};

/// Maximum number of directories that are created without an entry of their own. One name of 64 KiB
/// can require 32768 of them. Few writers omit directories, and their trees are small.
const MADE: u64 = 1 << 18;
/// Mode of a directory that is created without an entry, as in GNU tar.
const IMPLIED: Mode = Mode::from_bits_truncate(0o755);
/// Number of directories kept open. Entries arrive in order, so most lookups hit one of the last
/// few parents.
const CACHED: usize = 8;

/// A directory with cached descriptors of directories below it.
///
/// `openat2` resolves every component with `RESOLVE_BENEATH` and `RESOLVE_NO_SYMLINKS` (Linux 5.6).
/// If another process replaces a directory by a symbolic link, the call fails instead of leaving
/// the root.
pub struct Root {
    fd: OwnedFd,
    /// Open directories, the most recently used last.
    cache: Vec<(Vec<u8>, OwnedFd)>,
    /// The directory of the last file that was opened through it, if that directory is not in the
    /// cache.
    passed: Vec<u8>,
    /// Number of directories that were created because an entry needed a parent.
    made: u64,
    /// Flags for name resolution, in addition to the flags that keep names below the root.
    resolve: ResolveFlag,
    /// ID of the mount that the root is on.
    mount: OnceCell<u64>,
    mounts: OnceCell<Mounts>,
}

impl Root {
    /// Opens `dir`. A symbolic link is followed, because the user named it.
    ///
    /// # Errors
    /// Returns any errno of open(2).
    pub fn open(dir: &Path) -> io::Result<Root> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Root::new(openat(AT_FDCWD, dir, flags, Mode::empty())?))
    }

    /// Returns the root for an open directory.
    pub fn new(fd: OwnedFd) -> Root {
        Root {
            fd,
            cache: Vec::new(),
            passed: Vec::new(),
            made: 0,
            resolve: ResolveFlag::empty(),
            mount: OnceCell::new(),
            mounts: OnceCell::new(),
        }
    }

    /// Makes every later lookup that would enter a filesystem mounted below the root fail.
    pub(crate) fn stay_on_its_mount(&mut self) {
        self.resolve = ResolveFlag::RESOLVE_NO_XDEV;
    }

    fn crosses_mounts(&self) -> bool {
        !self.resolve.contains(ResolveFlag::RESOLVE_NO_XDEV)
    }

    /// Returns an error if the inode at `path`, whose status is `status`, is a mount point and
    /// mounts must not be crossed.
    pub(crate) fn on_its_mount(&self, path: &TarPath, status: &Status) -> Result<()> {
        let status_of_root = || Status::at(self.fd.as_fd(), OsStr::new("")).map(|root| root.mount());
        if self.crosses_mounts() {
            return Ok(());
        }
        let mount = match self.mount.get() {
            Some(mount) => *mount,
            None => *self.mount.get_or_init(|| status_of_root().unwrap_or_else(|_| status.mount())),
        };
        if mount == status.mount() { Ok(()) } else { Err(Error::mounted(path, path)) }
    }

    /// Returns an error if a filesystem is mounted at or below `path` and mounts must not be
    /// crossed.
    pub(crate) fn has_no_mounts(&self, path: &TarPath) -> Result<()> {
        if self.crosses_mounts() {
            return Ok(());
        }
        match self.mounts().at_or_below(path.as_bytes()) {
            Some(mount) => Err(Error::mounted(path, TarPath::of_clean(mount))),
            None => Ok(()),
        }
    }

    /// Reports whether mounts may be crossed and a filesystem is mounted at or below `path`.
    pub(crate) fn has_mounts_to_keep(&self, path: &TarPath) -> bool {
        self.crosses_mounts() && self.mounts().at_or_below(path.as_bytes()).is_some()
    }

    fn mounts(&self) -> &Mounts {
        self.mounts.get_or_init(|| Mounts::below(self.fd.as_fd()))
    }

    /// Removes the inode at `path`, except the entries that `keep` keeps. Returns whether nothing
    /// of the inode is left, which is also the case if a parent is missing or not a directory. If
    /// mounts may be crossed, mounted directories are emptied and the mount points stay.
    ///
    /// # Errors
    /// Returns [`Error::ThroughLink`] if the parent is reached through a symbolic link,
    /// [`Error::Mounted`] before anything is removed if mounts must not be crossed, and an error if
    /// an entry cannot be removed.
    pub(crate) fn remove(&mut self, path: &TarPath, keep: &mut dyn FnMut(&TarPath) -> Keep) -> Result<bool> {
        self.forget(path);
        let Some((parent, name)) = path.split() else {
            return Err(Error::malformed(path, "the root cannot be removed"));
        };
        if let Err(e) = self.dir(parent) {
            return match e.raw_os_error().map(Errno::from_raw) {
                Some(Errno::ENOENT | Errno::ENOTDIR) => Ok(true),
                _ => Err(self.parent_error(path, e)),
            };
        }
        // The lookup above has put the parent into the cache.
        let dir = match self.cache.last() {
            Some((_, fd)) if !parent.is_empty() => fd.as_fd(),
            _ => self.fd.as_fd(),
        };
        if !self.crosses_mounts() {
            return remove_tree(dir, name, path, keep, self.resolve, &|| self.has_no_mounts(path));
        }
        let mounts = self.mounts();
        let mut keep = |path: &TarPath| match keep(path) {
            Keep::Remove if mounts.at_or_below(path.as_bytes()).is_some() => Keep::KeepEmpty,
            choice => choice,
        };
        remove_tree(dir, name, path, &mut keep, self.resolve, &|| Ok(()))
    }

    /// Returns the descriptor of the root directory.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Returns the directory at the clean path `path`, as an `O_PATH` descriptor.
    ///
    /// # Errors
    /// Returns ENOENT, ENOTDIR, or ELOOP if a component is a symbolic link.
    pub fn dir(&mut self, path: &[u8]) -> io::Result<BorrowedFd<'_>> {
        if path.is_empty() {
            return Ok(self.fd.as_fd());
        }
        match self.cache.iter().rposition(|(cached, _)| cached == path) {
            Some(at) => {
                let last = self.cache.len() - 1;
                self.cache[at..=last].rotate_left(1);
            }
            None => {
                let (base, rest) = self.nearest(path);
                let fd = open_dir_below(base, rest, OFlag::O_PATH, self.resolve)?;
                self.keep(path, fd);
            }
        }
        match self.cache.last() {
            Some((_, fd)) => Ok(fd.as_fd()),
            None => Err(io::Error::from(io::ErrorKind::NotFound)),
        }
    }

    /// Returns the names in the directory at the clean path `path`, in reverse byte order, so that
    /// `pop` returns the first name. Keeps the directory open for the lookups that follow.
    ///
    /// # Errors
    /// Returns the same errors as [`dir`](Root::dir).
    pub fn list(&mut self, path: &[u8]) -> io::Result<Vec<CString>> {
        let fd = if path.is_empty() {
            // The root may be O_PATH, and the caller's listing position must not move.
            open_dir(self.fd.as_fd(), OsStr::new("."))?
        } else {
            let (base, rest) = self.nearest(path);
            // O_NOATIME: listing must not change the atime. The kernel grants the flag to the owner
            // only.
            match open_dir_below(base, rest, OFlag::O_RDONLY | OFlag::O_NOATIME, self.resolve) {
                Err(e) if e.raw_os_error() == Some(Errno::EPERM as i32) => {
                    open_dir_below(base, rest, OFlag::O_RDONLY, self.resolve)?
                }
                opened => opened?,
            }
        };
        let names = list(fd.as_fd())?.into_iter().map(|name| name.name).collect();
        if !path.is_empty() {
            self.cache.retain(|(cached, _)| cached != path);
            self.keep(path, fd);
        }
        Ok(names)
    }

    /// Returns the nearest open ancestor of `path`, usually its parent, and the rest of the path.
    fn nearest<'p>(&self, path: &'p [u8]) -> (BorrowedFd<'_>, &'p [u8]) {
        let above =
            self.cache.iter().filter(|(cached, _)| cached.len() < path.len() && is_at_or_below(path, cached));
        above
            .max_by_key(|(cached, _)| cached.len())
            .map_or((self.fd.as_fd(), path), |(cached, fd)| (fd.as_fd(), &path[cached.len() + 1..]))
    }

    fn keep(&mut self, path: &[u8], fd: OwnedFd) {
        if self.cache.len() == CACHED {
            self.cache.remove(0);
        }
        self.cache.push((path.to_vec(), fd));
    }

    /// Returns the parent of `path` and the last component, which is `""` for the root itself.
    ///
    /// # Errors
    /// Returns the same errors as [`dir`](Root::dir).
    pub fn parent<'p>(&mut self, path: &'p TarPath) -> io::Result<(BorrowedFd<'_>, &'p OsStr)> {
        match path.split() {
            Some((parent, name)) => Ok((self.dir(parent)?, name)),
            None => Ok((self.fd.as_fd(), OsStr::new(""))),
        }
    }

    /// Opens the regular file at `path`, like [`open_file`]. The first file of a directory is
    /// opened in one call, without opening the directory, because a changed file is often the only
    /// changed file in its directory. The directory is opened for the second file.
    ///
    /// # Errors
    /// Returns any errno of openat2(2) and openat(2).
    pub fn open_file(&mut self, path: &TarPath) -> io::Result<File> {
        if let Some((parent, _)) = path.split() {
            let open = parent.is_empty() || self.cache.iter().any(|(cached, _)| cached == parent);
            if !open && self.passed != parent {
                self.passed = parent.to_vec();
                let (base, rest) = self.nearest(path.as_bytes());
                let flags = OFlag::O_RDONLY | OFlag::O_NOATIME | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
                // On failure, opening the file through its directory below succeeds or finds the
                // reason.
                if let Ok(fd) = open_below(base, rest, flags, self.resolve) {
                    return Ok(fd.into());
                }
            }
        }
        let (dir, name) = self.parent(path)?;
        open_file(dir, name)
    }

    /// Like [`parent`](Root::parent), but creates missing directories with mode 0755, as GNU tar
    /// does for an archive that names a file but not its directory.
    ///
    /// # Errors
    /// Returns an error if a component of the path exists and is not a directory.
    pub fn make_parent<'p>(&mut self, path: &'p TarPath) -> Result<(BorrowedFd<'_>, &'p OsStr)> {
        let Some((parent, name)) = path.split() else { return Ok((self.fd.as_fd(), OsStr::new(""))) };
        if let Err(e) = self.dir(parent) {
            if e.raw_os_error() != Some(Errno::ENOENT as i32) {
                return Err(self.parent_error(path, e));
            }
            self.make_dirs(parent, path)?;
        }
        // Looks the directory up again below: the borrow checker does not allow returning this
        // borrow and also handling the error.
        if let Err(e) = self.dir(parent) {
            return Err(self.parent_error(path, e));
        }
        let dir = self.dir(parent).map_err(|e| Error::io(path, e))?;
        Ok((dir, name))
    }

    /// Creates the missing directories of the clean path `dir`. `path` is the entry that needs
    /// them.
    fn make_dirs(&mut self, dir: &[u8], path: &TarPath) -> Result<()> {
        let ends = dir.iter().enumerate().filter(|&(_, &b)| b == b'/').map(|(at, _)| at).chain([dir.len()]);
        let ends: Vec<usize> = ends.collect();
        // The existing directories are a prefix of the path. A path can have 32768 components, so
        // the end of the prefix is found by bisection and the rest is created in one step per
        // component.
        let there = ends.partition_point(|&end| self.dir(&dir[..end]).is_ok());
        let mut start = if there == 0 { 0 } else { ends[there - 1] + 1 };
        let base = match self.dir(&dir[..start.saturating_sub(1)]) {
            Ok(base) => base.try_clone_to_owned().map_err(|e| Error::io(path, e))?,
            Err(e) => return Err(self.parent_error(path, e)),
        };
        let (mut here, mut may_inherit) = (base, true);
        for &end in &ends[there..] {
            self.made += 1;
            if self.made > MADE {
                let what = format!("more than {MADE} directories that have no entries");
                return Err(Error::limit(path, Limit::UnnamedDirectories, what));
            }
            let name = &dir[start..end];
            let made = match mkdirat(&here, OsStr::from_bytes(name), IMPLIED) {
                Ok(()) => true,
                Err(Errno::EEXIST) => false,
                Err(e) => return Err(errno::error(here.as_fd(), OsStr::from_bytes(name), path, e)),
            };
            here = open_dir_below(here.as_fd(), name, OFlag::O_PATH, self.resolve)
                .map_err(|e| self.parent_error(path, e))?;
            if made && may_inherit {
                inherited_acl::drop_of_dir(here.as_fd(), IMPLIED).map_err(|e| Error::io(path, e))?;
                // Directories created in this one cannot inherit an ACL.
                may_inherit = false;
            }
            start = end + 1;
        }
        Ok(())
    }

    /// Returns the error for a parent of `path` that cannot be opened.
    pub(crate) fn parent_error(&self, path: &TarPath, e: io::Error) -> Error {
        match e.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ELOOP) => Error::ThroughLink { object: path.to_string() },
            Some(Errno::ENOTDIR) => Error::malformed(path, "a parent path component is not a directory"),
            Some(Errno::EXDEV) => match self.mounts().above(path.as_bytes()) {
                Some(mount) => Error::mounted(path, TarPath::of_clean(mount)),
                None => Error::mounted(path, ""),
            },
            _ => Error::io(path, e),
        }
    }

    /// Closes cached descriptors at and below `path`, which is about to be removed or replaced.
    pub fn forget(&mut self, path: &TarPath) {
        self.cache.retain(|(cached, _)| !is_at_or_below(cached, path.as_bytes()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Exceeded;
    use std::fs;

    fn path(name: &str) -> TarPath {
        TarPath::parse(name.as_bytes()).unwrap()
    }

    #[test]
    fn a_symbolic_link_is_never_followed() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("real/sub")).unwrap();
        std::os::unix::fs::symlink("real", dir.path().join("link")).unwrap();
        let mut root = Root::open(dir.path()).unwrap();
        assert!(root.dir(b"real/sub").is_ok());
        assert_eq!(root.dir(b"link/sub").unwrap_err().raw_os_error(), Some(Errno::ELOOP as i32));
        let error = root.make_parent(&path("link/x")).unwrap_err().to_string();
        assert!(error.contains("symbolic link"), "{error}");
    }

    #[test]
    fn files_open_by_every_route_but_never_through_links() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        for name in ["a/b/1", "a/b/2", "a/b/3", "top"] {
            fs::write(dir.path().join(name), name).unwrap();
        }
        std::os::unix::fs::symlink("a", dir.path().join("link")).unwrap();
        std::os::unix::fs::symlink("1", dir.path().join("a/b/to_1")).unwrap();
        let mut root = Root::open(dir.path()).unwrap();
        for name in ["a/b/1", "a/b/2", "a/b/3", "top"] {
            let text = io::read_to_string(root.open_file(&path(name)).unwrap()).unwrap();
            assert_eq!(text, name);
        }
        // Opens the first and a later file of a directory, with and without the directory open.
        for name in ["link/b/1", "link/b/1", "a/b/to_1"] {
            for mut root in [Root::open(dir.path()).unwrap(), root_with(dir.path(), b"a/b")] {
                assert_eq!(
                    root.open_file(&path(name)).unwrap_err().raw_os_error(),
                    Some(Errno::ELOOP as i32),
                    "{name}"
                );
            }
        }
        assert_eq!(root.open_file(&path("a/c/1")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    fn root_with(dir: &Path, open: &[u8]) -> Root {
        let mut root = Root::open(dir).unwrap();
        root.dir(open).unwrap();
        root
    }

    #[test]
    fn parents_are_created_and_resolved_again_after_forget() {
        let dir = tempfile::tempdir().unwrap();
        let mut root = Root::open(dir.path()).unwrap();
        root.make_parent(&path("a/b/c/file")).unwrap();
        assert!(dir.path().join("a/b/c").is_dir());
        fs::remove_dir_all(dir.path().join("a")).unwrap();
        root.forget(&path("a"));
        assert!(root.dir(b"a/b").is_err());
    }

    #[test]
    fn the_number_of_implied_directories_is_limited() {
        let dir = tempfile::tempdir().unwrap();
        let mut root = Root::open(dir.path()).unwrap();
        root.made = MADE - 3;
        root.make_parent(&path("a/b/f")).unwrap();
        root.make_parent(&path("a/b/g")).unwrap();
        root.make_parent(&path("a/c/f")).unwrap();
        let refused = root.make_parent(&path("a/d/f")).unwrap_err();
        assert_eq!(refused.to_string(), "a/d/f");
        let Error::Limit { source, .. } = &refused else { panic!("{refused:?}") };
        assert_eq!(source.to_string(), "more than 262144 directories that have no entries");
        assert_eq!(Exceeded::in_error(&refused), Some(Limit::UnnamedDirectories));
    }

    #[test]
    fn paths_beyond_path_max_are_resolved_in_steps() {
        let dir = tempfile::tempdir().unwrap();
        let mut root = Root::open(dir.path()).unwrap();
        let deep = vec!["d".repeat(200); 40].join("/");
        assert!(deep.len() > 8000);
        root.make_parent(&path(&format!("{deep}/file"))).unwrap();
        root.forget(&path("d"));
        assert!(Root::open(dir.path()).unwrap().dir(deep.as_bytes()).is_ok());
        assert!(root.remove(&path(&"d".repeat(200)), &mut |_| Keep::Remove).unwrap());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
