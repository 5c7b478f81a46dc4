//! The entry of a directory that is written only if something in the directory changes.

use std::cell::Cell;
use std::rc::Rc;

use tartree::Entry;

/// A directory entry and its inode number, shared by all changes in the directory. The first change
/// takes the entry, so that it is written once.
#[derive(Clone, Default)]
pub(super) struct PendingEntry(Rc<Cell<Option<(Entry, u64)>>>);

impl PendingEntry {
    pub fn new(entry: Entry, ino: u64) -> PendingEntry {
        PendingEntry(Rc::new(Cell::new(Some((entry, ino)))))
    }

    /// Returns the entry, unless it has been taken before.
    pub fn take(&self) -> Option<(Entry, u64)> {
        self.0.take()
    }
}
