//! A directory found again by its file handle, through a mount of this namespace.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// As long as a handle may be (MAX_HANDLE_SZ).
const LENGTH: usize = 128;

/// What the kernel calls a directory, whatever its path (name_to_handle_at(2)).
#[repr(C)]
pub(crate) struct Handle {
    bytes: u32,
    kind: i32,
    value: [u8; LENGTH],
}

impl Handle {
    /// Returns the handle of `dir`.
    ///
    /// # Errors
    /// Any errno of name_to_handle_at(2): EOPNOTSUPP if the file system has no handles.
    pub fn of(dir: BorrowedFd<'_>) -> io::Result<Handle> {
        let mut handle = Handle { bytes: LENGTH as u32, kind: 0, value: [0; LENGTH] };
        let (name, mut mount): (&CStr, libc::c_int) = (c"", 0);
        // SAFETY: the descriptor is open, the name ends with a NUL byte, and the kernel writes at most `bytes` bytes to
        // `value`, which has that length, and one int to `mount`.
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

    /// Opens the directory in the file system and the mount that `mount` is in.
    ///
    /// # Errors
    /// Any errno of open_by_handle_at(2): ESTALE if the file system has no such directory.
    pub fn open(&self, mount: BorrowedFd<'_>) -> io::Result<OwnedFd> {
        let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
        // SAFETY: the descriptor is open, and the kernel reads `bytes` bytes of `value`, which are at most its length: the
        // kernel has set them itself.
        let fd =
            unsafe { libc::syscall(libc::SYS_open_by_handle_at, mount.as_raw_fd(), &raw const *self, flags) };
        let fd = libc::c_int::try_from(fd).map_err(io::Error::other)?;
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just opened it for this call alone.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }
}
