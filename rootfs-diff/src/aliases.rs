//! The other names of a hard link that was changed under `index=on` (R8).
//!
//! With an index only the name that was written to stands in the upper directory; the mounted overlay shows the
//! new content under all of them (overlayfs.rst, "index"). A view of the layers alone shows the old content there.
//! The mark `nlink` on the upper file tells of it, and the old tree knows the other names.

use std::collections::HashMap;
use std::ffi::CString;

use tartree::{Entry, Identity, Result, TarPath};

use crate::compare::{Change, Pending};
use crate::links::Candidate;
use crate::source::Source;

/// Upper files with the mark, by the inode they had in the old tree.
#[derive(Default)]
pub(crate) struct Aliases(HashMap<Identity, Marked>);

struct Marked {
    entry: Entry,
    id: Identity,
    same: bool,
}

impl Aliases {
    /// Remembers the upper file of `entry`, inode `id`, which was inode `base`.
    pub fn add(&mut self, base: Identity, entry: &Entry, id: Identity, same: bool) {
        self.0.insert(base, Marked { entry: entry.clone(), id, same });
    }

    /// All other names of those inodes that are not in the upper directory themselves.
    pub fn find(self, source: &mut Source) -> Result<Vec<Candidate>> {
        let mut found = Vec::new();
        if self.0.is_empty() {
            return Ok(found);
        }
        let mut parents: HashMap<TarPath, Pending> = HashMap::new();
        let mut left: Vec<(TarPath, Vec<CString>)> =
            vec![(TarPath::root(), source.base.names(&TarPath::root())?)];
        while let Some((dir, names)) = left.last_mut() {
            let Some(name) = names.pop() else {
                left.pop();
                continue;
            };
            let path = dir.child(name.to_bytes());
            let Some(status) = source.base.status(&path)? else { continue };
            if status.is_dir() {
                let names = source.base.names(&path)?;
                left.push((path, names));
                continue;
            }
            let Some(marked) = self.0.get(&status.identity()) else { continue };
            // What the view shows there is still the lower inode: neither removed nor replaced.
            let shown = source.new.status(&path)?;
            let untouched = shown.is_some_and(|new| {
                new.identity().ino == status.identity().ino && new.ctime() == status.ctime()
            });
            if path == marked.entry.path || !untouched {
                continue;
            }
            let parent = match parents.get(dir) {
                Some(parent) => parent.clone(),
                None => {
                    let parent = pending(source, dir)?;
                    parents.insert(dir.clone(), parent.clone());
                    parent
                }
            };
            found.push(Candidate {
                entry: Entry { path, ..marked.entry.clone() },
                id: marked.id,
                base: Some((status.identity(), status.links())),
                same: marked.same,
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
