//! Reads the extended attributes of an inode.
//!
//! The system calls that take a directory descriptor and a name exist since Linux 6.13. On older
//! kernels, this module passes a path in `/proc`, which costs a path lookup per inode.

use std::ffi::{CStr, OsStr};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{fgetxattr, flistxattr, getxattr, lgetxattr, listxattr, llistxattr};
use rustix::io::Errno;
use rustix::path::Arg;

use crate::entry::Xattr;
use crate::fs::openat::proc_path;

/// Maximum size that the kernel returns for a list of names and for a value (linux/limits.h).
const LARGEST: usize = 64 << 10;

/// Returns the extended attributes of the inode `name` in `dir` (`""`: `dir` itself), ordered by
/// name, without following a symbolic link. Returns an empty list if the filesystem does not
/// support xattrs.
///
/// # Errors
/// Returns any other errno of listxattr(2) and getxattr(2).
pub fn of(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<Vec<Xattr>> {
    let result = if LACKING.load(Ordering::Relaxed) {
        Err(Errno::NOSYS)
    } else {
        // The system calls reject an empty name with an O_PATH descriptor, but accept ".".
        let name = if name.is_empty() { OsStr::new(".") } else { name };
        name.into_with_c_str(|name| {
            collect(&mut |buffer| listxattrat(dir, name, buffer), &mut |attribute, buffer| {
                getxattrat(dir, name, attribute, buffer)
            })
        })
    };
    match result {
        // A seccomp filter may return EPERM for a system call that it does not know. Listing xattrs
        // never returns EPERM.
        Err(Errno::NOSYS | Errno::PERM) => {
            LACKING.store(true, Ordering::Relaxed);
            through_proc(dir, name)
        }
        result => Ok(result?),
    }
}

/// Returns the extended attributes of an open file, ordered by name. Returns an empty list if the
/// filesystem does not support xattrs.
///
/// # Errors
/// Returns any other errno of flistxattr(2) and fgetxattr(2).
pub fn of_file(file: BorrowedFd<'_>) -> io::Result<Vec<Xattr>> {
    Ok(collect(&mut |buffer| flistxattr(file, buffer), &mut |name, buffer| fgetxattr(file, name, buffer))?)
}

/// Returns only the names of the extended attributes of an open file or directory, each terminated
/// by a NUL byte.
///
/// # Errors
/// Returns the same errors as [`of_file`].
pub fn names_of_file(file: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    let (mut small, mut large) = ([0; 512], Vec::new());
    match filled(&mut small, &mut large, &mut |buffer| flistxattr(file, buffer)) {
        Err(Errno::OPNOTSUPP) => Ok(Vec::new()),
        names => Ok(names?.to_vec()),
    }
}

fn through_proc(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<Vec<Xattr>> {
    let path = &proc_path(dir, name);
    let result = if name.is_empty() {
        collect(&mut |buffer| listxattr(path, buffer), &mut |name, buffer| getxattr(path, name, buffer))
    } else {
        collect(&mut |buffer| llistxattr(path, buffer), &mut |name, buffer| lgetxattr(path, name, buffer))
    };
    Ok(result?)
}

/// Lists the names with `list` and reads each value with `get`. Both functions fill a buffer, or
/// report that it is too small.
fn collect(
    list: &mut dyn FnMut(&mut [u8]) -> rustix::io::Result<usize>,
    get: &mut dyn FnMut(&CStr, &mut [u8]) -> rustix::io::Result<usize>,
) -> rustix::io::Result<Vec<Xattr>> {
    let (mut small, mut large) = ([0; 512], Vec::new());
    let names = match filled(&mut small, &mut large, list) {
        // The filesystem does not support xattrs.
        Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        names => names?,
    };
    let mut all = Vec::new();
    for name in names.split_inclusive(|&b| b == 0) {
        let Ok(name) = CStr::from_bytes_with_nul(name) else { continue };
        let (mut small, mut large) = ([0; 512], Vec::new());
        match filled(&mut small, &mut large, &mut |buffer| get(name, buffer)) {
            Ok(value) => all.push(Xattr { name: name.to_bytes().to_vec(), value: value.to_vec() }),
            // The attribute was removed since it was listed, or is listed but not readable
            // (trusted.* in another user namespace): it is not part of the inode for this process.
            Err(Errno::NODATA) => {}
            Err(e) => return Err(e),
        }
    }
    all.sort();
    Ok(all)
}

/// Returns the bytes that `fill` writes into `small`, or into `large` if `small` is too small.
fn filled<'a>(
    small: &'a mut [u8],
    large: &'a mut Vec<u8>,
    fill: &mut dyn FnMut(&mut [u8]) -> rustix::io::Result<usize>,
) -> rustix::io::Result<&'a [u8]> {
    match fill(small) {
        Err(Errno::RANGE) => {
            large.resize(LARGEST, 0);
            let len = fill(large)?;
            Ok(&large[..len])
        }
        len => Ok(&small[..len?]),
    }
}

/// Whether the kernel lacks the system calls below, so that they are not tried again.
static LACKING: AtomicBool = AtomicBool::new(false);

// Linux 6.13; the same number on every architecture that Rust supports.
const GETXATTRAT: libc::c_long = 464;
const LISTXATTRAT: libc::c_long = 465;

/// `struct xattr_args` (linux/xattr.h).
#[repr(C, align(8))]
struct XattrArgs {
    value: u64,
    size: u32,
    flags: u32,
}

fn listxattrat(dir: BorrowedFd<'_>, name: &CStr, buffer: &mut [u8]) -> rustix::io::Result<usize> {
    // SAFETY: the kernel writes at most `buffer.len()` bytes into `buffer` and reads the terminated
    // `name`.
    let len = unsafe {
        libc::syscall(
            LISTXATTRAT,
            dir.as_raw_fd(),
            name.as_ptr(),
            libc::AT_SYMLINK_NOFOLLOW,
            buffer.as_mut_ptr(),
            buffer.len(),
        )
    };
    length(len)
}

fn getxattrat(
    dir: BorrowedFd<'_>,
    name: &CStr,
    attribute: &CStr,
    buffer: &mut [u8],
) -> rustix::io::Result<usize> {
    let size = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
    let args = XattrArgs { value: buffer.as_mut_ptr() as u64, size, flags: 0 };
    // SAFETY: the kernel writes at most `args.size` bytes to `args.value`, which is all of `buffer`
    // or less; both names are terminated, and the size given for `args` is its own.
    let len = unsafe {
        libc::syscall(
            GETXATTRAT,
            dir.as_raw_fd(),
            name.as_ptr(),
            libc::AT_SYMLINK_NOFOLLOW,
            attribute.as_ptr(),
            &raw const args,
            size_of::<XattrArgs>(),
        )
    };
    length(len)
}

fn length(result: libc::c_long) -> rustix::io::Result<usize> {
    match usize::try_from(result) {
        Ok(len) => Ok(len),
        Err(_) => Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn all_three_ways_to_read_xattrs_return_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, "x").unwrap();
        let names: Vec<String> = (0..25).map(|i| format!("user.a_name_that_takes_room_{i:02}")).collect();
        for (i, name) in names.iter().enumerate() {
            xattr::set(&path, name, &vec![b'v'; if i == 7 { 600 } else { 10 }]).unwrap();
        }
        std::os::unix::fs::symlink("file", dir.path().join("link")).unwrap();
        let open = std::fs::File::open(dir.path()).unwrap();
        let file = std::fs::File::open(&path).unwrap();
        let by_name = of(open.as_fd(), OsStr::new("file")).unwrap();
        assert_eq!(by_name.iter().map(|x| x.value.len()).sum::<usize>(), 24 * 10 + 600);
        assert_eq!(by_name, of_file(file.as_fd()).unwrap());
        assert_eq!(by_name, through_proc(open.as_fd(), OsStr::new("file")).unwrap());
        assert!(of(open.as_fd(), OsStr::new("link")).unwrap().is_empty());
        xattr::set(dir.path(), "user.of_the_directory", b"1").unwrap();
        assert_eq!(of(open.as_fd(), OsStr::new("")).unwrap().len(), 1);
        assert_eq!(through_proc(open.as_fd(), OsStr::new("")).unwrap().len(), 1);
    }
}
