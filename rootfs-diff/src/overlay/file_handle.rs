//! Opens a directory by its file handle, which identifies it when no path leads to it.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Maximum length of a handle in bytes (`MAX_HANDLE_SZ`).
const LENGTH: usize = 128;

/// A `struct file_handle`: an identifier of a directory that does not depend on its path
/// (name_to_handle_at(2)).
#[repr(C)]
pub(crate) struct FileHandle {
    bytes: u32,
    kind: i32,
    value: [u8; LENGTH],
}

impl FileHandle {
    /// Returns the handle of `dir`.
    ///
    /// # Errors
    /// Returns any errno of name_to_handle_at(2): EOPNOTSUPP if the file system has no handles.
    pub fn of(dir: BorrowedFd<'_>) -> io::Result<FileHandle> {
        let mut handle = FileHandle { bytes: LENGTH as u32, kind: 0, value: [0; LENGTH] };
        let (name, mut mount): (&CStr, libc::c_int) = (c"", 0);
        // SAFETY: the descriptor is open and the name ends with a NUL byte. The kernel writes at
        // most `bytes` bytes to `value`, which has that length, and one int to `mount`.
        let result = unsafe {
            libc::syscall(
                libc::SYS_name_to_handle_at,
                dir.as_raw_fd(),
                name.as_ptr(),
                &raw mut handle,
                &raw mut mount,
                libc::AT_EMPTY_PATH,
            )
        };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(handle) }
    }

    /// Opens the directory through the mount that the directory `mount` is on.
    ///
    /// # Errors
    /// Returns any errno of open_by_handle_at(2): ESTALE if the file system has no such directory.
    pub fn open(&self, mount: BorrowedFd<'_>) -> io::Result<OwnedFd> {
        let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
        // SAFETY: the descriptor is open. The kernel reads `bytes` bytes of `value`. The kernel
        // itself set `bytes` in `of`, to at most the length of `value`.
        let fd =
            unsafe { libc::syscall(libc::SYS_open_by_handle_at, mount.as_raw_fd(), &raw const *self, flags) };
        let fd = libc::c_int::try_from(fd).map_err(io::Error::other)?;
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just opened this descriptor, and nothing else owns it.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }
}
