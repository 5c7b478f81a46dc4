//! Converts a directory tree to a tar and back without loss.
//!
//! To create a tar, [`Walk`] finds the inodes of a tree, and [`Plan`] computes the exact size of
//! their tar before writing it, so that the tar can be written into another tar without a temporary
//! copy. To extract a tar, [`Reader`] turns a stream into entries, and [`Extractor`] turns entries
//! into inodes, which are never outside their [`Root`].
//!
//! # Modules
//!
//! | module | content |
//! |---|---|
//! | `format` | the tar format: headers, PAX records, sparse maps; no I/O on file systems |
//! | `fs` | the file system: opens, lists, inspects, copies and removes inodes by descriptor |
//! | `create` | from a tree to a tar: walk, plan, write |
//! | `extract` | from a tar to a tree: create inodes, write contents, set metadata |
//! | [`parallel`] | all work that uses more than one thread |
//!
//! # The dialect
//!
//! Headers are POSIX.1-2001 `ustar`, preceded by a PAX `x` header only if a value does not fit:
//!
//! | value | form | reason |
//! |---|---|---|
//! | long or non-ASCII names | PAX `path`, `linkpath` (raw bytes; `hdrcharset=BINARY` if not UTF-8) | Go, GNU tar, libarchive and Python read it |
//! | nanoseconds, years before 1970 and after 2242 | PAX `mtime`, sign and magnitude | GNU tar and Go write this form |
//! | uid, gid above 2^21, sizes from 8 GiB | PAX `uid`, `gid`, `size` | base-256 is not POSIX |
//! | extended attributes, ACLs, capabilities | `SCHILY.xattr.NAME`, raw value | podman, GNU tar and bsdtar read it |
//! | attribute names with `=` or `%` | `LIBARCHIVE.xattr.NAME`, base64 | `SCHILY` cannot express them: a reader that splits at `=` would set a wrong name |
//! | holes | GNU sparse 1.0 in PAX | the only form that Go, GNU tar and libarchive all read |
//! | further hard links | type `1`, with the metadata repeated | podman sets the times of the inode from its last link |
//! | removed paths | a `g` header of size 0 whose name is the path | see [`Item::Removal`] |
//!
//! The root of the tree has its own entry, named `./` or `/` ([`RootName`]).

pub mod base64;
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
pub mod parallel;
mod path;

pub use create::{
    Destination, Files, Filter, Found, Plan, ReaderLimits, Sink, SourceTree, Visit, Walk, write_content,
    write_found,
};
pub use entry::{Entry, Kind, Meta, RootName, SparseMap, Timestamp, Xattr};
pub use error::{Error, Result, hint};
pub use exclude::{BadPattern, Exclude};
pub use extract::{Devices, ExtractOptions, Extractor, LayerXattrs, Zeros, extract_tar};
pub use format::{
    Content, Direct, END_OF_ARCHIVE, ENOUGH, Expanded, FileKind, Item, Reader, SKIPPING_BUFFER, Skip, encode,
    encode_aligned, encode_in, padding, read_over, removal_header,
};
pub use fs::{
    Identity, Keep, Passage, Root, Status, map_of_pages, names, next_data, next_hole, open_file,
    read_metadata, transfer, xattr_names, xattrs, xattrs_at,
};
pub use idmap::{IdMap, IdMaps};
pub use limits::{Exceeded, Limit, Limits};
pub use notice::{Notice, Notices, Tally};
pub use path::{Malpath, TarPath};
