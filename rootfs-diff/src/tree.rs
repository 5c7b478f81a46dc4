//! One of the two trees: status, metadata and names by path.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{FileType, MemfdFlags, XattrFlags, fsetxattr, memfd_create};
use rustix::io::Errno;
use tartree::{Error, Kind, Meta, Result, Root, Status, TarPath, Xattr, capture, xattrs, xattrs_at};

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

    /// Whether this process sees them.
    pub(crate) fn are_seen(self) -> bool {
        self != Marks::Trusted || sees_trusted_attributes()
    }
}

/// Trusted attributes do not exist for a process without CAP_SYS_ADMIN in the first user namespace (xattr(7)), which is told
/// only when it sets one.
fn sees_trusted_attributes() -> bool {
    let flags = MemfdFlags::CLOEXEC;
    // Some machines want a file that cannot be executed (sysctl vm.memfd_noexec); Linux before 6.3 has none.
    let file = memfd_create("", flags | MemfdFlags::NOEXEC_SEAL).or_else(|_| memfd_create("", flags));
    file.is_ok_and(|file| fsetxattr(file, "trusted.seen", b"", XattrFlags::empty()) != Err(Errno::PERM))
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
        match self.status_or_whiteout(path) {
            Ok(status) if self.is_whiteout(&status) => Ok(None),
            Ok(status) => Ok(Some(status)),
            Err(e) if is_absent(&e) => Ok(None),
            Err(e) => Err(Error::Io { object: path.to_string(), source: e }),
        }
    }

    /// Status of what is at `path`, be it a whiteout.
    pub fn status_or_whiteout(&mut self, path: &TarPath) -> std::io::Result<Status> {
        let (dir, name) = self.root.parent(path)?;
        Status::at(dir, name)
    }

    /// A whiteout of a layer that is read as it is. Nothing else can be a device 0:0 there: mknod through an overlay
    /// refuses it.
    pub fn is_whiteout(&self, status: &Status) -> bool {
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
        Ok(self.marked_object(path, status)?.map(|(kind, mut meta)| {
            self.drop_marks(&mut meta.xattrs);
            (kind, meta)
        }))
    }

    /// As [`object`](Tree::object), with overlayfs's marks.
    pub fn marked_object(&mut self, path: &TarPath, status: &Status) -> Result<Option<(Kind, Meta)>> {
        let captured = self.parent(path).and_then(|(dir, name)| capture(dir, name, status));
        captured.map_err(|source| Error::Io { object: path.to_string(), source })
    }

    /// The attributes of an open file, without overlayfs's marks.
    pub fn xattrs(&self, file: &File) -> std::io::Result<Vec<Xattr>> {
        let mut all = xattrs(file.as_fd())?;
        self.drop_marks(&mut all);
        Ok(all)
    }

    /// The attributes of the object at `path`, without overlayfs's marks.
    pub fn xattrs_at(&mut self, path: &TarPath) -> std::io::Result<Vec<Xattr>> {
        let (dir, name) = self.root.parent(path)?;
        let mut all = xattrs_at(dir, name)?;
        self.drop_marks(&mut all);
        Ok(all)
    }

    /// Takes overlayfs's marks away.
    pub fn drop_marks(&self, all: &mut Vec<Xattr>) {
        if let Some(prefix) = self.marks.prefix() {
            all.retain(|xattr| !xattr.name.starts_with(prefix));
        }
    }

    /// The names in the directory at `path`, in reverse order.
    pub fn names(&mut self, path: &TarPath) -> Result<Vec<CString>> {
        self.list(path).map_err(|source| Error::Io { object: path.to_string(), source })
    }

    /// As [`names`](Tree::names).
    pub fn list(&mut self, path: &TarPath) -> std::io::Result<Vec<CString>> {
        self.root.list(path.as_bytes())
    }

    /// The directory at `path`.
    pub fn dir(&mut self, path: &TarPath) -> std::io::Result<BorrowedFd<'_>> {
        self.root.dir(path.as_bytes())
    }

    /// The directory of `path`, and the name in it.
    pub fn parent<'p>(&mut self, path: &'p TarPath) -> std::io::Result<(BorrowedFd<'_>, &'p OsStr)> {
        self.root.parent(path)
    }

    /// The regular file at `path`.
    pub fn open(&mut self, path: &TarPath) -> std::io::Result<File> {
        self.root.open_file(path)
    }
}

/// Everything below a directory that is none itself, in byte order of the names.
pub(crate) struct Leaves {
    /// Not listed yet.
    next: Option<TarPath>,
    /// The directories on the way, each with the names that are left, in reverse order.
    left: Vec<(TarPath, Vec<CString>)>,
}

impl Leaves {
    pub fn below(dir: TarPath) -> Leaves {
        Leaves { next: Some(dir), left: Vec::new() }
    }

    /// The next one: its path and its status in `tree`.
    pub fn next(&mut self, tree: &mut Tree) -> Result<Option<(TarPath, Status)>> {
        loop {
            if let Some(dir) = self.next.take() {
                let names = tree.names(&dir)?;
                self.left.push((dir, names));
            }
            let Some((dir, names)) = self.left.last_mut() else { return Ok(None) };
            let Some(name) = names.pop() else {
                self.left.pop();
                continue;
            };
            let path = dir.child(name.to_bytes());
            match tree.status(&path)? {
                Some(status) if status.is_dir() => self.next = Some(path),
                Some(status) => return Ok(Some((path, status))),
                None => {}
            }
        }
    }
}

/// ENOENT, or something on the way that is not a directory here. ELOOP: a link there.
pub(crate) fn is_absent(e: &std::io::Error) -> bool {
    [Errno::NOENT, Errno::NOTDIR, Errno::LOOP]
        .iter()
        .any(|errno| e.raw_os_error() == Some(errno.raw_os_error()))
}
