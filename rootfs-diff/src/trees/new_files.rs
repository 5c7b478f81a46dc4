//! Opens the files whose content a diff holds.

use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;

use tartree::{Files, Place, Root, TarPath};

/// The new tree, opened for reading the content of its files.
pub struct NewFiles {
    pub(super) merged: Root,
    /// The upper directory, which holds the files of [`Place::Beside`].
    pub(super) upper: Option<Root>,
}

impl Files for NewFiles {
    fn open(&mut self, path: &TarPath, place: Place) -> io::Result<File> {
        match (place, &mut self.upper) {
            (Place::Beside, Some(upper)) => upper.open_file(path),
            _ => self.merged.open_file(path),
        }
    }

    fn root(&self, place: Place) -> BorrowedFd<'_> {
        match (place, &self.upper) {
            (Place::Beside, Some(upper)) => upper.fd(),
            _ => self.merged.fd(),
        }
    }
}
