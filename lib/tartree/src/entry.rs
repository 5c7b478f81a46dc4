//! The entry of an inode: its path, kind and metadata.

use crate::path::TarPath;

/// Seconds and nanoseconds since 1970-01-01 UTC; `nsec` counts forward also before 1970, as `struct
/// timespec` does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    /// Whole seconds, rounded down.
    pub sec: i64,
    /// 0..=999_999_999.
    pub nsec: u32,
}

/// Formats the time as RFC 3339 in UTC, with nanoseconds unless they are zero. Years of more than
/// four digits are not truncated.
impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (days, seconds) = (self.sec.div_euclid(86_400), self.sec.rem_euclid(86_400));
        let (year, month, day) = civil(days);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60
        )?;
        if self.nsec != 0 {
            write!(f, ".{:09}", self.nsec)?;
        }
        f.write_str("Z")
    }
}

/// Converts days since 1970-01-01 to year, month and day of the Gregorian calendar. Counts in eras
/// of 400 years that start on March 1st, so that the leap day is the last day of a year.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// An extended attribute. The value may be any bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Xattr {
    /// The full name with its namespace: `user.note`, `system.posix_acl_access`, …
    pub name: Vec<u8>,
    /// The value as the kernel returns it.
    pub value: Vec<u8>,
}

/// The metadata that every inode has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// Permission bits, 0..=0o7777.
    pub mode: u32,
    /// Owner. In a tar, the owner is a container ID; see [`IdMaps`](crate::IdMaps).
    pub uid: u32,
    /// Group. In a tar, the group is a container ID.
    pub gid: u32,
    /// Time of the last change of the content.
    pub mtime: Timestamp,
    /// Extended attributes, ordered by name. They include ACLs, as `system.posix_acl_*`.
    pub xattrs: Vec<Xattr>,
}

impl Meta {
    /// Returns the value of the extended attribute `name`.
    pub fn xattr(&self, name: &[u8]) -> Option<&[u8]> {
        self.xattrs.iter().find(|x| x.name == name).map(|x| x.value.as_slice())
    }
}

/// The segments of a sparse file that hold data: `(offset, length)`, in ascending order. Segments
/// do not overlap, and no segment is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SparseMap(pub Vec<(u64, u64)>);

impl SparseMap {
    /// Returns the number of data bytes.
    pub fn data_len(&self) -> u64 {
        self.0.iter().map(|&(_, len)| len).sum()
    }
}

/// The type of an inode, with the values that only this type has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Dir,
    /// A regular file. If it has a map, everything outside the map is a hole.
    File {
        /// Length of the file in bytes, including holes.
        size: u64,
        /// The segments that hold data; `None` if the file has no holes.
        map: Option<SparseMap>,
    },
    /// A symbolic link.
    Symlink {
        /// The target, which may be any bytes.
        target: Vec<u8>,
    },
    /// Another name of an inode. An earlier entry of the tar holds the inode.
    HardLink {
        /// The path of the entry that holds the inode.
        target: TarPath,
    },
    /// A character device.
    Char {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    Block {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
}

impl Kind {
    /// Returns the length of a file in bytes, including holes; 0 for everything else.
    #[expect(clippy::len_without_is_empty, reason = "a length of a file, not of a collection")]
    pub fn len(&self) -> u64 {
        if let Kind::File { size, .. } = self { *size } else { 0 }
    }

    /// Returns the number of content bytes that the tar stores.
    pub fn data_len(&self) -> u64 {
        match self {
            Kind::File { map: Some(map), .. } => map.data_len(),
            Kind::File { size, map: None } => *size,
            _ => 0,
        }
    }
}

/// One entry of a tar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The path below the root.
    pub path: TarPath,
    /// The type of the inode.
    pub kind: Kind,
    /// The metadata of the inode.
    pub meta: Meta,
}

impl Entry {
    /// Returns the entry of a regular file of `size` bytes that belongs to root, like the members
    /// of an archive.
    pub fn file(path: TarPath, size: u64, mode: u32, mtime: Timestamp) -> Entry {
        Entry { path, kind: Kind::File { size, map: None }, meta: Meta { mode, mtime, ..Meta::default() } }
    }
}

/// The name of the root directory's own entry.
///
/// If the directory exists, containers/storage ignores an entry `./` but applies an entry `/`. CRIU
/// refuses to restore if the mode of the root differs ("File . has bad mode"). So a diff for podman
/// names the root `/`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RootName {
    /// `./`, as in tars of GNU tar and in podman's tars of volumes.
    #[default]
    Dot,
    /// `/`.
    Slash,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_displayed_as_dates() {
        for (sec, nsec, shown) in [
            (0, 0, "1970-01-01T00:00:00Z"),
            (-1, 0, "1969-12-31T23:59:59Z"),
            (-1, 500_000_000, "1969-12-31T23:59:59.500000000Z"),
            (951_782_400, 0, "2000-02-29T00:00:00Z"),
            (1_614_834_367, 1, "2021-03-04T05:06:07.000000001Z"),
            (1_795_448_237, 0, "2026-11-23T15:37:17Z"),
            (-62_135_596_800, 0, "0001-01-01T00:00:00Z"),
            (253_402_300_800, 0, "10000-01-01T00:00:00Z"),
        ] {
            assert_eq!(Timestamp { sec, nsec }.to_string(), shown);
        }
    }
}
