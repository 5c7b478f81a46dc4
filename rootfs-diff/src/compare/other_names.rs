//! Finds names of a changed hard link that were not compared, because the upper directory does not
//! contain them. There are two such cases.
//!
//! - Under `index=on` the upper directory contains only the name that was written to. The mounted
//!   overlay shows the new content under all names (overlayfs.rst, "index"), but a view that was
//!   merged from the layers alone shows the old content under the other names. The overlay xattr
//!   `nlink` of the upper file reveals this case, and the old tree has the other names.
//! - A renamed directory is a single entry of the upper directory, with a redirect to the directory
//!   in a lower layer that holds its files (overlayfs.rst, "redirect_dir"). A file in it still has
//!   its lower inode, and may have unchanged names outside the directory.

use std::collections::HashMap;

use tartree::{Entry, Identity, Result, TarPath};

use super::hard_links::{LinkedName, PartlySeen};
use super::pending::PendingEntry;
use crate::change::Change;
use crate::trees::{Inode, Leaves, Trees};

/// The inodes whose other names are searched.
#[derive(Default)]
pub(super) struct OtherNames {
    /// Upper files with the xattr `nlink`, by their inode in the old tree.
    indexed: HashMap<Identity, Indexed>,
    /// New inodes with names that were not compared, by their inode in the new tree.
    partly_seen: HashMap<Identity, PartlySeen>,
}

struct Indexed {
    entry: Entry,
    /// Inode in the new tree.
    id: Identity,
    same: bool,
}

impl OtherNames {
    /// Adds the upper file of `entry`, which has the inode `old` in the old tree and `id` in the
    /// new tree.
    pub fn add_indexed(&mut self, old: Identity, entry: &Entry, id: Identity, same: bool) {
        self.indexed.insert(old, Indexed { entry: entry.clone(), id, same });
    }

    /// Adds inodes with names that were not compared.
    pub fn add_partly_seen(&mut self, partly_seen: HashMap<Identity, PartlySeen>) {
        self.partly_seen = partly_seen;
    }

    /// Walks the old tree and returns all other names of the added inodes that the upper directory
    /// does not contain. Skips the walk if no inode was added.
    ///
    /// # Errors
    /// Returns an error if one of the trees cannot be read.
    pub fn find(self, trees: &mut Trees) -> Result<Vec<LinkedName>> {
        let mut found = Vec::new();
        if self.indexed.is_empty() && self.partly_seen.is_empty() {
            return Ok(found);
        }
        let mut parents: HashMap<TarPath, PendingEntry> = HashMap::new();
        let mut leaves = Leaves::below(TarPath::root());
        while let Some((path, old)) = leaves.next(&mut trees.old)? {
            if old.links() == 1 {
                continue;
            }
            let Some(new) = trees.new.status(&path)? else { continue };
            // The new tree still shows the lower inode: the name was neither removed nor replaced.
            let is_untouched = new.identity().ino == old.identity().ino && new.ctime() == old.ctime();
            let indexed = self.indexed.get(&old.identity());
            let indexed = indexed.filter(|file| is_untouched && file.entry.path != path);
            let partly_seen = self.partly_seen.get(&new.identity());
            let partly_seen = partly_seen.filter(|file| !file.seen.contains(&path));
            let (entry, id, same) = match (indexed, partly_seen) {
                (Some(file), _) => (&file.entry, file.id, file.same),
                (None, Some(file)) => (&file.entry, new.identity(), is_untouched),
                (None, None) => continue,
            };
            let dir = path.parent().unwrap_or_default();
            let parent = match parents.get(&dir) {
                Some(parent) => parent.clone(),
                None => {
                    let parent = pending_entry(trees, &dir)?;
                    parents.insert(dir.clone(), parent.clone());
                    parent
                }
            };
            found.push(LinkedName {
                entry: Entry { path, ..entry.clone() },
                id,
                names: new.links(),
                old: Some((old.identity(), old.links())),
                same,
                change: Change::Modified,
                parent,
            });
        }
        Ok(found)
    }
}

/// Returns the entry of the directory at `path` in the new tree, which is empty if there is no such
/// directory.
fn pending_entry(trees: &mut Trees, path: &TarPath) -> Result<PendingEntry> {
    if let Some(status) = trees.new.status(path)? {
        if let Some(Inode { kind, meta }) = trees.new.inode(path, &status)? {
            return Ok(PendingEntry::new(Entry { path: path.clone(), kind, meta }, status.identity().ino));
        }
    }
    Ok(PendingEntry::default())
}
