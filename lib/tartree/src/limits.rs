//! How much a tar from another machine may ask for.

use std::error::Error;
use std::io;

/// Bounds of a [`Reader`](crate::Reader). What exceeds one is an error, never cut.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes in the PAX headers and GNU long names of one entry. Stops headers that want gigabytes of memory.
    /// 64 attributes of 64 KiB, the most an ext4 inode can hold with `ea_inode`, fit.
    pub header_bytes: u64,
    /// Records in the PAX headers of one entry. Stops millions of empty records, each an allocation.
    pub records: usize,
    /// Bytes in one name, 16 times what the kernel takes at once. Stops paths of a million levels: each level is a
    /// directory to make, and each entry below it a walk over all of them.
    pub name_bytes: usize,
    /// Segments of one sparse map. Stops maps larger than the data they describe (CVE-2025-58183).
    pub sparse_segments: usize,
    /// Entries in the whole tar. Stops billions of empty files that compress to nothing, fill the table of inodes and,
    /// since directories are remembered to the end, the memory. The default is every inode of an ext4 of 256 GiB, as
    /// mke2fs makes it.
    pub entries: u64,
    /// Bytes of content in the whole tar, holes not counted. Stops what would fill the disk; no limit by default, since
    /// somebody has sent every byte of a tar. What was compressed is bounded where it is decompressed.
    pub content_bytes: u64,
}

impl Limits {
    /// The default with other bounds of entries and content, where they are given.
    pub fn of(entries: Option<u64>, content_bytes: Option<u64>) -> Limits {
        let default = Limits::default();
        Limits {
            entries: entries.unwrap_or(default.entries),
            content_bytes: content_bytes.unwrap_or(default.content_bytes),
            ..default
        }
    }
}

/// What is bounded: a field of [`Limits`], or what no honest tar has and no caller allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// [`Limits::header_bytes`]
    HeaderBytes,
    /// [`Limits::records`]
    Records,
    /// [`Limits::name_bytes`]
    NameBytes,
    /// [`Limits::sparse_segments`]
    SparseSegments,
    /// [`Limits::entries`]
    Entries,
    /// [`Limits::content_bytes`], or what a compressed stream gives.
    ContentBytes,
    /// Directories that only stand on the way to others.
    UnnamedDirectories,
    /// Attributes of directories, kept until the end.
    DirectoryAttributes,
    /// Memory of a decompressor.
    Memory,
}

/// A bound that was exceeded: the cause in an error of any type.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct Exceeded {
    limit: Limit,
    what: String,
}

impl Exceeded {
    /// `what` names the bound with its value.
    pub fn new(limit: Limit, what: impl Into<String>) -> Exceeded {
        Exceeded { limit, what: what.into() }
    }

    /// The limit that `error` is about, if it is about one. Errors within those of reading are looked at, too.
    pub fn in_error(error: &(dyn Error + 'static)) -> Option<Limit> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(exceeded) = error.downcast_ref::<Exceeded>() {
                return Some(exceeded.limit);
            }
            // An error of reading names as its source that of the error it holds.
            next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
                Some(held) => Some(held),
                None => error.source(),
            };
        }
        None
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            header_bytes: 8 << 20,
            records: 100_000,
            name_bytes: 64 << 10,
            sparse_segments: 1 << 20,
            entries: 1 << 24,
            content_bytes: u64::MAX,
        }
    }
}
