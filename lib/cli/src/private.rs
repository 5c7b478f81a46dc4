//! Directories and files that only their owner may use, whatever the default ACL of the directory they are made in says.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use nix::errno::Errno;
use xattr::FileExt;

const ACCESS: &str = "system.posix_acl_access";
const DEFAULT: &str = "system.posix_acl_default";

/// Makes the directory `path` with mode 0700 and without ACLs. Returns `false` if something is there already.
///
/// # Errors
/// Returns an error if it cannot be made, or keeps an ACL that it inherited.
pub fn dir(path: &Path) -> io::Result<bool> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        made => made?,
    }
    // A default ACL is handed down as both; the access ACL may have taken bits from the mode.
    if let Ok(Some(_)) = xattr::get(path, DEFAULT) {
        xattr::remove(path, DEFAULT)?;
        gone(xattr::remove(path, ACCESS))?;
        fs::set_permissions(path, Permissions::from_mode(0o700))?;
    }
    Ok(true)
}

/// Gives the new file `file` mode 0600 and no ACL.
///
/// # Errors
/// Returns an error if it keeps an ACL that it inherited.
pub fn file(file: &File) -> io::Result<()> {
    if let Ok(Some(_)) = file.get_xattr(ACCESS) {
        gone(file.remove_xattr(ACCESS))?;
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    Ok(())
}

/// Takes it for a success that there was none.
fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(e) if e.raw_os_error() == Some(Errno::ENODATA as i32) => Ok(()),
        removed => removed,
    }
}
