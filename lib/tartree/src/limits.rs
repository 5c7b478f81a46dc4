//! Limits on the resources that a tar from another host may use.

use std::error::Error;
use std::io;

/// Limits of a [`Reader`](crate::Reader). Exceeding a limit is an error; nothing is truncated.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes in the PAX headers and GNU long names of one entry. Prevents headers from using
    /// gigabytes of memory. The default accepts 64 xattrs of 64 KiB, the most that an ext4 inode
    /// can hold with `ea_inode`.
    pub header_bytes: u64,
    /// Records in the PAX headers of one entry. Prevents millions of empty records, each of which
    /// is an allocation.
    pub records: usize,
    /// Bytes in one name; the default is 16 times PATH_MAX. Prevents paths of a million levels:
    /// each level is a directory to create, and each entry below needs all of them to be resolved.
    pub name_bytes: usize,
    /// Segments of one sparse map. Prevents maps that are larger than the data they describe
    /// (CVE-2025-58183).
    pub sparse_segments: usize,
    /// Entries in the tar. Prevents billions of empty files, which compress to almost nothing but
    /// use up the inodes of the filesystem, and also the memory, because directories are kept until
    /// the end. The default is the number of inodes that mke2fs creates for an ext4 of 256 GiB.
    pub entries: u64,
    /// Bytes of content in the tar, without holes. Prevents a tar from filling the disk. There is
    /// no limit by default, because the sender had to send every byte. Compressed data is limited
    /// where it is decompressed.
    pub content_bytes: u64,
}

impl Limits {
    /// Returns the default limits, but replaces the limits on entries and content by the given
    /// limits.
    pub fn of(entries: Option<u64>, content_bytes: Option<u64>) -> Limits {
        let default = Limits::default();
        Limits {
            entries: entries.unwrap_or(default.entries),
            content_bytes: content_bytes.unwrap_or(default.content_bytes),
            ..default
        }
    }
}

/// A limit: a field of [`Limits`], or a fixed limit that no ordinary tar reaches.
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
    /// [`Limits::content_bytes`], or the bytes of decompressed streams
    ContentBytes,
    /// Directories that have no entry, but are parents in the paths of other entries
    UnnamedDirectories,
    /// Bytes of the xattrs of all directories, which are kept until the end
    DirectoryAttributes,
    /// Memory of a decompressor
    Memory,
}

/// The cause of an error of any type: a limit was exceeded.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct Exceeded {
    limit: Limit,
    what: String,
}

impl Exceeded {
    /// Makes an error for `limit` with the text `what`, which states the value of the limit.
    pub fn new(limit: Limit, what: impl Into<String>) -> Exceeded {
        Exceeded { limit, what: what.into() }
    }

    /// Returns the limit that was exceeded, if that is the cause of `error`. Also searches errors
    /// that are wrapped in I/O errors.
    pub fn in_error(error: &(dyn Error + 'static)) -> Option<Limit> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(exceeded) = error.downcast_ref::<Exceeded>() {
                return Some(exceeded.limit);
            }
            // `source` of an I/O error skips the wrapped error and returns the source of the
            // wrapped error.
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
