//! Reads the container's root file system, which may be hostile. Every symbolic link is resolved
//! inside the root: by the kernel (`openat2`), or by pathrs if the kernel lacks this call.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use cli::{display_path, read_document};
use pathrs::flags::OpenFlags;
use pathrs::{Root, error::ErrorKind};

use crate::path;

/// Number of symbolic links that the kernel follows in one path.
const MAX_LINKS: usize = 40;

/// The root file system, if there is one.
pub struct Rootfs {
    dir: Option<PathBuf>,
    root: Option<Root>,
}

impl Rootfs {
    /// Returns an empty root file system, in which lookups find nothing.
    pub fn absent() -> Rootfs {
        Rootfs { dir: None, root: None }
    }

    /// Opens the directory.
    ///
    /// # Errors
    /// Returns an error if the directory cannot be opened. The directory must exist, because the
    /// user named it.
    pub fn open(dir: &Path) -> anyhow::Result<Rootfs> {
        let root = Root::open(dir).map_err(io_error).with_context(|| display_path(dir))?;
        Ok(Rootfs { dir: Some(dir.to_path_buf()), root: Some(root) })
    }

    /// Opens the directory if it exists. Use this function for paths that come from the input
    /// document rather than from the user.
    pub fn probe(dir: &Path) -> Rootfs {
        Rootfs::open(dir).unwrap_or_else(|_| Rootfs::absent())
    }

    /// Reports whether there is a root file system.
    pub fn is_there(&self) -> bool {
        self.root.is_some()
    }

    /// Returns the host path of a path in the container, for messages.
    pub fn name_of(&self, path: &str) -> PathBuf {
        match &self.dir {
            Some(dir) if path == "/" => dir.clone(),
            Some(dir) => dir.join(path.trim_start_matches('/')),
            None => PathBuf::from(path),
        }
    }

    /// Returns the content of a small file in the container, or `None` if the file does not exist.
    ///
    /// # Errors
    /// Returns an error if the file exists but cannot be read, is not a regular file, or is longer
    /// than `limit`.
    pub fn read(&self, path: &str, limit: u64) -> anyhow::Result<Option<Vec<u8>>> {
        let Some(root) = &self.root else { return Ok(None) };
        let shown = display_path(self.name_of(path));
        // O_NONBLOCK: opening a FIFO in place of the file would block forever.
        let flags = OpenFlags::O_RDONLY | OpenFlags::O_NONBLOCK | OpenFlags::O_NOCTTY;
        match root.open_subpath(path, flags).map_err(io_error) {
            Ok(file) => read_regular(file, &shown, limit).map(Some),
            Err(e) if is_absent(&e) => Ok(None),
            Err(e) => Err(e).context(shown),
        }
    }

    /// Returns the metadata of the inode at `path`, or `None` if no inode is there. Follows
    /// symbolic links inside the root.
    ///
    /// # Errors
    /// Returns an error if there is a loop of links or a directory cannot be searched.
    pub fn metadata(&self, path: &str) -> anyhow::Result<Option<fs::Metadata>> {
        let Some(root) = &self.root else { return Ok(None) };
        match root.open_subpath(path, OpenFlags::O_PATH).map_err(io_error) {
            Ok(file) => Ok(Some(file.metadata().with_context(|| display_path(self.name_of(path)))?)),
            Err(e) if is_absent(&e) => Ok(None),
            Err(e) => Err(e).with_context(|| display_path(self.name_of(path))),
        }
    }

    /// Reports whether the path leads to a directory that is not empty.
    ///
    /// # Errors
    /// Returns an error if the directory cannot be read.
    pub fn has_entries(&self, path: &str) -> anyhow::Result<bool> {
        let Some(root) = &self.root else { return Ok(false) };
        let shown = || display_path(self.name_of(path));
        let dir =
            match root.open_subpath(path, OpenFlags::O_RDONLY | OpenFlags::O_DIRECTORY).map_err(io_error) {
                Ok(dir) => dir,
                Err(e) if is_absent(&e) => return Ok(false),
                Err(e) => return Err(e).with_context(shown),
            };
        let mut dir = nix::dir::Dir::from_fd(dir.into()).with_context(shown)?;
        let is_own = |entry: &nix::dir::Entry| matches!(entry.file_name().to_bytes(), b"." | b"..");
        Ok(dir.iter().any(|entry| entry.is_ok_and(|entry| !is_own(&entry))))
    }

    /// Returns the path with its symbolic links resolved as the container sees them: absolute
    /// targets start at the root, and `..` does not leave the root. Components that do not exist
    /// are kept.
    ///
    /// # Errors
    /// Returns an error if there is a loop of links or a directory cannot be searched.
    pub fn resolve(&self, path: &str) -> anyhow::Result<String> {
        let Some(root) = &self.root else { return Ok(path::clean(path)) };
        let mut done: Vec<String> = Vec::new();
        let mut todo: Vec<String> = path.rsplit('/').map(str::to_owned).collect();
        let mut links = 0;
        while let Some(part) = todo.pop() {
            match part.as_str() {
                "" | "." => continue,
                ".." => {
                    done.pop();
                    continue;
                }
                _ => done.push(part),
            }
            let at = format!("/{}", done.join("/"));
            let target = match root.readlink(&at).map_err(io_error) {
                Ok(target) => target,
                // EINVAL: the inode exists and is not a link. Below a missing component or a file,
                // no component is a link.
                Err(e) if e.raw_os_error() == Some(libc::EINVAL) || is_absent(&e) => continue,
                Err(e) => return Err(e).with_context(|| display_path(self.name_of(&at))),
            };
            links += 1;
            if links > MAX_LINKS {
                bail!("{}: too many levels of symbolic links", display_path(self.name_of(path)));
            }
            let Some(target) = target.to_str() else {
                bail!(
                    "{}: the link's target is not UTF-8, which config.json cannot hold",
                    display_path(self.name_of(&at))
                );
            };
            done.pop();
            if target.starts_with('/') {
                done.clear();
            }
            todo.extend(target.rsplit('/').map(str::to_owned));
        }
        Ok(format!("/{}", done.join("/")))
    }
}

/// Reads a host file that is mounted into the container (`-v /srv/passwd:/etc/passwd`).
///
/// # Errors
/// Returns the same errors as [`Rootfs::read`].
pub fn read_host(path: &Path, limit: u64) -> anyhow::Result<Option<Vec<u8>>> {
    use std::os::unix::fs::OpenOptionsExt;
    match File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path) {
        Ok(file) => read_regular(file, &display_path(path), limit).map(Some),
        Err(e) if is_absent(&e) => Ok(None),
        Err(e) => Err(e).with_context(|| display_path(path)),
    }
}

fn read_regular(file: File, shown: &str, limit: u64) -> anyhow::Result<Vec<u8>> {
    if !file.metadata().with_context(|| shown.to_owned())?.is_file() {
        bail!("{shown}: not a regular file");
    }
    read_document(file, shown, limit)
}

fn is_absent(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn io_error(e: pathrs::error::Error) -> io::Error {
    match e.kind() {
        ErrorKind::OsError(Some(errno)) => io::Error::from_raw_os_error(errno),
        _ => io::Error::other(e.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn tree() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let at = |p: &str| dir.path().join(p);
        fs::create_dir_all(at("data/sub")).unwrap();
        fs::create_dir(at("var")).unwrap();
        fs::create_dir(at("tmp")).unwrap();
        fs::write(at("file"), "inside").unwrap();
        for (link, target) in [
            ("abs", "/data"),
            ("rel", "data/sub"),
            ("var/run", "../tmp"),
            ("up", "../../../../tmp"),
            ("bad", "/nowhere"),
            ("loop", "loop"),
            ("a", "b"),
            ("b", "a"),
            ("etc", "/usr/../etc2"),
            ("passwd", "/etc/passwd"),
        ] {
            symlink(target, at(link)).unwrap();
        }
        dir
    }

    #[test]
    fn links_are_resolved_inside_the_root() {
        let dir = tree();
        let rootfs = Rootfs::open(dir.path()).unwrap();
        #[rustfmt::skip]
        let cases = [
            ("/abs/sub/x", "/data/sub/x"), ("/rel/new", "/data/sub/new"), ("/var/run", "/tmp"), ("/up", "/tmp"),
            ("/bad/q", "/nowhere/q"), ("/../../x", "/x"), ("/file/below", "/file/below"), ("/z/", "/z"), ("/", "/"),
        ];
        for (path, resolved) in cases {
            assert_eq!(rootfs.resolve(path).unwrap(), resolved, "{path}");
        }
        for path in ["/loop", "/a/x"] {
            let error = format!("{:#}", rootfs.resolve(path).unwrap_err());
            assert!(error.contains("symbolic links"), "{error}");
        }
    }

    #[test]
    fn a_link_to_the_host_reads_no_file_of_the_host() {
        let dir = tree();
        let rootfs = Rootfs::open(dir.path()).unwrap();
        assert_eq!(rootfs.read("/passwd", 1 << 20).unwrap(), None);
        assert_eq!(rootfs.read("/etc/passwd", 1 << 20).unwrap(), None);
        assert!(rootfs.read("/data", 1 << 20).unwrap_err().to_string().contains("not a regular file"));
        assert!(rootfs.read("/file", 3).unwrap_err().to_string().contains("longer than 3 bytes"));
    }
}
