//! Removes ACLs that a new inode inherits from the default ACL of its directory (acl(5)), and the
//! ACLs that an existing inode already has.
//!
//! An archive states the ACLs of each inode. Any further ACL would grant access that users did not
//! have where the archive was made.

use std::ffi::OsStr;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat};

use crate::entry::Meta;
use crate::format::acl;
use crate::fs::openat::proc_path;
use crate::notice::{Notice, Notices};
use crate::path::TarPath;

/// Reports whether new inodes in `dir` inherit an ACL.
pub(crate) fn is_handed_down(dir: BorrowedFd<'_>) -> bool {
    let acl = xattr::get_deref(proc_path(dir, OsStr::new("")), OsStr::from_bytes(acl::DEFAULT));
    matches!(acl, Ok(Some(_)))
}

/// Removes the inherited ACLs of the new directory `dir` and sets its mode to `mode`, because the
/// ACL may have removed bits.
///
/// # Errors
/// Returns an error if an inherited ACL cannot be removed.
pub(crate) fn drop_of_dir(dir: BorrowedFd<'_>, mode: Mode) -> io::Result<()> {
    if !is_handed_down(dir) {
        return Ok(());
    }
    let proc = proc_path(dir, OsStr::new(""));
    for name in [acl::ACCESS, acl::DEFAULT] {
        remove(&proc, name)?;
    }
    Ok(fchmodat(AT_FDCWD, &proc, mode, FchmodatFlags::FollowSymlink)?)
}

/// Removes the ACLs that `meta` does not have from the inode whose entry in `/proc/self/fd` is
/// `proc`. An ACL that cannot be removed becomes a notice.
pub(crate) fn drop_of(proc: &Path, path: &TarPath, meta: &Meta, notices: &mut dyn Notices) {
    for name in [acl::ACCESS, acl::DEFAULT] {
        if meta.xattr(name).is_some() {
            continue;
        }
        if let Err(e) = remove(proc, name) {
            let what = format!("removal of {}", String::from_utf8_lossy(name));
            notices.notice(Notice::NotApplied { path: path.clone(), what, why: e.to_string() });
        }
    }
}

fn remove(proc: &Path, name: &[u8]) -> io::Result<()> {
    let name = OsStr::from_bytes(name);
    match xattr::remove_deref(proc, name) {
        Ok(()) => Ok(()),
        Err(e) => match e.raw_os_error().map(Errno::from_raw) {
            // The inode or the filesystem has no ACLs. ext4 returns EACCES for a default ACL of a
            // file.
            Some(Errno::ENODATA | Errno::EOPNOTSUPP) => Ok(()),
            _ if matches!(xattr::get_deref(proc, name), Ok(None) | Err(_)) => Ok(()),
            _ => Err(e),
        },
    }
}
