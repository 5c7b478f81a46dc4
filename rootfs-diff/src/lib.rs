//! Compares two states of a container's root file system and lists the changes.
//!
//! `overlay` opens the layers of an overlay mount, `trees` opens the old and the new tree, and
//! `compare` walks both and reports each `change`.
//!
//! The comparison is exact because the kernel resolves overlayfs: content and metadata come from a
//! merged view, so this crate need not interpret redirects, metacopy files, escaped xattrs or the
//! forms of whiteouts. The upper directory only shows which paths to compare. A file in it is read
//! directly only if the file has no overlay xattr by which the kernel would transform it.

mod change;
mod compare;
mod overlay;
mod trees;

pub use change::{Change, Changes};
pub use compare::{ContentCheck, Options, compare};
pub use overlay::{layers, mountinfo};
pub use trees::{ImageLayers, NewFiles, Trees, TreesError};
