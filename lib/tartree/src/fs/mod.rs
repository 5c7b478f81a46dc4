//! The file system: opens, lists, inspects, copies and removes inodes below a root, by descriptor
//! and never through a symbolic link.

pub(crate) mod descent;
pub(crate) mod errno;
pub(crate) mod inherited_acl;
pub(crate) mod kernel_copy;
pub(crate) mod mounts;
pub(crate) mod openat;
pub(crate) mod read_metadata;
pub(crate) mod readdir;
pub(crate) mod remove;
pub(crate) mod root;
pub(crate) mod sparse_map;
pub(crate) mod stat;
pub(crate) mod xattrs;
pub(crate) mod zero_pages;

pub use kernel_copy::{Passage, transfer};
pub use openat::open_file;
pub use read_metadata::read_metadata;
pub use readdir::names;
pub use remove::Keep;
pub use root::Root;
pub use sparse_map::{map_of_pages, next_data, next_hole};
pub use stat::{Identity, Status};
pub use xattrs::{names_of_file as xattr_names, of as xattrs_at, of_file as xattrs};
