//! User and group ids inside a container and on the host.

use std::borrow::Cow;

use crate::entry::{Entry, Meta, Xattr};
use crate::error::{Error, Result};
use crate::format::{acl, capability};
use crate::path::{Shown, TarPath};

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
    /// Turns all IDs of an entry from the host's into the container's: those of the owner, of ACL entries, and of the
    /// root of file capabilities.
    ///
    /// # Errors
    /// Returns an error if one is in no range: an archive must not say it belongs to somebody else.
    pub fn map_to_container(&self, entry: &mut Entry) -> Result<()> {
        let (path, meta) = (&entry.path, &mut entry.meta);
        let owner = |map: &IdMap, kind, id| map.to_container(id).ok_or_else(|| unmapped(path, kind, id));
        let (uid, gid) = (owner(&self.uid, "uid", meta.uid)?, owner(&self.gid, "gid", meta.gid)?);
        (meta.uid, meta.gid) = (uid, gid);
        if self.is_identity() {
            return Ok(());
        }
        for xattr in &mut meta.xattrs {
            let mapped = match &xattr.name[..] {
                acl::ACCESS | acl::DEFAULT => {
                    acl::mapped(&xattr.value, |id| self.uid.to_container(id), |id| self.gid.to_container(id))
                        .map_err(|(kind, id)| unmapped_in(path, &xattr.name, kind, id))?
                }
                capability::NAME => capability::in_container(&xattr.value, |id| self.uid.to_container(id))
                    .map_err(|id| unmapped_in(path, &xattr.name, "root", id))?,
                _ => None,
            };
            if let Some(value) = mapped {
                xattr.value = value;
            }
        }
        Ok(())
    }

    /// Returns the owner and the group on the host of an entry in container IDs.
    pub(crate) fn owner_on_host(&self, path: &TarPath, meta: &Meta) -> Result<(u32, u32)> {
        let owner = |map: &IdMap, kind, id| map.to_host(id).ok_or_else(|| unmapped(path, kind, id));
        Ok((owner(&self.uid, "uid", meta.uid)?, owner(&self.gid, "gid", meta.gid)?))
    }

    /// Returns the value on the host of an attribute in container IDs.
    pub(crate) fn value_on_host<'x>(&self, path: &TarPath, xattr: &'x Xattr) -> Result<Cow<'x, [u8]>> {
        if self.is_identity() {
            return Ok(Cow::Borrowed(&xattr.value));
        }
        let mapped = match &xattr.name[..] {
            acl::ACCESS | acl::DEFAULT => {
                acl::mapped(&xattr.value, |id| self.uid.to_host(id), |id| self.gid.to_host(id))
                    .map_err(|(kind, id)| unmapped_in(path, &xattr.name, kind, id))?
            }
            capability::NAME => capability::on_host(&xattr.value, |id| self.uid.to_host(id))
                .map_err(|id| unmapped_in(path, &xattr.name, "root", id))?,
            _ => None,
        };
        Ok(mapped.map_or(Cow::Borrowed(&xattr.value), Cow::Owned))
    }

    fn is_identity(&self) -> bool {
        self.uid.0.is_empty() && self.gid.0.is_empty()
    }
}

fn unmapped(path: &TarPath, kind: &str, id: u32) -> Error {
    Error::malformed(path, format!("{kind} {id} is not in the id map"))
}

fn unmapped_in(path: &TarPath, attribute: &[u8], kind: &str, id: u32) -> Error {
    let attribute = Shown(attribute);
    Error::malformed(path, format!("attribute {attribute}: {kind} {id} is not in the id map"))
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
