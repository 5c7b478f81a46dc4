//! What the kernel says of one object: status, attributes, link target.
//!
//! Objects are addressed as (directory descriptor, name), the name never followed.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::PathBuf;

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Statx, StatxAttributes, StatxFlags, openat, readlinkat, statx,
};

use crate::attributes;
use crate::entry::{Kind, Meta, Timestamp, Xattr};
use crate::holes;

/// Which inode an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Device of the file system, as major and minor.
    pub dev: (u32, u32),
    /// Inode number.
    pub ino: u64,
}

/// The status of an object, from one `statx`.
#[derive(Clone, Copy, Debug)]
pub struct Status {
    raw: Statx,
}

impl Status {
    /// Of the object `name` in `dir`, not following a link. The name `""` is `dir` itself.
    ///
    /// # Errors
    /// The kernel's.
    pub fn at(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<Status> {
        let flags = if name.is_empty() { AtFlags::EMPTY_PATH } else { AtFlags::SYMLINK_NOFOLLOW };
        // STATX_MNT_ID tells a bind mount of the same file system apart.
        let mask = StatxFlags::BASIC_STATS | StatxFlags::MNT_ID;
        Ok(Status { raw: statx(dir, name, flags | AtFlags::NO_AUTOMOUNT, mask)? })
    }

    /// Which inode it is.
    pub fn identity(&self) -> Identity {
        Identity { dev: (self.raw.stx_dev_major, self.raw.stx_dev_minor), ino: self.raw.stx_ino }
    }

    /// The mount it lies on.
    pub fn mount(&self) -> u64 {
        self.raw.stx_mnt_id
    }

    /// Whether it must not be changed, renamed or removed (`chattr +i`).
    pub(crate) fn is_immutable(&self) -> bool {
        self.raw.stx_attributes.contains(StatxAttributes::IMMUTABLE)
    }

    /// Whether it may only grow (`chattr +a`).
    pub(crate) fn is_append_only(&self) -> bool {
        self.raw.stx_attributes.contains(StatxAttributes::APPEND)
    }

    /// How many names it has.
    pub fn links(&self) -> u32 {
        self.raw.stx_nlink
    }

    /// Length in bytes.
    pub fn size(&self) -> u64 {
        self.raw.stx_size
    }

    /// Allocated bytes.
    pub fn allocated(&self) -> u64 {
        self.raw.stx_blocks.saturating_mul(512)
    }

    /// Permission bits.
    pub fn mode(&self) -> u32 {
        u32::from(self.raw.stx_mode) & 0o7777
    }

    /// Owner on this host.
    pub fn uid(&self) -> u32 {
        self.raw.stx_uid
    }

    /// Group on this host.
    pub fn gid(&self) -> u32 {
        self.raw.stx_gid
    }

    /// Last change of the content.
    pub fn mtime(&self) -> Timestamp {
        Timestamp { sec: self.raw.stx_mtime.tv_sec, nsec: self.raw.stx_mtime.tv_nsec }
    }

    /// Last change of anything, which nobody can set.
    pub fn ctime(&self) -> Timestamp {
        Timestamp { sec: self.raw.stx_ctime.tv_sec, nsec: self.raw.stx_ctime.tv_nsec }
    }

    /// Device numbers of a device.
    pub fn rdev(&self) -> (u32, u32) {
        (self.raw.stx_rdev_major, self.raw.stx_rdev_minor)
    }

    /// What kind of object it is.
    pub fn file_type(&self) -> FileType {
        FileType::from_raw_mode(u32::from(self.raw.stx_mode))
    }

    /// Whether it is of this kind; a hard link may be of any.
    pub fn is(&self, kind: &Kind) -> bool {
        let wanted = match kind {
            Kind::Dir => FileType::Directory,
            Kind::File { .. } => FileType::RegularFile,
            Kind::Symlink { .. } => FileType::Symlink,
            Kind::Char { .. } => FileType::CharacterDevice,
            Kind::Block { .. } => FileType::BlockDevice,
            Kind::Fifo => FileType::Fifo,
            Kind::HardLink { .. } => return true,
        };
        self.file_type() == wanted
    }

    /// The metadata of an object with these attributes, ids as on this host.
    pub fn meta(&self, xattrs: Vec<Xattr>) -> Meta {
        Meta { mode: self.mode(), uid: self.uid(), gid: self.gid(), mtime: self.mtime(), xattrs }
    }

    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.file_type() == FileType::Directory
    }

    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        self.file_type() == FileType::RegularFile
    }

    /// Whether it is a symbolic link.
    pub fn is_symlink(&self) -> bool {
        self.file_type() == FileType::Symlink
    }

    /// Whether it is a socket.
    pub fn is_socket(&self) -> bool {
        self.file_type() == FileType::Socket
    }
}

/// Kind and metadata of the object `name` in `dir` (`""`: `dir` itself), with ids as on this host. `None` for a socket, which has no form in a tar.
///
/// # Errors
/// The kernel's.
pub fn capture(dir: BorrowedFd<'_>, name: &OsStr, status: &Status) -> io::Result<Option<(Kind, Meta)>> {
    let Some(kind) = kind(dir, name, status)? else { return Ok(None) };
    Ok(Some((kind, status.meta(attributes::of(dir, name)?))))
}

/// As [`capture`], of an open regular file.
///
/// # Errors
/// The kernel's.
pub(crate) fn capture_file(file: &File, status: &Status) -> io::Result<(Kind, Meta)> {
    let size = status.size();
    let map = if status.allocated() < size { holes::map(file, size)? } else { None };
    Ok((Kind::File { size, map }, status.meta(attributes::of_file(file.as_fd())?)))
}

fn kind(dir: BorrowedFd<'_>, name: &OsStr, status: &Status) -> io::Result<Option<Kind>> {
    let (major, minor) = status.rdev();
    Ok(Some(match status.file_type() {
        FileType::Directory => Kind::Dir,
        FileType::RegularFile => {
            let size = status.size();
            // Looking for holes costs an open and two seeks: only where blocks are missing.
            let map =
                if status.allocated() < size { holes::map(&open_file(dir, name)?, size)? } else { None };
            Kind::File { size, map }
        }
        FileType::Symlink => Kind::Symlink { target: readlinkat(dir, name, Vec::new())?.into_bytes() },
        FileType::CharacterDevice => Kind::Char { major, minor },
        FileType::BlockDevice => Kind::Block { major, minor },
        FileType::Fifo => Kind::Fifo,
        _ => return Ok(None),
    }))
}

/// Opens a regular file for reading. A FIFO that took its place does not block, a link is not followed.
///
/// # Errors
/// The kernel's.
pub fn open_file(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    // Reading must not change the tree: atime stays, where we may ask for that.
    match openat(dir, name, flags | OFlags::NOATIME, Mode::empty()) {
        Err(rustix::io::Errno::PERM) => Ok(openat(dir, name, flags, Mode::empty())?.into()),
        opened => Ok(opened?.into()),
    }
}

/// A path for the system calls that take no directory descriptor.
pub(crate) fn proc_path(dir: BorrowedFd<'_>, name: &OsStr) -> PathBuf {
    let mut path = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd()));
    if !name.is_empty() {
        path.push(name);
    }
    path
}
