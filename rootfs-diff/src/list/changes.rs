//! The changes of a diff while it is read. A diff may have a million of them, for which a sorted list
//! needs half the memory of a map.

use std::collections::BTreeMap;

use tartree::TarPath;

use super::lines::KindAndSize;

/// A change and its path.
pub type Change = (TarPath, KindAndSize);

/// Changes in the order of their paths, one for each path.
#[derive(Default)]
pub struct Changes {
    sorted: Vec<Change>,
    /// Changes that were inserted one by one.
    inserted: BTreeMap<TarPath, KindAndSize>,
}

impl Changes {
    /// Sorts the changes. Of several changes of one path, the last one remains.
    pub fn new(changes: Vec<Change>) -> Changes {
        Changes { sorted: sorted(changes), inserted: BTreeMap::new() }
    }

    /// Adds many changes at once.
    pub fn extend(&mut self, changes: Vec<Change>) {
        let mut all = std::mem::take(&mut self.sorted);
        all.extend(changes);
        self.sorted = sorted(all);
    }

    /// Adds a change.
    pub fn insert(&mut self, (path, change): Change) {
        self.inserted.insert(path, change);
    }

    pub fn has(&self, path: &TarPath) -> bool {
        self.inserted.contains_key(path) || self.sorted.binary_search_by(|(known, _)| known.cmp(path)).is_ok()
    }

    /// Returns whether the path or a path below it has changed.
    pub fn has_at_or_below(&self, path: &TarPath) -> bool {
        let first_below = path.child(b"");
        let start = self.sorted.partition_point(|(known, _)| *known < first_below);
        let below = self.sorted.get(start).map(|(path, _)| path);
        let inserted = self.inserted.range(first_below..).next().map(|(path, _)| path);
        self.has(path) || [below, inserted].into_iter().flatten().any(|below| below.starts_with(path))
    }

    pub fn into_sorted(mut self) -> Vec<Change> {
        let inserted = std::mem::take(&mut self.inserted);
        if !inserted.is_empty() {
            self.extend(inserted.into_iter().collect());
        }
        self.sorted
    }
}

fn sorted(mut changes: Vec<Change>) -> Vec<Change> {
    // The sort is stable. `dedup_by` keeps the first of equal elements, so the last one takes its place.
    changes.sort_by(|(a, _), (b, _)| a.cmp(b));
    changes.dedup_by(|later, earlier| {
        let same = later.0 == earlier.0;
        if same {
            earlier.1 = later.1;
        }
        same
    });
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(path: &str, size: u64) -> Change {
        (TarPath::parse(path.as_bytes()).unwrap(), KindAndSize::new('A', Some(size)))
    }

    #[test]
    fn the_last_change_of_a_path_remains() {
        let mut changes = Changes::new(vec![change("b", 1), change("a", 2), change("b", 3)]);
        changes.extend(vec![change("c", 4), change("a", 5), change("c", 6)]);
        changes.insert(change("b", 7));
        changes.insert(change("a/b", 8));
        let expected = [change("a", 5), change("a/b", 8), change("b", 7), change("c", 6)];
        assert_eq!(changes.into_sorted(), expected);
    }

    #[test]
    fn changes_are_found_at_and_below_a_path() {
        let mut changes = Changes::new(vec![change("d/n", 0), change("d.x", 0), change("e/a/b", 0)]);
        changes.insert(change("f/g", 0));
        for (path, at, at_or_below) in [
            ("d", false, true),
            ("d/n", true, true),
            ("d.x", true, true),
            ("d/n/x", false, false),
            ("d.", false, false),
            ("e/a", false, true),
            ("e/a/b", true, true),
            ("e/b", false, false),
            ("f", false, true),
            ("f/g", true, true),
            ("f/h", false, false),
            ("g", false, false),
        ] {
            let path = TarPath::parse(path.as_bytes()).unwrap();
            assert_eq!((changes.has(&path), changes.has_at_or_below(&path)), (at, at_or_below), "{path}");
        }
    }
}
