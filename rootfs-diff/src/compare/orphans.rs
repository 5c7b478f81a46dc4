//! Hard links whose new content is not in the layers, because the name that was written to was
//! removed.
//!
//! Under `index=on` a write through one name of an inode is visible through all its names. If that
//! name is removed, the other names still show the new content (overlayfs.rst, "index"). Then only
//! the index holds the content. The index is in the work directory, which is not a layer.
//! Nothing in the layers shows whether there was such a write, so the user is warned of every
//! removed name that may have received one.

use std::collections::HashMap;

use tartree::{Identity, Result, Status, TarPath};

use crate::trees::{Leaves, Tree};

/// The reason in the warning.
pub(super) const WHY: &str =
    "a removed hard link; content written through it is only in the overlay's work directory (index=on)";

/// Removed names of inodes that had several names, by inode of the old tree.
#[derive(Default)]
pub(super) struct Orphans(HashMap<Identity, Orphan>);

struct Orphan {
    path: TarPath,
    /// Number of names that the inode had.
    names: u32,
    /// Number of these names that were removed together with a directory above them.
    removed_with_dir: u32,
}

impl Orphans {
    /// Adds the file that was at `path` in the old tree, and everything below it.
    ///
    /// # Errors
    /// Returns an error if the old tree cannot be read.
    pub fn removed(&mut self, old: &mut Tree, path: &TarPath, was: &Status) -> Result<()> {
        if !was.is_dir() {
            self.add(path, was, 0);
            return Ok(());
        }
        let mut leaves = Leaves::below(path.clone());
        while let Some((path, status)) = leaves.next(old)? {
            self.add(&path, &status, 1);
        }
        Ok(())
    }

    fn add(&mut self, path: &TarPath, was: &Status, removed_with_dir: u32) {
        if was.links() > 1 {
            let new = || Orphan { path: path.clone(), names: was.links(), removed_with_dir: 0 };
            self.0.entry(was.identity()).or_insert_with(new).removed_with_dir += removed_with_dir;
        }
    }

    /// Returns a removed name of each inode that may still have a name that was not compared.
    /// `compared` returns how many names of an inode were compared.
    pub fn possible(self, compared: impl Fn(Identity) -> u32) -> Vec<TarPath> {
        let orphans = self.0.into_iter();
        let possible = orphans.filter(|(id, orphan)| compared(*id) + orphan.removed_with_dir < orphan.names);
        let mut paths: Vec<TarPath> = possible.map(|(_, orphan)| orphan.path).collect();
        paths.sort();
        paths
    }
}
