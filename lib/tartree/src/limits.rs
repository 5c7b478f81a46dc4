//! How much a tar from another machine may ask for.

/// Bounds of a [`Reader`](crate::Reader). What exceeds one is an error, never cut.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes in one PAX header or GNU long name. Stops a header that wants gigabytes of memory.
    /// 64 attributes of 64 KiB, the most an ext4 inode can hold with `ea_inode`, fit.
    pub header_bytes: u64,
    /// Records in one PAX header. Stops millions of empty records, each an allocation.
    pub records: usize,
    /// Bytes in one name. Longer names cannot be made by any kernel without `chdir` tricks a hundred levels deep.
    pub name_bytes: usize,
    /// Segments of one sparse map. Stops maps larger than the data they describe (CVE-2025-58183).
    pub sparse_segments: usize,
    /// Entries in the whole tar. Stops billions of empty files that compress to nothing.
    pub entries: u64,
    /// Bytes of content in the whole tar, holes not counted. Stops decompression bombs.
    pub content_bytes: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            header_bytes: 8 << 20,
            records: 100_000,
            name_bytes: 1 << 20,
            sparse_segments: 1 << 20,
            entries: u64::MAX,
            content_bytes: u64::MAX,
        }
    }
}
