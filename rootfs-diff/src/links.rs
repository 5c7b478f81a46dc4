//! Which names of an inode stay as they are, which become an entry, and which a link (R6, R7).
//!
//! A name may stay without an entry only if nothing of it changed, the names that stay beside it share one
//! inode of the old tree, and no other group of the new tree keeps that inode too. Every other name is a link
//! to one that stays, or, if none stays, to the first, which is written whole.

use std::collections::{HashMap, HashSet};

use tartree::{Entry, Identity, Kind, Status};

use crate::aliases::Moved;
use crate::compare::{Change, Pending};

/// A path that shares its inode with others, now or before.
pub(crate) struct Candidate {
    pub entry: Entry,
    /// Inode in the new tree.
    pub id: Identity,
    /// Number of names in the new tree.
    pub names: u32,
    /// Inode and number of names in the old one.
    pub base: Option<(Identity, u32)>,
    /// Nothing of it changed but, perhaps, who shares its inode.
    pub same: bool,
    pub change: Change,
    /// The parent's entry, if nothing else has asked for it yet.
    pub parent: Pending,
}

/// An entry to write.
pub(crate) struct Emission {
    pub entry: Entry,
    pub ino: u64,
    pub change: Change,
    pub parent: Pending,
}

#[derive(Default)]
pub(crate) struct Links {
    candidates: Vec<Candidate>,
    /// How many names of an old inode were looked at.
    seen: HashMap<Identity, u32>,
    /// Names that are not in the upper directory were not looked at: they stay and keep their inode.
    hinted: bool,
    /// A group is written whole or not at all.
    whole: bool,
}

impl Links {
    pub fn new(hinted: bool, whole: bool) -> Links {
        Links { hinted, whole, ..Links::default() }
    }

    pub fn add(&mut self, candidate: Candidate) {
        if let Some((id, _)) = candidate.base {
            *self.seen.entry(id).or_default() += 1;
        }
        self.candidates.push(candidate);
    }

    /// A name that was found by looking through the whole old tree: no name of its inode is left that was not looked at.
    pub fn found(&mut self, candidate: Candidate) {
        if let Some((id, names)) = candidate.base {
            self.seen.insert(id, names);
        }
        self.candidates.push(candidate);
    }

    /// How many names of an old inode were looked at.
    pub fn seen(&self, id: Identity) -> u32 {
        self.seen.get(&id).copied().unwrap_or(0)
    }

    pub fn removed(&mut self, was: &Status) {
        if was.links() > 1 && !was.is_dir() {
            *self.seen.entry(was.identity()).or_default() += 1;
        }
    }

    /// Files of which a name is new, and which have more names than were looked at: those may still be in the old tree.
    pub fn moved(&self) -> HashMap<Identity, Moved> {
        let mut groups: HashMap<Identity, (Moved, bool)> = HashMap::new();
        for candidate in self.candidates.iter().filter(|_| self.hinted) {
            let new =
                || Moved { entry: candidate.entry.clone(), names: candidate.names, seen: HashSet::new() };
            let (group, is_new) = groups.entry(candidate.id).or_insert_with(|| (new(), false));
            group.seen.insert(candidate.entry.path.clone());
            *is_new |= !candidate.same;
        }
        let moved = groups.into_iter().filter(|(_, (group, is_new))| *is_new && group.has_more());
        moved.map(|(id, (group, _))| (id, group)).collect()
    }

    /// The entries to write, each after the one it links to.
    pub fn resolve(self) -> Vec<Emission> {
        let Links { candidates, seen, hinted, whole } = self;
        // Groups in the order of their first name, names in the order they were found.
        let mut order: Vec<Identity> = Vec::new();
        let mut groups: HashMap<Identity, Vec<Candidate>> = HashMap::new();
        for candidate in candidates {
            let group = groups.entry(candidate.id).or_default();
            if group.is_empty() {
                order.push(candidate.id);
            }
            group.push(candidate);
        }
        let mut kept: HashMap<Identity, Identity> = HashMap::new();
        let mut emissions = Vec::new();
        for id in order {
            let group = groups.remove(&id).unwrap_or_default();
            let mut stays_on: Option<Identity> = None;
            let mut stays = Vec::new();
            for candidate in &group {
                let Some((base, names)) = candidate.base.filter(|_| candidate.same) else {
                    stays.push(false);
                    continue;
                };
                // Another name of the old inode that was not looked at still has it, and is not of this group.
                let claimed = hinted && seen.get(&base).copied().unwrap_or(0) < names;
                let free = kept.get(&base).is_none_or(|keeper| *keeper == id);
                let stay = !claimed && free && stays_on.is_none_or(|on| on == base);
                if stay {
                    stays_on = Some(base);
                }
                stays.push(stay);
            }
            if whole && stays.contains(&false) {
                stays.fill(false);
                stays_on = None;
            }
            if let Some(base) = stays_on {
                kept.insert(base, id);
            }
            let target = stays.iter().position(|&stay| stay).unwrap_or(0);
            let target_path =
                group.get(target).map(|candidate| candidate.entry.path.clone()).unwrap_or_default();
            for (at, (candidate, stay)) in group.into_iter().zip(&stays).enumerate() {
                if *stay {
                    continue;
                }
                let mut entry = candidate.entry;
                if at != target {
                    entry.kind = Kind::HardLink { target: target_path.clone() };
                }
                emissions.push(Emission {
                    entry,
                    ino: id.ino,
                    change: candidate.change,
                    parent: candidate.parent,
                });
            }
        }
        emissions
    }
}
