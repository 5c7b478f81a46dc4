//! Packs the metadata of directories, because a tar may have millions of directories, whose
//! metadata is set only after all their content exists.

use crate::dir_xattr_limit::DirXattrLimit;
use crate::entry::{Entry, Kind, Meta, Timestamp, Xattr};
use crate::error::Result;
use crate::path::TarPath;

#[derive(Default)]
pub(crate) struct DirMetadata {
    /// The path and the xattrs of each directory.
    bytes: Vec<u8>,
    dirs: Vec<Dir>,
    kept: DirXattrLimit,
}

/// The fields of a directory except path and xattrs.
struct Dir {
    start: usize,
    path: u32,
    xattrs: u32,
    mode: u16,
    /// Whether the directory existed before or was created below a default ACL. If so, ACLs that
    /// the entry does not have are removed.
    may_have_acls: bool,
    uid: u32,
    gid: u32,
    nsec: u32,
    sec: i64,
}

impl DirMetadata {
    /// Stores the metadata of a directory.
    ///
    /// # Errors
    /// Returns an error if the xattrs of all directories exceed the limit.
    pub fn push(&mut self, entry: &Entry, may_have_acls: bool) -> Result<()> {
        let Meta { mode, uid, gid, mtime, xattrs } = &entry.meta;
        self.kept.add(entry)?;
        let start = self.bytes.len();
        let path = entry.path.as_bytes();
        self.bytes.extend_from_slice(path);
        for Xattr { name, value } in xattrs {
            self.string(name);
            self.string(value);
        }
        self.dirs.push(Dir {
            start,
            // The limits of the reader keep both far below 4 GiB.
            path: path.len() as u32,
            xattrs: xattrs.len() as u32,
            mode: *mode as u16,
            may_have_acls,
            uid: *uid,
            gid: *gid,
            nsec: mtime.nsec,
            sec: mtime.sec,
        });
        Ok(())
    }

    /// Returns the directories, deepest first, each with whether it may have ACLs that its entry
    /// does not have. If a directory has several entries, returns only the last entry.
    pub fn deepest_first(mut self) -> impl Iterator<Item = (Entry, bool)> {
        let bytes = std::mem::take(&mut self.bytes);
        let path = |dir: &Dir| &bytes[dir.start..dir.start + dir.path as usize];
        // Regular tars are already in order, so sorting moves nothing.
        self.dirs.reverse();
        self.dirs.sort_unstable_by(|a, b| path(b).cmp(path(a)).then(b.start.cmp(&a.start)));
        self.dirs.dedup_by(|earlier, last| {
            let again = path(earlier) == path(last);
            last.may_have_acls |= again && earlier.may_have_acls;
            again
        });
        self.dirs.into_iter().map(move |dir| (entry(&bytes, &dir), dir.may_have_acls))
    }

    fn string(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        self.bytes.extend_from_slice(bytes);
    }
}

fn entry(bytes: &[u8], dir: &Dir) -> Entry {
    let mut rest = &bytes[dir.start..];
    let mut take = |len: usize| {
        let (taken, after) = rest.split_at(len);
        rest = after;
        taken
    };
    let path = TarPath::of_clean(take(dir.path as usize));
    let mut string = || {
        let mut len = [0; 8];
        len.copy_from_slice(take(8));
        take(u64::from_le_bytes(len) as usize).to_vec()
    };
    let xattrs = (0..dir.xattrs).map(|_| Xattr { name: string(), value: string() }).collect();
    let mtime = Timestamp { sec: dir.sec, nsec: dir.nsec };
    let meta = Meta { mode: u32::from(dir.mode), uid: dir.uid, gid: dir.gid, mtime, xattrs };
    Entry { path, kind: Kind::Dir, meta }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir(path: &str, mode: u32, value: &[u8]) -> Entry {
        let xattrs = vec![
            Xattr { name: b"user.a".to_vec(), value: value.to_vec() },
            Xattr { name: b"user.b".to_vec(), value: Vec::new() },
        ];
        let mtime = Timestamp { sec: -5, nsec: 7 };
        let meta = Meta { mode, uid: 1, gid: u32::MAX - 1, mtime, xattrs };
        let path = if path.is_empty() { TarPath::root() } else { TarPath::parse(path.as_bytes()).unwrap() };
        Entry { path, kind: Kind::Dir, meta }
    }

    #[test]
    fn directories_are_returned_deepest_first_and_the_last_wins() {
        let mut dirs = DirMetadata::default();
        for (entry, inherited) in [
            (dir("", 0o755, b"root"), false),
            (dir("a", 0o700, b"first"), true),
            (dir("a/b", 0o7777, b"\0/\n"), false),
            (dir("a", 0o711, b"last"), false),
            (dir("c", 0o755, &[b'x'; 70_000]), false),
        ] {
            dirs.push(&entry, inherited).unwrap();
        }
        let all: Vec<_> = dirs.deepest_first().collect();
        let expected = [
            (dir("c", 0o755, &[b'x'; 70_000]), false),
            (dir("a/b", 0o7777, b"\0/\n"), false),
            (dir("a", 0o711, b"last"), true),
            (dir("", 0o755, b"root"), false),
        ];
        assert_eq!(all, expected);
    }

    #[test]
    fn the_memory_for_directory_metadata_is_limited() {
        let mut dirs = DirMetadata::default();
        let large = dir("d", 0o755, &vec![0; 8 << 20]);
        let kept = (0..100).take_while(|_| dirs.push(&large, false).is_ok()).count();
        assert_eq!(kept, 7);
        assert!(size_of::<Dir>() <= 48);
    }
}
