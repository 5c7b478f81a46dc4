//! Directory tree to tar stream and back, with nothing lost.
//!
//! The two directions are twins. Out: [`Walk`] finds the objects of a tree, [`Plan`] adds up the
//! exact size of their tar and then writes it, so that a tar can stand inside another tar without a
//! temporary copy. In: [`Reader`] turns a stream into entries, [`Extractor`] turns entries into inodes
//! that never lie outside their [`Root`].
//!
//! # The dialect
//!
//! POSIX.1-2001 `ustar` headers, with a PAX `x` header only where a value does not fit:
//!
//! | what | where | why so |
//! |---|---|---|
//! | long or non-ASCII names | PAX `path`, `linkpath` (raw bytes; `hdrcharset=BINARY` if not UTF-8) | read by Go, GNU tar, libarchive, Python |
//! | nanoseconds, years before 1970 and after 2242 | PAX `mtime`, sign and magnitude | as GNU tar and Go write it |
//! | uid, gid above 2^21, sizes from 8 GiB | PAX `uid`, `gid`, `size` | base-256 is not POSIX |
//! | extended attributes, ACLs, capabilities | `SCHILY.xattr.NAME`, raw value | the form podman, GNU tar and bsdtar read |
//! | attribute names with `=` or `%` | `LIBARCHIVE.xattr.NAME`, base64 | `SCHILY` cannot express them; a reader that splits at `=` would set a wrong name |
//! | holes | GNU sparse 1.0 in PAX | the only form that Go, GNU tar and libarchive all read |
//! | further hard links | type `1`, with the metadata repeated | podman sets the shared inode's times from the last link |
//! | removed paths | a `g` header of size 0 named after the path | see [`Item::Removal`] |
//!
//! The root of the tree is an entry of its own, named `./` or `/` ([`RootName`]).

mod create;
mod dir_xattr_limit;
mod entry;
mod error;
mod exclude;
mod extract;
mod format;
mod fs;
mod glob;
mod idmap;
mod limits;
mod notice;
mod parallel;
mod path;

pub use create::{
    Destination, Files, Filter, Found, Outgoing, Place, Plan, Sink, Visit, Walk, write_content, write_found,
};
pub use entry::{Entry, Kind, Meta, RootName, SparseMap, Timestamp, Xattr};
pub use error::{Error, Result, hint};
pub use exclude::{BadPattern, Exclude};
pub use extract::{Devices, ExtractOptions, Extractor, Zeros, extract_tar};
pub use format::{
    Content, Direct, END_OF_ARCHIVE, ENOUGH, Expanded, FileKind, Item, Reader, SKIPPING_BUFFER, Skip, encode,
    encode_aligned, padding, read_over, removal_header,
};
pub use fs::{
    Identity, Keep, Passage, Root, Status, capture, map_of_pages, names, next_data, open_file, transfer,
    xattr_names, xattrs, xattrs_at,
};
pub use idmap::{IdMap, IdMaps};
pub use limits::{Exceeded, Limit, Limits};
pub use notice::{Notice, Notices, Tally};
pub use path::{Malpath, TarPath};
