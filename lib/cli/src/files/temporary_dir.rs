//! Directories that appear under their final name when they are complete.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{AT_FDCWD, OFlag, RenameFlags, renameat2};

use super::private::{self, dangling_link};
use crate::signal::make_with_cleanup;

/// The descriptors that removing a directory with two levels of directories below it needs.
const RESERVED: usize = 3;

/// A new directory with mode 0700. It is removed with its content when this value is dropped or a
/// signal ends the process, unless it was kept or moved.
pub struct TemporaryDir {
    path: PathBuf,
    /// Descriptors that are closed before the directory is removed: the process may have no others
    /// left, which is then also the reason for the removal.
    reserved: Vec<File>,
    kept: bool,
}

impl TemporaryDir {
    /// Creates a directory in `parent`, whose name is `prefix` and a number.
    ///
    /// # Errors
    /// Returns an error if the directory cannot be created.
    pub fn new(parent: &Path, prefix: &OsStr) -> io::Result<TemporaryDir> {
        let remove = |dir: &PathBuf| {
            let dir = dir.clone();
            move || {
                // The main thread creates files in it until the process ends, so one attempt may
                // fail.
                let _ = (0..1000).find(|_| fs::remove_dir_all(&dir).is_ok() || !dir.exists());
            }
        };
        // O_PATH needs no permission to read the directory.
        let reserve = || OpenOptions::new().read(true).custom_flags(OFlag::O_PATH.bits()).open(parent);
        let reserved = (0..RESERVED).map(|_| reserve()).collect::<io::Result<_>>()?;
        let path = make_with_cleanup(|| create(parent, prefix), remove)?;
        Ok(TemporaryDir { path, reserved, kept: false })
    }

    /// Returns the path of the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves the directory where it is.
    pub fn keep(mut self) {
        self.kept = true;
    }

    /// Renames the directory to `to`, at which nothing may exist.
    ///
    /// # Errors
    /// Returns an error if the directory cannot be renamed; it is then removed.
    pub fn move_to(self, to: &Path) -> io::Result<()> {
        rename(&self.path, to)?;
        self.keep();
        Ok(())
    }
}

impl Drop for TemporaryDir {
    fn drop(&mut self) {
        if !self.kept {
            self.reserved.clear();
            // The caller reports the error that led to this.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Returns the directory that contains `path`.
pub fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn create(parent: &Path, prefix: &OsStr) -> io::Result<PathBuf> {
    for attempt in 0..1000 {
        let mut name = prefix.to_owned();
        name.push(format!("{}-{attempt}", std::process::id()));
        let dir = parent.join(name);
        match private::dir(&dir) {
            Ok(true) => return Ok(dir),
            Err(e) if dangling_link(&dir).is_none() => return Err(e),
            _ => {}
        }
    }
    Err(io::Error::from(io::ErrorKind::AlreadyExists))
}

/// Renames, but never replaces a file that was created in the meantime.
///
/// # Errors
/// Returns any errno of renameat2(2).
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match renameat2(AT_FDCWD, from, AT_FDCWD, to, RenameFlags::RENAME_NOREPLACE) {
        // Some file systems, such as NFS, do not support RENAME_NOREPLACE. A check before the
        // rename remains.
        Err(nix::errno::Errno::EINVAL) if fs::symlink_metadata(to).is_err() => fs::rename(from, to),
        renamed => Ok(renamed?),
    }
}
