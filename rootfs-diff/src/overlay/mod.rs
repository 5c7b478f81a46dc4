//! Overlay mounts: which mount a directory belongs to, and which layer directories that mount
//! reads.
//!
//! The mount options hold the paths that the mounting process used. Since then such a path may lead
//! to another directory, a descriptor named there may be closed, or a later mount may cover the
//! directory. The options are therefore only a hypothesis, which [`mod@identify`] proves: to list the
//! root directory of an overlay, the kernel reads the root directory of every layer, topmost first,
//! and fanotify(7) reports each of these reads.

mod candidates;
mod file_handle;
mod identify;
mod layer_dirs;
mod layer_reads;
pub mod layers;
mod merge;
mod mount;
pub mod mountinfo;
mod namespace;
mod xattrs;

pub(crate) use identify::identify;
pub(crate) use layer_dirs::LayerDirs;
pub(crate) use merge::{merge, open_subdirectory};
pub(crate) use mount::{MountRoot, clone_without_submounts, open_readable};
pub(crate) use namespace::mount_id;
pub(crate) use xattrs::OverlayXattrs;
