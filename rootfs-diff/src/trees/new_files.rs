//! Opens the files whose content a diff holds.

use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;

use tartree::{Files, Root, SourceTree, TarPath};

/// The new tree, opened for reading the content of its files.
pub struct NewFiles {
    pub(super) merged: Root,
    /// The upper directory, which holds the files of [`SourceTree::Secondary`].
    pub(super) upper: Option<Root>,
}

impl Files for NewFiles {
    fn open(&mut self, path: &TarPath, source_tree: SourceTree) -> io::Result<File> {
        match (source_tree, &mut self.upper) {
            (SourceTree::Secondary, Some(upper)) => upper.open_file(path),
            _ => self.merged.open_file(path),
        }
    }

    fn root(&self, source_tree: SourceTree) -> BorrowedFd<'_> {
        match (source_tree, &self.upper) {
            (SourceTree::Secondary, Some(upper)) => upper.fd(),
            _ => self.merged.fd(),
        }
    }
}
