//! Opens files in the bundle directory.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// An existing bundle.
pub struct Bundle {
    path: PathBuf,
}

impl Bundle {
    /// Opens the directory `path`.
    pub fn open(path: &Path) -> anyhow::Result<Bundle> {
        let meta = fs::metadata(path)
            .map_err(|e| cli::private::dangling_link(path).unwrap_or(e))
            .with_context(|| cli::display_path(path))?;
        if !meta.is_dir() {
            bail!("{}: expected a bundle, found a file that is not a directory", cli::display_path(path));
        }
        Ok(Bundle { path: path.into() })
    }

    /// Returns the name of the directory, also if it was given as `.`.
    pub fn dir_name(&self) -> String {
        let real = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        real.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// Returns the directory.
    pub fn dir(&self) -> &Path {
        &self.path
    }

    /// Returns the path of `name` in the bundle.
    pub fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Opens the file `name`; returns `None` if it does not exist.
    pub fn file(&self, name: &str) -> anyhow::Result<Option<File>> {
        match open(&self.path(name)) {
            Err(e) if e.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == ErrorKind::NotFound) => {
                Ok(None)
            }
            opened => opened.map(Some),
        }
    }

    /// Reads the document `name` of at most `limit` bytes; returns `None` if it does not exist.
    pub fn document(&self, name: &str, limit: u64) -> anyhow::Result<Option<Vec<u8>>> {
        let Some(file) = self.file(name)? else { return Ok(None) };
        cli::read_document(file, &cli::display_path(self.path(name)), limit).map(Some)
    }
}

/// Opens a regular file. The bundle belongs to the user, so a symbolic link is followed.
///
/// # Errors
/// Returns an error if it is not a regular file; reading a FIFO could block forever.
pub fn open(path: &Path) -> anyhow::Result<File> {
    let object = || cli::display_path(path);
    let mut options = fs::OpenOptions::new();
    // O_NONBLOCK keeps open(2) from blocking on a FIFO. It has no effect on a regular file.
    let file = options.read(true).custom_flags(libc::O_NONBLOCK).open(path).with_context(object)?;
    if !file.metadata().with_context(object)?.is_file() {
        bail!("{}: not a regular file", object());
    }
    Ok(file)
}
