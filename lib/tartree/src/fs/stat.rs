//! The status of an inode, from statx(2).

use std::ffi::OsStr;
use std::io;
use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, FileType, Statx, StatxAttributes, StatxFlags, statx};

use crate::entry::{Kind, Meta, Timestamp, Xattr};

/// Identifies an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Device of the filesystem, as major and minor number.
    pub dev: (u32, u32),
    /// Inode number.
    pub ino: u64,
}

/// The status of an inode, from one `statx` call.
#[derive(Clone, Copy, Debug)]
pub struct Status {
    raw: Statx,
}

impl Status {
    /// Reads the status of `name` in `dir` without following a symbolic link. The name `""` is
    /// `dir` itself.
    ///
    /// # Errors
    /// Returns any errno of statx(2).
    pub fn at(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<Status> {
        let flags = if name.is_empty() { AtFlags::EMPTY_PATH } else { AtFlags::SYMLINK_NOFOLLOW };
        // STATX_MNT_ID distinguishes a bind mount of the same filesystem.
        let mask = StatxFlags::BASIC_STATS | StatxFlags::MNT_ID;
        Ok(Status { raw: statx(dir, name, flags | AtFlags::NO_AUTOMOUNT, mask)? })
    }

    /// Returns the identity of the inode.
    pub fn identity(&self) -> Identity {
        Identity { dev: (self.raw.stx_dev_major, self.raw.stx_dev_minor), ino: self.raw.stx_ino }
    }

    /// Returns the ID of the mount that the inode is on.
    pub fn mount(&self) -> u64 {
        self.raw.stx_mnt_id
    }

    /// Reports whether the inode must not be changed, renamed or removed (`chattr +i`).
    pub(crate) fn is_immutable(&self) -> bool {
        self.raw.stx_attributes.contains(StatxAttributes::IMMUTABLE)
    }

    /// Reports whether the inode is append-only (`chattr +a`).
    pub(crate) fn is_append_only(&self) -> bool {
        self.raw.stx_attributes.contains(StatxAttributes::APPEND)
    }

    /// Returns the number of hard links.
    pub fn links(&self) -> u32 {
        self.raw.stx_nlink
    }

    /// Returns the length in bytes.
    pub fn size(&self) -> u64 {
        self.raw.stx_size
    }

    /// Returns the number of allocated bytes.
    pub fn allocated(&self) -> u64 {
        self.raw.stx_blocks.saturating_mul(512)
    }

    /// Returns the permission bits.
    pub fn mode(&self) -> u32 {
        u32::from(self.raw.stx_mode) & 0o7777
    }

    /// Returns the user ID on the host.
    pub fn uid(&self) -> u32 {
        self.raw.stx_uid
    }

    /// Returns the group ID on the host.
    pub fn gid(&self) -> u32 {
        self.raw.stx_gid
    }

    /// Returns the time of the last change of the content.
    pub fn mtime(&self) -> Timestamp {
        Timestamp { sec: self.raw.stx_mtime.tv_sec, nsec: self.raw.stx_mtime.tv_nsec }
    }

    /// Returns the time of the last change of content or metadata. No system call can set it.
    pub fn ctime(&self) -> Timestamp {
        Timestamp { sec: self.raw.stx_ctime.tv_sec, nsec: self.raw.stx_ctime.tv_nsec }
    }

    /// Returns the device number of a device node.
    pub fn rdev(&self) -> (u32, u32) {
        (self.raw.stx_rdev_major, self.raw.stx_rdev_minor)
    }

    /// Returns the type of the inode.
    pub fn file_type(&self) -> FileType {
        FileType::from_raw_mode(u32::from(self.raw.stx_mode))
    }

    /// Reports whether the inode is of this kind. A hard link may be of any kind.
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

    /// Returns the metadata of the inode with these xattrs, with IDs of the host.
    pub fn meta(&self, xattrs: Vec<Xattr>) -> Meta {
        Meta { mode: self.mode(), uid: self.uid(), gid: self.gid(), mtime: self.mtime(), xattrs }
    }

    /// Reports whether the inode is a directory.
    pub fn is_dir(&self) -> bool {
        self.file_type() == FileType::Directory
    }

    /// Reports whether the inode is a regular file.
    pub fn is_file(&self) -> bool {
        self.file_type() == FileType::RegularFile
    }

    /// Reports whether the inode is a symbolic link.
    pub fn is_symlink(&self) -> bool {
        self.file_type() == FileType::Symlink
    }

    /// Reports whether the inode is a socket.
    pub fn is_socket(&self) -> bool {
        self.file_type() == FileType::Socket
    }
}
