//! Decides which names of an inode need no entry, which get an entry with the content, and which
//! get a hard link entry.
//!
//! The names of one inode of the new tree form a group. A name needs no entry if three conditions
//! hold: nothing about it changed; all names of its group that need no entry had one inode in the
//! old tree; and no other group of the new tree keeps a name of that old inode. Every other name
//! becomes a hard link to a name that needs no entry. If there is no such name, the first name gets
//! the entry with the content, and the other names become hard links to the first name.

use std::collections::{HashMap, HashSet};

use tartree::{Entry, Identity, Kind, Status, TarPath};

use super::pending::PendingEntry;
use crate::change::Change;

/// A path whose inode has several names in the old or in the new tree.
pub(super) struct LinkedName {
    pub entry: Entry,
    /// Inode in the new tree.
    pub id: Identity,
    /// Number of names in the new tree.
    pub names: u32,
    /// Inode and number of names in the old tree.
    pub old: Option<(Identity, u32)>,
    /// True if nothing changed, except possibly which other names share the inode.
    pub same: bool,
    pub change: Change,
    /// The entry of the parent directory, if no other change has taken it yet.
    pub parent: PendingEntry,
}

/// The entry of a name, which is a hard link or holds the content.
pub(super) struct LinkEntry {
    pub entry: Entry,
    pub ino: u64,
    pub change: Change,
    pub parent: PendingEntry,
}

/// A new inode of which only some names were compared.
pub(super) struct PartlySeen {
    pub entry: Entry,
    /// Number of names in the new tree.
    pub names: u32,
    /// The names that were compared.
    pub seen: HashSet<TarPath>,
}

impl PartlySeen {
    fn has_more(&self) -> bool {
        self.seen.len() < self.names as usize
    }
}

/// All names of inodes with several names.
#[derive(Default)]
pub(super) struct HardLinks {
    names: Vec<LinkedName>,
    /// Number of names of each old inode that were compared.
    compared: HashMap<Identity, u32>,
    /// True if only names in the upper directory were compared. All other names are unchanged and
    /// keep their inode.
    only_upper: bool,
    /// True if all names of a group get an entry as soon as one name of the group needs an entry.
    self_contained: bool,
}

impl HardLinks {
    pub fn new(only_upper: bool, self_contained: bool) -> HardLinks {
        HardLinks { only_upper, self_contained, ..HardLinks::default() }
    }

    /// Adds a name that was compared.
    pub fn add(&mut self, name: LinkedName) {
        if let Some((id, _)) = name.old {
            *self.compared.entry(id).or_default() += 1;
        }
        self.names.push(name);
    }

    /// Adds a name that a walk of the complete old tree found. After such a walk, all names of the
    /// old inode count as compared.
    pub fn add_found(&mut self, name: LinkedName) {
        if let Some((id, names)) = name.old {
            self.compared.insert(id, names);
        }
        self.names.push(name);
    }

    /// Adds a name that was removed.
    pub fn add_removed(&mut self, was: &Status) {
        if was.links() > 1 && !was.is_dir() {
            *self.compared.entry(was.identity()).or_default() += 1;
        }
    }

    /// Returns how many names of an old inode were compared.
    pub fn compared(&self, id: Identity) -> u32 {
        self.compared.get(&id).copied().unwrap_or(0)
    }

    /// Returns the new inodes that have both a changed name and names that were not compared. The
    /// names that were not compared may exist in the old tree too.
    pub fn partly_seen(&self) -> HashMap<Identity, PartlySeen> {
        let mut groups: HashMap<Identity, (PartlySeen, bool)> = HashMap::new();
        for name in self.names.iter().filter(|_| self.only_upper) {
            let new = || PartlySeen { entry: name.entry.clone(), names: name.names, seen: HashSet::new() };
            let (group, has_changed) = groups.entry(name.id).or_insert_with(|| (new(), false));
            group.seen.insert(name.entry.path.clone());
            *has_changed |= !name.same;
        }
        let partly = groups.into_iter().filter(|(_, (group, has_changed))| *has_changed && group.has_more());
        partly.map(|(id, (group, _))| (id, group)).collect()
    }

    /// Returns the entries to write. A hard link follows the entry to which it links.
    pub fn into_entries(self) -> Vec<LinkEntry> {
        let HardLinks { names, compared, only_upper, self_contained } = self;
        // Groups are in the order of their first name; names are in the order in which they were
        // added.
        let mut order: Vec<Identity> = Vec::new();
        let mut groups: HashMap<Identity, Vec<LinkedName>> = HashMap::new();
        for name in names {
            let group = groups.entry(name.id).or_default();
            if group.is_empty() {
                order.push(name.id);
            }
            group.push(name);
        }
        // The group that keeps the names of each old inode.
        let mut keepers: HashMap<Identity, Identity> = HashMap::new();
        let mut entries = Vec::new();
        for id in order {
            let group = groups.remove(&id).unwrap_or_default();
            let mut kept_inode: Option<Identity> = None;
            // True for each name that needs no entry.
            let mut kept = Vec::new();
            for name in &group {
                let Some((old, names)) = name.old.filter(|_| name.same) else {
                    kept.push(false);
                    continue;
                };
                // A name that was not compared still has the old inode, and is not in this group.
                let is_claimed = only_upper && compared.get(&old).copied().unwrap_or(0) < names;
                let is_free = keepers.get(&old).is_none_or(|keeper| *keeper == id);
                let keep = !is_claimed && is_free && kept_inode.is_none_or(|inode| inode == old);
                if keep {
                    kept_inode = Some(old);
                }
                kept.push(keep);
            }
            if self_contained && kept.contains(&false) {
                kept.fill(false);
                kept_inode = None;
            }
            if let Some(old) = kept_inode {
                keepers.insert(old, id);
            }
            let target = kept.iter().position(|&keep| keep).unwrap_or(0);
            let target_path = group.get(target).map(|name| name.entry.path.clone()).unwrap_or_default();
            for (at, (name, keep)) in group.into_iter().zip(&kept).enumerate() {
                if *keep {
                    continue;
                }
                let mut entry = name.entry;
                if at != target {
                    entry.kind = Kind::HardLink { target: target_path.clone() };
                }
                entries.push(LinkEntry { entry, ino: id.ino, change: name.change, parent: name.parent });
            }
        }
        entries
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::fs::{self, File};
    use std::os::fd::AsFd;

    use tartree::Meta;

    use super::*;

    fn id(ino: u64) -> Identity {
        Identity { dev: (0, 0), ino }
    }

    /// A name that was compared: the path; the inode and the number of names in the new tree; both
    /// in the old tree; and whether the name is unchanged.
    type Name = (&'static str, (u64, u32), Option<(u64, u32)>, bool);

    /// The options of the comparison, the names, and the expected paths.
    type Case = ((bool, bool), &'static [Name], &'static [&'static str]);

    fn linked((path, (ino, names), old, same): Name) -> LinkedName {
        let path = TarPath::parse(path.as_bytes()).unwrap();
        let entry = Entry { path, kind: Kind::Fifo, meta: Meta::default() };
        let old = old.map(|(ino, names)| (id(ino), names));
        let parent = PendingEntry::default();
        LinkedName { entry, id: id(ino), names, old, same, change: Change::Modified, parent }
    }

    fn links((only_upper, self_contained): (bool, bool), names: &[Name]) -> HardLinks {
        let mut links = HardLinks::new(only_upper, self_contained);
        names.iter().for_each(|name| links.add(linked(*name)));
        links
    }

    /// Returns the entries as `path`, or `path -> target` for a hard link.
    fn entries(links: HardLinks) -> Vec<String> {
        let text = |link: LinkEntry| match link.entry.kind {
            Kind::HardLink { target } => format!("{} -> {target}", link.entry.path),
            _ => link.entry.path.to_string(),
        };
        links.into_entries().into_iter().map(text).collect()
    }

    const ALL: (bool, bool) = (false, false);
    const UPPER: (bool, bool) = (true, false);
    const SELF_CONTAINED: (bool, bool) = (false, true);

    #[test]
    fn a_name_needs_an_entry_unless_it_keeps_its_inode() {
        let cases: &[Case] = &[
            (ALL, &[("a", (1, 2), Some((9, 2)), true), ("b", (1, 2), Some((9, 2)), true)], &[]),
            (ALL, &[("a", (1, 2), None, false), ("b", (1, 2), None, false)], &["a", "b -> a"]),
            (ALL, &[("a", (1, 2), Some((9, 1)), true), ("b", (1, 2), None, false)], &["b -> a"]),
            (ALL, &[("a", (1, 2), None, false), ("b", (1, 2), Some((9, 1)), true)], &["a -> b"]),
            // Two inodes became one.
            (ALL, &[("a", (1, 2), Some((8, 1)), true), ("b", (1, 2), Some((9, 1)), true)], &["b -> a"]),
            // One inode became two. Only one of them keeps the old inode.
            (ALL, &[("a", (1, 1), Some((9, 2)), true), ("b", (2, 1), Some((9, 2)), true)], &["b"]),
            (
                ALL,
                &[
                    ("a", (1, 1), Some((9, 3)), true),
                    ("b", (2, 3), Some((9, 3)), true),
                    ("c", (2, 3), Some((8, 1)), true),
                    ("d", (2, 3), Some((9, 3)), true),
                ],
                &["b -> c", "d -> c"],
            ),
            (ALL, &[("a", (1, 1), Some((9, 2)), true)], &[]),
            // The groups are in the order of their first names.
            (
                ALL,
                &[("a", (2, 2), None, false), ("b", (1, 1), None, false), ("c", (2, 2), None, false)],
                &["a", "c -> a", "b"],
            ),
            // The name that was not compared keeps the old inode.
            (UPPER, &[("a", (1, 1), Some((9, 2)), true)], &["a"]),
            (UPPER, &[("a", (1, 1), Some((9, 1)), true)], &[]),
            (UPPER, &[("a", (1, 2), Some((9, 2)), true), ("b", (1, 2), Some((9, 2)), true)], &[]),
            (
                UPPER,
                &[("a", (1, 2), Some((9, 3)), true), ("b", (1, 2), Some((9, 3)), true)],
                &["a", "b -> a"],
            ),
            // In a layer, no entry may link to a name without an entry.
            (
                SELF_CONTAINED,
                &[
                    ("a", (1, 2), Some((9, 2)), true),
                    ("b", (1, 2), None, false),
                    ("c", (2, 1), Some((9, 2)), true),
                ],
                &["a", "b -> a"],
            ),
            (SELF_CONTAINED, &[("a", (1, 2), Some((9, 2)), true), ("b", (1, 2), Some((9, 2)), true)], &[]),
        ];
        for (options, names, expected) in cases {
            assert_eq!(entries(links(*options, names)), *expected, "{options:?} {names:?}");
        }
    }

    #[test]
    fn removed_and_found_names_count_as_compared() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("dir/sub")).unwrap();
        fs::write(at("one"), "").unwrap();
        fs::write(at("three"), "").unwrap();
        fs::hard_link(at("three"), at("b")).unwrap();
        fs::hard_link(at("three"), at("c")).unwrap();
        let open = File::open(dir.path()).unwrap();
        let status = |name: &str| Status::at(open.as_fd(), OsStr::new(name)).unwrap();
        let (three, ino) = (status("three"), status("three").identity());
        let mut removed = HardLinks::new(true, false);
        for (name, times) in [("one", 0), ("dir", 0)] {
            removed.add_removed(&status(name));
            assert_eq!(removed.compared(status(name).identity()), times, "{name}");
        }
        let name = LinkedName { old: Some((ino, 3)), ..linked(("a", (1, 1), None, true)) };
        removed.add(name);
        assert_eq!(removed.compared(ino), 1);
        removed.add_removed(&three);
        removed.add_removed(&three);
        assert_eq!(removed.compared(ino), 3);
        assert_eq!(entries(removed), [""; 0]);
        let mut found = links(UPPER, &[("a", (1, 2), Some((9, 4)), true)]);
        found.add_found(linked(("b", (1, 2), Some((9, 4)), true)));
        assert_eq!(found.compared(id(9)), 4);
        assert_eq!(entries(found), [""; 0]);
    }

    #[test]
    fn changed_inodes_with_other_names_are_partly_seen() {
        let cases: &[Case] = &[
            (UPPER, &[("a", (1, 2), None, false)], &["a"]),
            (UPPER, &[("a", (1, 3), None, false), ("b", (1, 3), Some((9, 2)), true)], &["a", "b"]),
            (UPPER, &[("a", (1, 3), Some((9, 2)), true), ("b", (1, 3), None, false)], &["a", "b"]),
            (UPPER, &[("a", (1, 3), Some((9, 2)), true), ("b", (1, 3), Some((9, 2)), true)], &[]),
            (UPPER, &[("a", (1, 2), None, false), ("b", (1, 2), None, false)], &[]),
            (UPPER, &[("a", (1, 1), None, false)], &[]),
            (ALL, &[("a", (1, 2), None, false)], &[]),
        ];
        for (options, names, expected) in cases {
            let found = links(*options, names).partly_seen();
            let seen = found.get(&id(1)).map(|group| group.seen.iter().map(TarPath::to_string).collect());
            let mut seen: Vec<String> = seen.unwrap_or_default();
            seen.sort();
            assert_eq!(
                (found.len(), &*seen),
                (
                    usize::from(!expected.is_empty()),
                    &expected.iter().map(|s| s.to_string()).collect::<Vec<_>>()[..]
                ),
                "{names:?}"
            );
            assert!(found.values().all(|group| group.names == names[0].1.1));
        }
    }
}
