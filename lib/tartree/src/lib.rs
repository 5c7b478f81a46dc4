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

mod acl;
mod ahead;
mod attributes;
mod block;
mod capability;
mod capture;
mod content;
mod deferred;
mod descent;
mod entry;
mod error;
mod exclude;
mod extract;
mod glob;
mod holes;
mod idmap;
mod inherited;
mod limits;
mod look_ahead;
mod metadata;
mod mounts;
mod notice;
mod outgoing;
mod path;
mod pax;
mod plan;
mod read;
mod read_ahead;
mod recognise;
mod record;
mod refusal;
mod remove;
mod root;
mod second;
mod sink;
mod skip;
mod sparse;
mod transfer;
mod user_namespace;
mod walk;
mod write;
mod write_behind;
mod zeros;

pub use attributes::{names_of_file as xattr_names, of as xattrs_at, of_file as xattrs};
pub use capture::{Identity, Status, capture, open_file};
pub use content::{write_content, write_found};
pub use descent::names;
pub use entry::{Entry, Kind, Meta, RootName, SparseMap, Timestamp, Xattr};
pub use error::{Error, Result, hint};
pub use exclude::{BadPattern, Exclude};
pub use extract::{Devices, ExtractOptions, Extractor, Zeros, extract_tar};
pub use holes::{map_of_pages, next_data};
pub use idmap::{IdMap, IdMaps};
pub use limits::{Exceeded, Limit, Limits};
pub use notice::{Notice, Notices, Tally};
pub use outgoing::Outgoing;
pub use path::{Malpath, TarPath};
pub use plan::{Files, Place, Plan};
pub use read::{Content, Direct, Expanded, Item, Reader};
pub use recognise::{ENOUGH, FileKind};
pub use remove::Keep;
pub use root::Root;
pub use sink::{Destination, Sink};
pub use skip::{SKIPPING_BUFFER, Skip, read_over};
pub use transfer::{Passage, transfer};
pub use walk::{Filter, Found, Visit, Walk};
pub use write::{END_OF_ARCHIVE, encode, encode_aligned, padding, removal_header};
