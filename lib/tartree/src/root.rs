//! The one place where names are resolved: below one directory, never through a symbolic link.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::{Mode, mkdirat};

use crate::capture::open_file;
use crate::descent::{list, open_dir};
use crate::error::{Error, Result};
use crate::limits::Limit;
use crate::path::{TarPath, is_at_or_below};

/// Paths longer than this are resolved in steps: the kernel takes at most PATH_MAX (4096) bytes at once.
const STEP: usize = 4000;
/// Directories that may be made without an entry of their own. A name of 64 KiB can ask for 32768 of them, of two bytes each;
/// writers that leave directories out are rare, and their trees small.
const MADE: u64 = 1 << 18;
/// Directories kept open. Entries come in order, so the last few parents are nearly all that is asked for.
const CACHED: usize = 8;

/// A directory and quick access to the directories below it.
///
/// Every component is resolved by `openat2` with `RESOLVE_BENEATH` and `RESOLVE_NO_SYMLINKS` (Linux 5.6):
/// another process that swaps a directory for a link at any moment makes the call fail, not go elsewhere.
pub struct Root {
    fd: OwnedFd,
    /// Most recently used last.
    cache: Vec<(Vec<u8>, OwnedFd)>,
    /// The directory through which a file was opened last that is not in the cache.
    passed: Vec<u8>,
    /// Directories made because something was to be made in them.
    made: u64,
}

impl Root {
    /// Opens `dir`; a symbolic link there is followed, it is the user's own word.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open(dir: &Path) -> io::Result<Root> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Root::new(openat(AT_FDCWD, dir, flags, Mode::empty())?))
    }

    /// The root that `fd`, a directory, is.
    pub fn new(fd: OwnedFd) -> Root {
        Root { fd, cache: Vec::new(), passed: Vec::new(), made: 0 }
    }

    /// The directory itself.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// The directory at the clean path `path`, as an `O_PATH` descriptor.
    ///
    /// # Errors
    /// ENOENT, ENOTDIR, and ELOOP where a component is a symbolic link.
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
                let fd = open_below(base, rest, OFlag::O_PATH)?;
                self.keep(path, fd);
            }
        }
        match self.cache.last() {
            Some((_, fd)) => Ok(fd.as_fd()),
            None => Err(io::Error::from(io::ErrorKind::NotFound)),
        }
    }

    /// The names in the directory at the clean path `path`, in reverse byte order, so that `pop` gives the first. The
    /// directory stays open, for what is looked up in it next.
    ///
    /// # Errors
    /// As [`dir`](Root::dir).
    pub fn list(&mut self, path: &[u8]) -> io::Result<Vec<CString>> {
        let fd = if path.is_empty() {
            // The root may be an O_PATH descriptor, and its listing position is not ours to move.
            open_dir(self.fd.as_fd(), OsStr::new("."))?
        } else {
            let (base, rest) = self.nearest(path);
            // Listing shall not change the atime where we may ask for that.
            match open_below(base, rest, OFlag::O_RDONLY | OFlag::O_NOATIME) {
                Err(e) if e.raw_os_error() == Some(Errno::EPERM as i32) => {
                    open_below(base, rest, OFlag::O_RDONLY)?
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

    /// The nearest ancestor of `path` that is open, mostly its parent, and the way from there.
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

    /// The parent of `path` and the last component; `""` for the root itself.
    ///
    /// # Errors
    /// As [`dir`](Root::dir).
    pub fn parent<'p>(&mut self, path: &'p TarPath) -> io::Result<(BorrowedFd<'_>, &'p OsStr)> {
        match path.split() {
            Some((parent, name)) => Ok((self.dir(parent)?, name)),
            None => Ok((self.fd.as_fd(), OsStr::new(""))),
        }
    }

    /// Opens the regular file at `path`, as [`open_file`] does. The first one of a directory is reached in one call through it;
    /// the directory is opened when a second is asked for: a change is often the only one of its directory.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open_file(&mut self, path: &TarPath) -> io::Result<File> {
        if let Some((parent, _)) = path.split() {
            let open = parent.is_empty() || self.cache.iter().any(|(cached, _)| cached == parent);
            if !open && self.passed != parent {
                self.passed = parent.to_vec();
                let (base, rest) = self.nearest(path.as_bytes());
                let flags = OFlag::O_RDONLY | OFlag::O_NOATIME | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
                // Where it fails, the way by the directory knows what to do about it, or why it cannot be.
                if let Ok(fd) = open_object_below(base, rest, flags) {
                    return Ok(fd.into());
                }
            }
        }
        let (dir, name) = self.parent(path)?;
        open_file(dir, name)
    }

    /// As [`parent`](Root::parent), making the directories that are missing, mode 0755, as tar does for
    /// an archive that names a file but not its directory.
    ///
    /// # Errors
    /// When something on the way is there and is not a directory.
    pub fn make_parent<'p>(&mut self, path: &'p TarPath) -> Result<(BorrowedFd<'_>, &'p OsStr)> {
        let Some((parent, name)) = path.split() else { return Ok((self.fd.as_fd(), OsStr::new(""))) };
        if let Err(e) = self.dir(parent) {
            if e.raw_os_error() != Some(Errno::ENOENT as i32) {
                return Err(parent_error(path, e));
            }
            self.make_dirs(parent, path)?;
        }
        let dir = self.dir(parent).map_err(|e| parent_error(path, e))?;
        Ok((dir, name))
    }

    /// Makes the directories of the clean path `dir` that are missing, the parents of `path`.
    fn make_dirs(&mut self, dir: &[u8], path: &TarPath) -> Result<()> {
        let ends = dir.iter().enumerate().filter(|&(_, &b)| b == b'/').map(|(at, _)| at).chain([dir.len()]);
        let ends: Vec<usize> = ends.collect();
        // What is there is a prefix. From its end on, one step for each component: a path may have 32768 of them.
        let there = ends.partition_point(|&end| self.dir(&dir[..end]).is_ok());
        let mut start = if there == 0 { 0 } else { ends[there - 1] + 1 };
        let base = self.dir(&dir[..start.saturating_sub(1)]).map_err(|e| parent_error(path, e))?;
        let mut here = base.try_clone_to_owned().map_err(|e| Error::io(path, e))?;
        for &end in &ends[there..] {
            self.made += 1;
            if self.made > MADE {
                let what = format!("more than {MADE} directories that have no entries");
                return Err(Error::limit(path, Limit::UnnamedDirectories, what));
            }
            let name = &dir[start..end];
            match mkdirat(&here, OsStr::from_bytes(name), Mode::from_bits_truncate(0o755)) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(e) => return Err(Error::io(path, e)),
            }
            here = open_below(here.as_fd(), name, OFlag::O_PATH).map_err(|e| parent_error(path, e))?;
            start = end + 1;
        }
        Ok(())
    }

    /// Forgets descriptors of `path` and below, which is about to be removed or replaced.
    pub fn forget(&mut self, path: &TarPath) {
        self.cache.retain(|(cached, _)| !is_at_or_below(cached, path.as_bytes()));
    }
}

/// The error for a parent of `path` that cannot be opened.
pub(crate) fn parent_error(path: &TarPath, e: io::Error) -> Error {
    match e.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ELOOP) => Error::ThroughLink { object: path.to_string() },
        Some(Errno::ENOTDIR) => {
            Error::malformed(path, "something that is not a directory stands where one is wanted")
        }
        _ => Error::io(path, e),
    }
}

/// Opens the directory at the clean, not empty `path` below `base`.
pub(crate) fn open_below(base: BorrowedFd<'_>, path: &[u8], flags: OFlag) -> io::Result<OwnedFd> {
    open_object_below(base, path, flags | OFlag::O_DIRECTORY)
}

/// Opens whatever is at the clean, not empty `path` below `base`, never through a symbolic link.
fn open_object_below(base: BorrowedFd<'_>, path: &[u8], flags: OFlag) -> io::Result<OwnedFd> {
    let mut rest = path;
    let mut opened: Option<OwnedFd> = None;
    loop {
        let (step, after) = if rest.len() <= STEP {
            (rest, &b""[..])
        } else {
            let at = rest[..STEP].iter().rposition(|&b| b == b'/').ok_or(Errno::ENAMETOOLONG)?;
            (&rest[..at], &rest[at + 1..])
        };
        let flags = if after.is_empty() { flags } else { OFlag::O_PATH | OFlag::O_DIRECTORY };
        let how = OpenHow::new()
            .flags(flags | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS);
        let dir = opened.as_ref().map_or(base, |fd| fd.as_fd());
        let next = loop {
            // EAGAIN: something was renamed meanwhile and the kernel could not be sure (openat2(2)).
            match openat2(dir, OsStr::from_bytes(step), how) {
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                result => break result?,
            }
        };
        if after.is_empty() {
            return Ok(next);
        }
        opened = Some(next);
        rest = after;
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
    fn a_file_is_the_same_by_every_way_to_it() {
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
        // Through the directory, which is not open yet, and in it.
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
    fn missing_parents_are_made_and_forgotten_ones_resolved_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut root = Root::open(dir.path()).unwrap();
        root.make_parent(&path("a/b/c/file")).unwrap();
        assert!(dir.path().join("a/b/c").is_dir());
        fs::remove_dir_all(dir.path().join("a")).unwrap();
        root.forget(&path("a"));
        assert!(root.dir(b"a/b").is_err());
    }

    #[test]
    fn names_cannot_ask_for_millions_of_directories() {
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
        crate::remove_tree(root.fd(), OsStr::from_bytes(&[b'd'; 200]), &path("x"), &mut |_| {
            crate::Keep::Remove
        })
        .unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
