//! Packs the entries of a plan into few bytes each, since a plan may have millions of entries.
//!
//! Numbers are LEB128. A path is stored as the length of the prefix that it shares with the
//! previous path, and the rest of the path. A record therefore takes about 30 bytes plus the last
//! component of its path.

use crate::entry::{Entry, Kind, Meta, RootName, SparseMap, Timestamp, Xattr};
use crate::path::TarPath;

/// Flags in the first byte of an entry, which also holds its kind.
const SLASH: u8 = 0x80;
const SECONDARY: u8 = 0x40;

/// The tree that holds the inode of a planned entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceTree {
    /// The source of the plan.
    Primary,
    /// A second tree, which has the inode at the same path; see [`Files`](crate::Files).
    Secondary,
}

/// One planned entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    Entry {
        entry: Entry,
        root: RootName,
        /// Inode number, to detect that the path names another inode when the file is read.
        ino: u64,
        source_tree: SourceTree,
    },
    Removal(TarPath),
    /// An empty file that is not in the source; see
    /// [`Plan::add_tombstone`](crate::Plan::add_tombstone).
    Tombstone(TarPath),
}

/// Packed records.
#[derive(Default)]
pub(crate) struct Records {
    bytes: Vec<u8>,
    /// The path of the last record.
    last: Vec<u8>,
}

impl Records {
    /// Appends a record.
    pub fn push(&mut self, record: &Record) {
        match record {
            Record::Removal(path) => {
                self.bytes.push(0);
                self.path(path);
            }
            Record::Tombstone(path) => {
                self.bytes.push(9);
                self.path(path);
            }
            Record::Entry { entry, root, ino, source_tree } => {
                let kind = match &entry.kind {
                    Kind::Dir => 1,
                    Kind::File { map: None, .. } => 2,
                    Kind::File { map: Some(_), .. } => 3,
                    Kind::Symlink { .. } => 4,
                    Kind::HardLink { .. } => 5,
                    Kind::Char { .. } => 6,
                    Kind::Block { .. } => 7,
                    Kind::Fifo => 8,
                };
                let slash = if *root == RootName::Slash { SLASH } else { 0 };
                let secondary = if *source_tree == SourceTree::Secondary { SECONDARY } else { 0 };
                self.bytes.push(kind | slash | secondary);
                self.path(&entry.path);
                self.meta(&entry.meta);
                self.number(*ino);
                match &entry.kind {
                    Kind::File { size, map } => {
                        self.number(*size);
                        if let Some(SparseMap(segments)) = map {
                            self.number(segments.len() as u64);
                            for &(offset, len) in segments {
                                self.number(offset);
                                self.number(len);
                            }
                        }
                    }
                    Kind::Symlink { target } => self.string(target),
                    Kind::HardLink { target } => self.string(target.as_bytes()),
                    Kind::Char { major, minor } | Kind::Block { major, minor } => {
                        self.number(u64::from(*major));
                        self.number(u64::from(*minor));
                    }
                    Kind::Dir | Kind::Fifo => {}
                }
            }
        }
    }

    fn path(&mut self, path: &TarPath) {
        let path = path.as_bytes();
        let shared = self.last.iter().zip(path).take_while(|(a, b)| a == b).count();
        self.number(shared as u64);
        self.string(&path[shared..]);
        self.last.truncate(shared);
        self.last.extend_from_slice(&path[shared..]);
    }

    fn meta(&mut self, meta: &Meta) {
        self.number(u64::from(meta.mode));
        self.number(u64::from(meta.uid));
        self.number(u64::from(meta.gid));
        // Zigzag encoding keeps small negative numbers, which are years before 1970, short.
        self.number((meta.mtime.sec << 1 ^ meta.mtime.sec >> 63) as u64);
        self.number(u64::from(meta.mtime.nsec));
        self.number(meta.xattrs.len() as u64);
        for Xattr { name, value } in &meta.xattrs {
            self.string(name);
            self.string(value);
        }
    }

    fn string(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
    }

    fn number(&mut self, mut n: u64) {
        while n >= 0x80 {
            self.bytes.push(n as u8 | 0x80);
            n >>= 7;
        }
        self.bytes.push(n as u8);
    }

    /// Returns the records in the order in which they were appended.
    pub fn iter(&self) -> RecordIter<'_> {
        RecordIter { rest: &self.bytes, last: Vec::new() }
    }
}

/// Unpacks records. All records come from [`Records::push`], so they cannot be truncated.
pub(crate) struct RecordIter<'a> {
    rest: &'a [u8],
    last: Vec<u8>,
}

impl RecordIter<'_> {
    fn byte(&mut self) -> u8 {
        let (&first, rest) = self.rest.split_first().unwrap_or((&0, &[]));
        self.rest = rest;
        first
    }

    fn number(&mut self) -> u64 {
        let (mut n, mut shift) = (0, 0);
        loop {
            let byte = self.byte();
            n |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return n;
            }
            shift += 7;
        }
    }

    fn small(&mut self) -> u32 {
        self.number() as u32
    }

    fn string(&mut self) -> Vec<u8> {
        let len = self.number() as usize;
        let (string, rest) = self.rest.split_at(len);
        self.rest = rest;
        string.to_vec()
    }

    fn path(&mut self) -> TarPath {
        let shared = self.number() as usize;
        let rest = self.string();
        self.last.truncate(shared);
        self.last.extend_from_slice(&rest);
        TarPath::root().child(&self.last)
    }

    fn meta(&mut self) -> Meta {
        let (mode, uid, gid) = (self.small(), self.small(), self.small());
        let zigzag = self.number();
        let sec = (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64);
        let mtime = Timestamp { sec, nsec: self.small() };
        let count = self.number();
        let xattrs = (0..count).map(|_| Xattr { name: self.string(), value: self.string() }).collect();
        Meta { mode, uid, gid, mtime, xattrs }
    }
}

impl Iterator for RecordIter<'_> {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        if self.rest.is_empty() {
            return None;
        }
        let tag = self.byte();
        let path = self.path();
        match tag {
            0 => return Some(Record::Removal(path)),
            9 => return Some(Record::Tombstone(path)),
            _ => {}
        }
        let meta = self.meta();
        let ino = self.number();
        let kind = match tag & !(SLASH | SECONDARY) {
            1 => Kind::Dir,
            2 => Kind::File { size: self.number(), map: None },
            3 => {
                let size = self.number();
                let count = self.number();
                let segments = (0..count).map(|_| (self.number(), self.number())).collect();
                Kind::File { size, map: Some(SparseMap(segments)) }
            }
            4 => Kind::Symlink { target: self.string() },
            5 => Kind::HardLink { target: TarPath::root().child(&self.string()) },
            6 => Kind::Char { major: self.small(), minor: self.small() },
            7 => Kind::Block { major: self.small(), minor: self.small() },
            _ => Kind::Fifo,
        };
        let root = if tag & SLASH != 0 { RootName::Slash } else { RootName::Dot };
        let source_tree = if tag & SECONDARY != 0 { SourceTree::Secondary } else { SourceTree::Primary };
        Some(Record::Entry { entry: Entry { path, kind, meta }, root, ino, source_tree })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unpacked_records_equal_the_packed_records() {
        let path = |s: &str| TarPath::parse(s.as_bytes()).unwrap();
        let meta = Meta {
            mode: 0o7777,
            uid: u32::MAX - 1,
            gid: 7,
            mtime: Timestamp { sec: -62_000_000_000, nsec: 999_999_999 },
            xattrs: vec![Xattr { name: b"user.x".to_vec(), value: b"\0\xff".to_vec() }],
        };
        let entry = |name: &str, kind| Record::Entry {
            entry: Entry { path: path(name), kind, meta: meta.clone() },
            root: RootName::Slash,
            ino: u64::MAX,
            source_tree: if name.len() == 1 { SourceTree::Secondary } else { SourceTree::Primary },
        };
        let all = [
            Record::Removal(path("a/gone")),
            Record::Tombstone(path("a/link")),
            entry("/", Kind::Dir),
            entry("a/b", Kind::File { size: 1 << 50, map: None }),
            entry("a/bc", Kind::File { size: 9, map: Some(SparseMap(vec![(0, 1), (5, 4)])) }),
            entry("a/l", Kind::Symlink { target: b"\xff/..".to_vec() }),
            entry("b", Kind::HardLink { target: path("a/b") }),
            entry("c", Kind::Char { major: 4095, minor: 1 << 19 }),
            entry("d", Kind::Block { major: 8, minor: 0 }),
            entry("e", Kind::Fifo),
        ];
        let mut records = Records::default();
        for record in &all {
            records.push(record);
        }
        assert_eq!(records.iter().collect::<Vec<_>>(), all);
    }
}
