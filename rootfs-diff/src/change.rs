//! The changes that a comparison reports.

use tartree::{Entry, SourceTree, Status, TarPath};

/// The kind of difference at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The path is only in the new tree.
    Added,
    /// The path is in both trees, with a difference.
    Modified,
    /// Only the content of the directory changed. A tar must repeat the directory's times, which
    /// are lost when a file in it is added, changed or removed.
    Touched,
}

/// Receives the changes, in an order in which a tar can hold them.
pub trait Changes {
    /// Receives a path that needs an entry. `ino` is its inode number in the new tree.
    /// `source_tree` is the tree from which its content is read (see
    /// [`Trees::into_new_files`](crate::Trees::into_new_files)).
    fn entry(&mut self, entry: Entry, ino: u64, source_tree: SourceTree, change: Change);

    /// Receives a path that was removed, and its status in the old tree.
    fn removed(&mut self, path: TarPath, was: &Status);

    /// Receives a directory that must be removed and made again, because a tar entry cannot remove
    /// an xattr. The entries of the directory and of everything in it follow.
    fn replaced(&mut self, path: &TarPath);
}
