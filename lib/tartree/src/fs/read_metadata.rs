//! Reads the kind and the metadata of an inode: type, owner, mode, time, xattrs, link target,
//! sparse map.
//!
//! An inode is addressed by a directory descriptor and a name. A symbolic link is never followed.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{FileType, readlinkat};

use crate::entry::{Kind, Meta};
use crate::fs::openat::open_file;
use crate::fs::sparse_map;
use crate::fs::stat::Status;
use crate::fs::xattrs;

/// Returns kind and metadata of the inode `name` in `dir` (`""`: `dir` itself), with IDs of the
/// host. Returns `None` for a socket, which tar cannot represent.
///
/// # Errors
/// Returns any errno of the system calls that read xattrs, link targets and holes.
pub fn read_metadata(dir: BorrowedFd<'_>, name: &OsStr, status: &Status) -> io::Result<Option<(Kind, Meta)>> {
    let Some(kind) = kind(dir, name, status)? else { return Ok(None) };
    Ok(Some((kind, status.meta(xattrs::of(dir, name)?))))
}

/// Like [`read_metadata`], for an open regular file.
///
/// # Errors
/// Returns any errno of the system calls that read xattrs and holes.
pub(crate) fn read_file_metadata(file: &File, status: &Status) -> io::Result<(Kind, Meta)> {
    let size = status.size();
    let map = if status.allocated() < size { sparse_map::map(file, size)? } else { None };
    Ok((Kind::File { size, map }, status.meta(xattrs::of_file(file.as_fd())?)))
}

fn kind(dir: BorrowedFd<'_>, name: &OsStr, status: &Status) -> io::Result<Option<Kind>> {
    let (major, minor) = status.rdev();
    Ok(Some(match status.file_type() {
        FileType::Directory => Kind::Dir,
        FileType::RegularFile => {
            let size = status.size();
            // Finding holes costs an open and two seeks, so it is done only if the file has fewer
            // blocks than its size needs.
            let map =
                if status.allocated() < size { sparse_map::map(&open_file(dir, name)?, size)? } else { None };
            Kind::File { size, map }
        }
        FileType::Symlink => Kind::Symlink { target: readlinkat(dir, name, Vec::new())?.into_bytes() },
        FileType::CharacterDevice => Kind::Char { major, minor },
        FileType::BlockDevice => Kind::Block { major, minor },
        FileType::Fifo => Kind::Fifo,
        _ => return Ok(None),
    }))
}
