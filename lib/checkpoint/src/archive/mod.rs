//! The archive itself: one tar of members, written once and read in one pass.
//!
//! [`write`](ArchiveWriter) and [`read`](ArchiveReader) are twins and know the same rules: every member stands
//! once, is a regular file, and only CRIU's images and podman's artifacts have directories.

mod read;
mod write;

pub use read::{ArchiveReader, UNKNOWN, Unknown};
pub use write::ArchiveWriter;

/// What CRIU writes into an image directory whose parent is a pre-dump, and what podman makes relative:
/// the only symbolic link in an archive.
pub const PARENT: &[u8] = b"parent";
/// Where it leads.
pub const PARENT_TARGET: &[u8] = b"../pre-checkpoint";
