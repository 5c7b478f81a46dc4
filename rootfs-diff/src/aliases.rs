//! Other names of a hard link that stand where nobody looked, since nothing there is in the upper directory.
//!
//! With an index only the name that was written to stands in the upper directory; the mounted overlay shows the
//! new content under all of them (overlayfs.rst, "index"). A view of the layers alone shows the old content there.
//! The mark `nlink` on the upper file tells of it, and the old tree knows the other names (R8).
//!
//! A renamed directory is one entry of the upper directory that tells where its content is (overlayfs.rst,
//! "redirect_dir"). A file in it is still the lower inode, and may have names outside, which nothing has touched.

use std::collections::{HashMap, HashSet};

use tartree::{Entry, Identity, Result, TarPath};

use crate::compare::{Change, Pending};
use crate::links::Candidate;
use crate::source::Source;
use crate::tree::Leaves;

#[derive(Default)]
pub(crate) struct Aliases {
    /// Upper files with the mark, by the inode they had in the old tree.
    marked: HashMap<Identity, Marked>,
    /// Files that have more names than were seen, by the inode they have in the new tree.
    moved: HashMap<Identity, Moved>,
}

struct Marked {
    entry: Entry,
    id: Identity,
    same: bool,
}

/// A file that stands elsewhere than in the old tree, and the names of it that were seen.
pub(crate) struct Moved {
    pub entry: Entry,
    /// How many names it has.
    pub names: u32,
    pub seen: HashSet<TarPath>,
}

impl Moved {
    /// Whether it has names that were not seen.
    pub fn has_more(&self) -> bool {
        self.seen.len() < self.names as usize
    }
}

impl Aliases {
    /// Remembers the upper file of `entry`, inode `id`, which was inode `base`.
    pub fn add(&mut self, base: Identity, entry: &Entry, id: Identity, same: bool) {
        self.marked.insert(base, Marked { entry: entry.clone(), id, same });
    }

    /// Remembers files that have names which were not seen.
    pub fn moved(&mut self, moved: HashMap<Identity, Moved>) {
        self.moved = moved;
    }

    /// All other names of those inodes that are not in the upper directory themselves.
    pub fn find(self, source: &mut Source) -> Result<Vec<Candidate>> {
        let mut found = Vec::new();
        if self.marked.is_empty() && self.moved.is_empty() {
            return Ok(found);
        }
        let mut parents: HashMap<TarPath, Pending> = HashMap::new();
        let mut leaves = Leaves::below(TarPath::root());
        while let Some((path, status)) = leaves.next(&mut source.base)? {
            if status.links() == 1 {
                continue;
            }
            let Some(shown) = source.new.status(&path)? else { continue };
            // What the view shows there is still the lower inode: neither removed nor replaced.
            let untouched = shown.identity().ino == status.identity().ino && shown.ctime() == status.ctime();
            let marked = self.marked.get(&status.identity()).filter(|m| untouched && m.entry.path != path);
            let moved = self.moved.get(&shown.identity()).filter(|moved| !moved.seen.contains(&path));
            let (entry, id, same) = match (marked, moved) {
                (Some(marked), _) => (&marked.entry, marked.id, marked.same),
                (None, Some(moved)) => (&moved.entry, shown.identity(), untouched),
                (None, None) => continue,
            };
            let dir = path.parent().unwrap_or_default();
            let parent = match parents.get(&dir) {
                Some(parent) => parent.clone(),
                None => {
                    let parent = pending(source, &dir)?;
                    parents.insert(dir.clone(), parent.clone());
                    parent
                }
            };
            found.push(Candidate {
                entry: Entry { path, ..entry.clone() },
                id,
                names: shown.links(),
                base: Some((status.identity(), status.links())),
                same,
                change: Change::Modified,
                parent,
            });
        }
        Ok(found)
    }
}

/// The entry of the directory at `path`, for whoever changes something in it.
fn pending(source: &mut Source, path: &TarPath) -> Result<Pending> {
    let pending = Pending::default();
    if let Some(status) = source.new.status(path)? {
        if let Some((kind, meta)) = source.new.object(path, &status)? {
            pending.set(Some((Entry { path: path.clone(), kind, meta }, status.identity().ino)));
        }
    }
    Ok(pending)
}
