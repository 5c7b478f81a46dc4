//! The tars in an archive: the number and sizes of their entries, and the largest of them.

use std::collections::{BTreeMap, BTreeSet};

use checkpoint::compress::{Bound, Compression};
use checkpoint::tar_input::TarInput;
use checkpoint::whiteout::{Whiteout, Whiteouts};
use serde_json::{Value, json};
use tartree::{Entry, Item, Kind, Limits, Reader, Skip, TarPath};

/// The number of largest files and directories that are kept.
const LARGEST: usize = 10;
/// The depth of the directories whose sizes are added up, and the largest number of them. A hostile
/// tar may have millions of directories.
const DEPTH: usize = 4;
const DIRECTORIES: usize = 1 << 16;

/// The content of a tar.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    pub files: u64,
    pub directories: u64,
    pub others: u64,
    /// The size of all files in bytes.
    pub bytes: u64,
    /// The paths that are deleted, as far as the tar itself says so.
    pub deleted: u64,
    /// The largest files, in ascending order.
    files_by_size: BTreeSet<(u64, TarPath)>,
    sizes: BTreeMap<TarPath, u64>,
}

impl Changes {
    /// Reads the headers of a tar. Files `.wh.NAME` are deletions only if `is_diff` is set.
    ///
    /// # Errors
    /// Returns an error if the content is not a tar.
    pub fn read(
        content: &mut impl Skip,
        is_diff: bool,
        limits: &Limits,
        bound: &Bound,
    ) -> anyhow::Result<Changes> {
        let input = TarInput::skipping(content, bound.clone())?;
        let mut whiteouts = match input.compression() {
            _ if !is_diff => Whiteouts::Literal,
            Compression::None => Whiteouts::Guessed,
            _ => Whiteouts::Named,
        };
        let mut changes = Changes::default();
        let mut reader = Reader::skipping(input, limits.clone());
        while let Some(item) = reader.next()? {
            match item {
                Item::Removal(_) => {
                    whiteouts = Whiteouts::Literal;
                    changes.deleted += 1;
                }
                Item::Entry(entry) => match whiteouts.in_entry(&entry) {
                    Some(Whiteout::Reserved) => {}
                    Some(_) => changes.deleted += 1,
                    None => changes.add(&entry),
                },
            }
        }
        reader.drain()?;
        Ok(changes)
    }

    fn add(&mut self, entry: &Entry) {
        let size = match entry.kind {
            _ if entry.path.is_root() => return,
            Kind::File { .. } => entry.kind.len(),
            Kind::Dir => {
                self.directories += 1;
                return;
            }
            _ => {
                self.others += 1;
                return;
            }
        };
        self.files += 1;
        self.bytes = self.bytes.saturating_add(size);
        if size == 0 {
            return;
        }
        if self.files_by_size.len() < LARGEST
            || self.files_by_size.first().is_some_and(|(least, _)| size > *least)
        {
            self.files_by_size.insert((size, entry.path.clone()));
            if self.files_by_size.len() > LARGEST {
                self.files_by_size.pop_first();
            }
        }
        let depth = entry.path.as_bytes().iter().filter(|&&byte| byte == b'/').count();
        let mut dir = entry.path.parent();
        for depth in (1..=depth).rev() {
            let Some(path) = dir else { return };
            dir = path.parent();
            if depth > DEPTH {
                continue;
            }
            let is_full = self.sizes.len() >= DIRECTORIES;
            match self.sizes.get_mut(&path) {
                Some(sum) => *sum = sum.saturating_add(size),
                None if is_full => {}
                None => {
                    self.sizes.insert(path, size);
                }
            }
        }
    }

    /// Returns the largest files, the largest first.
    pub fn largest_files(&self) -> impl Iterator<Item = (&TarPath, u64)> {
        self.files_by_size.iter().rev().map(|(size, path)| (path, *size))
    }

    /// Returns the largest directories, the largest first. A directory whose content is completely
    /// in one of its directories is not returned.
    pub fn largest_directories(&self) -> Vec<(&TarPath, u64)> {
        let is_in_one = |path: &TarPath, size: u64| {
            // "usr-x" is between "usr" and "usr/lib".
            let prefix = path.as_bytes();
            let below = self.sizes.range(path.clone()..).skip(1);
            let below = below.take_while(|(below, _)| below.as_bytes().starts_with(prefix));
            let mut below = below.filter(|(below, _)| below.parent().as_ref() == Some(path));
            below.any(|(_, sum)| *sum == size)
        };
        let mut all: Vec<_> = self.sizes.iter().map(|(path, size)| (path, *size)).collect();
        all.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        all.into_iter().filter(|(path, size)| !is_in_one(path, *size)).take(LARGEST).collect()
    }

    /// Returns the content as JSON.
    pub fn to_json(&self, deleted: Option<u64>) -> Value {
        let list = |(path, size): (&TarPath, u64)| json!({ "path": format!("/{path}"), "size": size });
        json!({
            "files": self.files, "directories": self.directories, "others": self.others,
            "bytes": self.bytes, "deleted": deleted.unwrap_or(self.deleted),
            "largest_files": self.largest_files().map(list).collect::<Vec<_>>(),
            "largest_directories": self.largest_directories().into_iter().map(list).collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};

    use super::*;
    use tartree::{END_OF_ARCHIVE, RootName, Timestamp};

    fn tar(files: &[(&str, u64)]) -> Vec<u8> {
        let mut tar = Vec::new();
        for (name, size) in files {
            let path = TarPath::parse(name.as_bytes()).unwrap();
            tartree::encode(&mut tar, &Entry::file(path, *size, 0o644, Timestamp::default()), RootName::Dot);
            tar.resize(tar.len() + (*size as usize).next_multiple_of(512), 0);
        }
        [tar, END_OF_ARCHIVE.to_vec()].concat()
    }

    fn read(files: &[(&str, u64)], is_diff: bool) -> Changes {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&tar(files)).unwrap();
        file.rewind().unwrap();
        Changes::read(&mut &file, is_diff, &Limits::default(), &Bound::default()).unwrap()
    }

    #[test]
    fn the_largest_files_and_directories_come_first() {
        let changes = read(&[("usr/lib/a", 700), ("usr/lib/b", 300), ("etc/c", 90), ("d", 1)], true);
        let files: Vec<_> = changes.largest_files().map(|(path, size)| (path.to_string(), size)).collect();
        assert_eq!(files[0], ("usr/lib/a".into(), 700));
        assert_eq!(files.len(), 4);
        let dirs: Vec<_> =
            changes.largest_directories().into_iter().map(|(path, size)| (path.to_string(), size)).collect();
        assert_eq!(dirs, [("usr/lib".into(), 1000), ("etc".into(), 90)]);
        assert_eq!((changes.files, changes.bytes), (4, 1091));
    }

    #[test]
    fn whiteouts_are_deletions_in_a_diff_only() {
        let files = [("etc/.wh.passwd", 0), ("x", 0)];
        assert_eq!((read(&files, true).deleted, read(&files, true).files), (1, 1));
        assert_eq!((read(&files, false).deleted, read(&files, false).files), (0, 2));
    }

    #[test]
    fn many_directories_are_bounded() {
        let mut changes = Changes::default();
        for n in 0..DIRECTORIES + 9 {
            let path = TarPath::parse(format!("{n}/x").as_bytes()).unwrap();
            changes.add(&Entry::file(path, 5, 0o644, Timestamp::default()));
        }
        assert_eq!(changes.sizes.len(), DIRECTORIES);
        assert_eq!(changes.largest_files().count(), LARGEST);
    }
}
