//! Walks a directory tree by descriptors.
//!
//! The owner of the tree may replace a directory by a link to /etc during the walk. Therefore no
//! name is looked up twice, no link is followed, and the visitor gets an open directory and a name
//! in it.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use nix::dir::Dir;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FileStat, Mode, fstatat};

/// The function called for each inode, with its directory, its name and its status.
pub type Visitor<'a> = dyn FnMut(BorrowedFd<'_>, &CStr, &FileStat) -> anyhow::Result<()> + 'a;

/// Calls `visit` for every inode below the directory `top`, parents before children.
///
/// # Errors
/// Returns the first error of `visit`. Earlier inodes have been visited.
pub fn walk(top: &Path, visit: &mut Visitor<'_>) -> anyhow::Result<()> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let dir = Dir::open(top, flags, Mode::empty())?;
    // Uses a stack instead of recursion, because the tree determines the depth. One directory is
    // open per level.
    let mut levels = vec![(dir.as_fd().try_clone_to_owned()?, dir.into_iter())];
    while let Some((fd, entries)) = levels.last_mut() {
        let Some(entry) = entries.next() else {
            levels.pop();
            continue;
        };
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let stat = fstatat(&*fd, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        visit(fd.as_fd(), name, &stat)?;
        if is_directory(&stat) {
            let child = Dir::from_fd(openat(&*fd, name, flags, Mode::empty())?)?;
            levels.push((child.as_fd().try_clone_to_owned()?, child.into_iter()));
        }
    }
    Ok(())
}

fn is_directory(stat: &FileStat) -> bool {
    stat.st_mode & libc::S_IFMT == libc::S_IFDIR
}
