//! The options of a comparison: the paths to leave out, and how to compare content.

use tartree::{Exclude, TarPath};

/// Options of a comparison.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Paths that are skipped, together with everything below them.
    pub exclude: Exclude,
    /// Destinations of mounts. The mount points themselves are compared; a mount hid everything
    /// below them from the container, so it cannot have changed.
    pub mount_points: Vec<TarPath>,
    /// The check for files whose metadata is equal.
    pub content: ContentCheck,
    /// True if a hard link to an unchanged file is written as a file with content. An image layer
    /// needs this, since it is unpacked into a directory that lacks the unchanged file.
    pub self_contained: bool,
}

/// The check that decides whether the content of a file has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ContentCheck {
    /// Reads both files.
    #[default]
    Read,
    /// Trusts equal size and modification time, as podman and rsync do. Does not notice a write
    /// that keeps both.
    TrustMtime,
}
