//! The status of an inode, from statx(2).

use std::ffi::OsStr;
use std::io;
use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, FileType, Statx, StatxAttributes, StatxFlags, statx};

use crate::entry::{Kind, Meta, Timestamp, Xattr};

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
