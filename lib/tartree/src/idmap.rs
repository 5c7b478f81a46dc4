//! User and group ids inside a container and on the host.

use crate::entry::Entry;
use crate::error::{Error, Result};

/// One direction-less mapping of ids, as a user namespace has it; empty means identity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdMap(Vec<Range>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    container: u32,
    host: u32,
    size: u32,
}

impl IdMap {
    /// The map of ranges `(first container id, first host id, how many)`.
    pub fn new(ranges: impl IntoIterator<Item = (u32, u32, u32)>) -> IdMap {
        IdMap(ranges.into_iter().map(|(container, host, size)| Range { container, host, size }).collect())
    }

    /// The id in the container of the host's `id`; `None` when no range holds it.
    pub fn to_container(&self, id: u32) -> Option<u32> {
        self.translate(id, |r| (r.host, r.container))
    }

    /// The id on the host of the container's `id`; `None` when no range holds it.
    pub fn to_host(&self, id: u32) -> Option<u32> {
        self.translate(id, |r| (r.container, r.host))
    }

    fn translate(&self, id: u32, direction: impl Fn(&Range) -> (u32, u32)) -> Option<u32> {
        if self.0.is_empty() {
            return Some(id);
        }
        self.0.iter().find_map(|range| {
            let (from, to) = direction(range);
            let offset = id.checked_sub(from)?;
            (offset < range.size).then(|| to.checked_add(offset)).flatten()
        })
    }
}

/// The maps of users and of groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdMaps {
    /// Users.
    pub uid: IdMap,
    /// Groups.
    pub gid: IdMap,
}

impl IdMaps {
    /// Turns the owner of an entry from this host's ids into the container's.
    ///
    /// # Errors
    /// When one is in no range: an archive must not say it belongs to somebody else.
    pub fn map_to_container(&self, entry: &mut Entry) -> Result<()> {
        let unmapped = |kind, id| Error::malformed(&entry.path, format!("{kind} {id} is not in the id map"));
        let uid = self.uid.to_container(entry.meta.uid).ok_or_else(|| unmapped("uid", entry.meta.uid))?;
        let gid = self.gid.to_container(entry.meta.gid).ok_or_else(|| unmapped("gid", entry.meta.gid))?;
        entry.meta.uid = uid;
        entry.meta.gid = gid;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_map_both_ways_and_gaps_map_to_nothing() {
        let map = IdMap::new([(0, 100_000, 1000), (5000, 7, 1)]);
        assert_eq!(map.to_host(0), Some(100_000));
        assert_eq!(map.to_host(999), Some(100_999));
        assert_eq!(map.to_host(1000), None);
        assert_eq!(map.to_host(5000), Some(7));
        assert_eq!(map.to_container(100_999), Some(999));
        assert_eq!(map.to_container(7), Some(5000));
        assert_eq!(map.to_container(8), None);
        assert_eq!(IdMap::default().to_host(4_000_000_000), Some(4_000_000_000));
    }
}
