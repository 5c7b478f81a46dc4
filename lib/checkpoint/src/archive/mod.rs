//! The archive: one tar of members, written and read in one pass.
//!
//! [`ArchiveWriter`] and [`ArchiveReader`] follow the same rules: every member occurs once and is a
//! regular file, and only CRIU's images and podman's artifacts have directories.

mod bytes;
mod growing;
mod layers;
mod member_content;
mod open;
mod pod;
mod pod_file;
mod read;
mod recognize;
mod write;

pub use growing::{Growing, Replacement};
pub use member_content::MemberContent;
pub use open::{ArchiveFile, ImageChoice, Members, OwnedMembers, Reading};
pub use pod::{PodMember, PodPass, PodReader};
pub use pod_file::PodFile;
pub use read::{ArchiveReader, POD_OPTIONS_LATE, Rest, Unknown, is_pod_in_wrong_order, missing};
pub use write::{ArchiveWriter, PagesInput};

/// The link from an image directory to its pre-dump, the only symbolic link in an archive. CRIU
/// creates the link, and podman makes its target relative.
pub const PARENT: &[u8] = b"parent";
/// The target of the link [`PARENT`].
pub const PARENT_TARGET: &[u8] = b"../pre-checkpoint";
