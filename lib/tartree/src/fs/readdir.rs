//! Lists directories.

use std::ffi::{CString, OsStr};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{FileType, RawDir};

use crate::fs::openat::open_dir;

/// A name in a directory with the type from the listing. Some filesystems report
/// [`FileType::Unknown`]. The type is only a hint, because the inode may have been replaced since.
pub(crate) struct Name {
    pub name: CString,
    pub hint: FileType,
}

/// Returns the names in the directory `name` of `dir` (`"."`: `dir` itself), in reverse byte order,
/// so that `pop` returns the first name.
///
/// # Errors
/// Returns any errno of openat(2) and getdents(2).
pub fn names(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<Vec<CString>> {
    Ok(list(open_dir(dir, name)?.as_fd())?.into_iter().map(|name| name.name).collect())
}

/// Returns the names in the open directory `dir`, in reverse byte order.
pub(crate) fn list(dir: BorrowedFd<'_>) -> io::Result<Vec<Name>> {
    let mut buffer = [MaybeUninit::<u8>::uninit(); 32 << 10];
    let mut names = Vec::new();
    let mut entries = RawDir::new(dir, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            names.push(Name { name: name.to_owned(), hint: entry.file_type() });
        }
    }
    names.sort_unstable_by(|a: &Name, b| b.name.cmp(&a.name));
    Ok(names)
}
