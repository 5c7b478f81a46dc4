//! Hard links whose new content nobody can see, since the name that was written to is gone.
//!
//! Under `index=on` a write through one name is a write to all, and when that name is removed the others go on to
//! show what was written (overlayfs.rst, "index"). It stands in the index alone, in the work directory, which is no
//! part of the layers. Nothing tells whether there was such a write, so the user is told of every name it may
//! have been.

use std::collections::HashMap;

use tartree::{Identity, Result, Status, TarPath};

use crate::tree::{Leaves, Tree};

/// What the user is told.
pub(crate) const WHY: &str =
    "removed, and what was written to its other names is in the overlay's work directory (index=on)";

/// Removed names of inodes that have others, by inode.
#[derive(Default)]
pub(crate) struct Orphans(HashMap<Identity, Orphan>);

struct Orphan {
    path: TarPath,
    /// Names the inode had.
    names: u32,
    /// Of those, how many are gone with a directory, which is removed as one.
    inside: u32,
}

impl Orphans {
    /// Remembers what was at `path` in the tree as it was, and what was below it.
    ///
    /// # Errors
    /// When the old tree cannot be read.
    pub fn removed(&mut self, base: &mut Tree, path: &TarPath, was: &Status) -> Result<()> {
        if !was.is_dir() {
            self.add(path, was, 0);
            return Ok(());
        }
        let mut leaves = Leaves::below(path.clone());
        while let Some((path, status)) = leaves.next(base)? {
            self.add(&path, &status, 1);
        }
        Ok(())
    }

    fn add(&mut self, path: &TarPath, was: &Status, inside: u32) {
        if was.links() > 1 {
            let new = || Orphan { path: path.clone(), names: was.links(), inside: 0 };
            self.0.entry(was.identity()).or_insert_with(new).inside += inside;
        }
    }

    /// A removed name of each inode that may live on under a name that was not looked at; `seen` tells how many were.
    pub fn left(self, seen: impl Fn(Identity) -> u32) -> Vec<TarPath> {
        let left = self.0.into_iter().filter(|(id, orphan)| seen(*id) + orphan.inside < orphan.names);
        let mut paths: Vec<TarPath> = left.map(|(_, orphan)| orphan.path).collect();
        paths.sort();
        paths
    }
}
