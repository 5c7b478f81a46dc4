//! The tar format: headers, PAX records, sparse maps, and the xattrs of ACLs and capabilities. This
//! module does no I/O on filesystems.

pub(crate) mod acl;
pub(crate) mod capability;
pub(crate) mod encode;
pub(crate) mod file_kind;
pub(crate) mod header;
pub(crate) mod pax;
pub(crate) mod raw_header;
pub(crate) mod reader;
pub(crate) mod skip;
pub(crate) mod sparse;

pub use encode::{END_OF_ARCHIVE, encode, encode_aligned, encode_in, padding, removal_header};
pub use file_kind::{ENOUGH, FileKind};
pub use reader::{Content, Direct, Expanded, Item, Reader};
pub use skip::{SKIPPING_BUFFER, Skip, read_over};
