//! Creates directories and files that only their owner can use, regardless of the default ACL of
//! their parent directory.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use nix::errno::Errno;
use xattr::FileExt;

use crate::messages::display::display_path;

const ACCESS: &str = "system.posix_acl_access";
const DEFAULT: &str = "system.posix_acl_default";

/// Creates the directory `path` with mode 0700 and without ACLs. Returns `false` if `path` exists.
///
/// # Errors
/// Returns an error if the directory cannot be created, if `path` is a link to nothing, or if an
/// inherited ACL cannot be removed.
pub fn dir(path: &Path) -> io::Result<bool> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            return dangling_link(path).map_or(Ok(false), Err);
        }
        made => made?,
    }
    // A new directory inherits the parent's default ACL both as its default ACL and as its access
    // ACL, and the access ACL may have changed the mode.
    if let Ok(Some(_)) = xattr::get(path, DEFAULT) {
        xattr::remove(path, DEFAULT)?;
        missing_is_ok(xattr::remove(path, ACCESS))?;
        fs::set_permissions(path, Permissions::from_mode(0o700))?;
    }
    Ok(true)
}

/// Returns an error that names the target of `path` if `path` is a link to nothing, for which the
/// kernel reports that it exists or that it does not, depending on the call.
pub fn dangling_link(path: &Path) -> Option<io::Error> {
    let target = fs::read_link(path).ok().filter(|_| fs::metadata(path).is_err())?;
    let text = format!("is a link to {}, which does not exist", display_path(target));
    Some(io::Error::new(io::ErrorKind::NotFound, text))
}

/// Sets the mode of the new file `file` to 0600 and removes its ACL.
///
/// # Errors
/// Returns an error if an inherited ACL cannot be removed.
pub fn file(file: &File) -> io::Result<()> {
    if let Ok(Some(_)) = file.get_xattr(ACCESS) {
        missing_is_ok(file.remove_xattr(ACCESS))?;
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    Ok(())
}

/// Treats the removal of a missing xattr as a success.
fn missing_is_ok(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(e) if e.raw_os_error() == Some(Errno::ENODATA as i32) => Ok(()),
        removed => removed,
    }
}
