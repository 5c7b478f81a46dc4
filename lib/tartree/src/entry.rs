//! One object of a tree, in memory.

use crate::path::TarPath;

/// Seconds and nanoseconds since 1970-01-01 UTC; `nsec` counts forward also before 1970, as `struct timespec` does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    /// Whole seconds, rounded down.
    pub sec: i64,
    /// 0..=999_999_999.
    pub nsec: u32,
}

/// RFC 3339 in UTC, with nanoseconds where there are any. Years beyond four digits are written as they are.
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

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar, by eras of 400 years that start on March 1st.
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

/// An extended attribute: full name with its namespace, and any bytes as value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Xattr {
    /// `user.note`, `system.posix_acl_access`, …
    pub name: Vec<u8>,
    /// Raw value.
    pub value: Vec<u8>,
}

/// The metadata every object has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// Permission bits, 0..=0o7777.
    pub mode: u32,
    /// Owner. In a tar it is a container id; see [`IdMaps`](crate::IdMaps).
    pub uid: u32,
    /// Group, likewise.
    pub gid: u32,
    /// Time of the last change of the content.
    pub mtime: Timestamp,
    /// Extended attributes, ordered by name. ACLs are among them, as `system.posix_acl_*`.
    pub xattrs: Vec<Xattr>,
}

impl Meta {
    /// The value of the attribute `name`.
    pub fn xattr(&self, name: &[u8]) -> Option<&[u8]> {
        self.xattrs.iter().find(|x| x.name == name).map(|x| x.value.as_slice())
    }
}

/// Where the data of a sparse file lies: `(offset, length)`, ascending, not overlapping, none empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SparseMap(pub Vec<(u64, u64)>);

impl SparseMap {
    /// How many bytes are data.
    pub fn data_len(&self) -> u64 {
        self.0.iter().map(|&(_, len)| len).sum()
    }
}

/// What an object is, with what only that kind has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Dir,
    /// A regular file of `size` bytes; with a map, everything outside it is a hole.
    File {
        /// Length of the file, holes included.
        size: u64,
        /// `None`: all of it is data.
        map: Option<SparseMap>,
    },
    /// A symbolic link.
    Symlink {
        /// Any bytes.
        target: Vec<u8>,
    },
    /// Another name of an object that has its entry elsewhere.
    HardLink {
        /// The other name.
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
    /// Returns the length of the file, holes included; 0 for everything else.
    #[expect(clippy::len_without_is_empty, reason = "a length of a file, not of a collection")]
    pub fn len(&self) -> u64 {
        if let Kind::File { size, .. } = self { *size } else { 0 }
    }

    /// How many bytes of content stand in the tar.
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
    /// Its name below the root.
    pub path: TarPath,
    /// What it is.
    pub kind: Kind,
    /// Its metadata.
    pub meta: Meta,
}

impl Entry {
    /// A regular file of `size` bytes owned by root, as the members of an archive are.
    pub fn file(path: TarPath, size: u64, mode: u32, mtime: Timestamp) -> Entry {
        Entry { path, kind: Kind::File { size, map: None }, meta: Meta { mode, mtime, ..Meta::default() } }
    }
}

/// How the root directory's own entry is named.
///
/// containers/storage skips `./` over an existing directory but honours `/`, and CRIU refuses to
/// restore when the root's mode differs ("File . has bad mode"), so a diff that podman shall apply says `/`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RootName {
    /// `./`, as GNU tar and podman's volume tars have it.
    #[default]
    Dot,
    /// `/`.
    Slash,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_as_dates() {
        for (sec, nsec, shown) in [
            (0, 0, "1970-01-01T00:00:00Z"),
            (-1, 500_000_000, "1969-12-31T23:59:59.500000000Z"),
            (951_782_400, 0, "2000-02-29T00:00:00Z"),
            (1_614_834_367, 1, "2021-03-04T05:06:07.000000001Z"),
            (-62_135_596_800, 0, "0001-01-01T00:00:00Z"),
            (253_402_300_800, 0, "10000-01-01T00:00:00Z"),
        ] {
            assert_eq!(Timestamp { sec, nsec }.to_string(), shown);
        }
    }
}
