//! One of the two trees: status, metadata and names by path.

use std::ffi::{CString, OsStr};
use std::fs::File;

use rustix::fs::FileType;
use tartree::{Error, Kind, Meta, Result, Root, Status, TarPath, capture, names, open_file};

/// Which attributes are overlayfs's own and not the container's (overlayfs.rst, "userxattr").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marks {
    /// `trusted.overlay.*`.
    Trusted,
    /// `user.overlay.*`, with the mount option `userxattr`.
    User,
    /// None: not an overlay.
    None,
}

impl Marks {
    /// Their common beginning.
    pub fn prefix(self) -> Option<&'static [u8]> {
        match self {
            Marks::Trusted => Some(b"trusted.overlay."),
            Marks::User => Some(b"user.overlay."),
            Marks::None => None,
        }
    }
}

/// A tree and how it is read.
pub(crate) struct Tree {
    root: Root,
    marks: Marks,
    mount: Option<u64>,
}

impl Tree {
    pub fn new(root: Root, marks: Marks) -> Tree {
        let mount = Status::at(root.fd(), OsStr::new("")).ok().map(|status| status.mount());
        Tree { root, marks, mount }
    }

    pub fn into_root(self) -> Root {
        self.root
    }

    /// Status of the object at `path`; `None` where there is none.
    pub fn status(&mut self, path: &TarPath) -> Result<Option<Status>> {
        let found = self.root.parent(path).and_then(|(dir, name)| Status::at(dir, name));
        match found {
            Ok(status) if self.is_whiteout(&status) => Ok(None),
            Ok(status) => Ok(Some(status)),
            Err(e) if is_absent(&e) => Ok(None),
            Err(e) => Err(Error::Io { object: path.to_string(), source: e }),
        }
    }

    /// A whiteout of a single lower layer, which is read as it is. Nothing else can be a device 0:0 there:
    /// mknod through an overlay refuses it.
    fn is_whiteout(&self, status: &Status) -> bool {
        self.marks != Marks::None
            && status.file_type() == FileType::CharacterDevice
            && status.rdev() == (0, 0)
    }

    /// Whether something else is mounted on the object.
    pub fn is_mount_point(&self, status: &Status) -> bool {
        self.mount.is_some_and(|mount| mount != status.mount())
    }

    /// Kind and metadata, without overlayfs's marks; `None` for a socket.
    pub fn object(&mut self, path: &TarPath, status: &Status) -> Result<Option<(Kind, Meta)>> {
        let captured = self.root.parent(path).and_then(|(dir, name)| capture(dir, name, status));
        let captured = captured.map_err(|source| Error::Io { object: path.to_string(), source })?;
        Ok(captured.map(|(kind, mut meta)| {
            if let Some(prefix) = self.marks.prefix() {
                meta.xattrs.retain(|xattr| !xattr.name.starts_with(prefix));
            }
            (kind, meta)
        }))
    }

    /// The names in the directory at `path`, in reverse order.
    pub fn names(&mut self, path: &TarPath) -> Result<Vec<CString>> {
        list(&mut self.root, path)
    }

    /// The regular file at `path`.
    pub fn open(&mut self, path: &TarPath) -> std::io::Result<File> {
        let (dir, name) = self.root.parent(path)?;
        open_file(dir, name)
    }
}

/// The names in the directory at `path` below `root`, in reverse order.
pub(crate) fn list(root: &mut Root, path: &TarPath) -> Result<Vec<CString>> {
    let dir = root.dir(path.as_bytes()).and_then(|dir| names(dir, OsStr::new(".")));
    dir.map_err(|source| Error::Io { object: path.to_string(), source })
}

/// ENOENT, or something on the way that is not a directory here. ELOOP: a link there.
pub(crate) fn is_absent(e: &std::io::Error) -> bool {
    use rustix::io::Errno;
    [Errno::NOENT, Errno::NOTDIR, Errno::LOOP]
        .iter()
        .any(|errno| e.raw_os_error() == Some(errno.raw_os_error()))
}
