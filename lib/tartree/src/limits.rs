//! How much a tar from another machine may ask for.

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
