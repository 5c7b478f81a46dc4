//! The bundle directory, and the files in it.

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
    pub fn open(path: &Path) -> anyhow::Result<Bundle> {
        let meta = fs::metadata(path).with_context(|| cli::display_path(path))?;
        if !meta.is_dir() {
            bail!("{}: not a directory, a bundle is one", cli::display_path(path));
        }
        Ok(Bundle { path: path.into() })
    }

    /// The name of its directory, also where it was given as `.`.
    pub fn dir_name(&self) -> String {
        let real = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        real.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// The directory itself.
    pub fn dir(&self) -> &Path {
        &self.path
    }

    /// The path of `name` in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Opens `name`, `None` where there is none.
    pub fn file(&self, name: &str) -> anyhow::Result<Option<File>> {
        match open(&self.path(name)) {
            Err(e) if e.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == ErrorKind::NotFound) => {
                Ok(None)
            }
            opened => opened.map(Some),
        }
    }

    /// Reads the document `name` of at most `limit` bytes, `None` where there is none.
    pub fn document(&self, name: &str, limit: u64) -> anyhow::Result<Option<Vec<u8>>> {
        let Some(file) = self.file(name)? else { return Ok(None) };
        cli::read_document(file, &cli::display_path(self.path(name)), limit).map(Some)
    }
}

/// Opens a regular file. A bundle is the user's own, so a symbolic link is followed; a FIFO would wait forever.
pub fn open(path: &Path) -> anyhow::Result<File> {
    let object = || cli::display_path(path);
    let mut options = fs::OpenOptions::new();
    // O_NONBLOCK: does not change how a regular file is read.
    let file = options.read(true).custom_flags(libc::O_NONBLOCK).open(path).with_context(object)?;
    if !file.metadata().with_context(object)?.is_file() {
        bail!("{}: not a regular file", object());
    }
    Ok(file)
}
