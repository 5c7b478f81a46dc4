//! Maps user and group IDs between a container and the host.

use std::borrow::Cow;

use crate::entry::{Entry, Meta, Xattr};
use crate::error::{Error, Result};
use crate::format::{acl, capability};
use crate::path::{Shown, TarPath};

/// A mapping between container IDs and host IDs, like the mapping of a user namespace. An empty map
/// maps each ID to itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdMap(Vec<Range>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    container: u32,
    host: u32,
    size: u32,
}

impl IdMap {
    /// Makes a map of ranges `(first container ID, first host ID, size)`.
    pub fn new(ranges: impl IntoIterator<Item = (u32, u32, u32)>) -> IdMap {
        IdMap(ranges.into_iter().map(|(container, host, size)| Range { container, host, size }).collect())
    }

    /// Returns the container ID of the host ID `id`, or `None` if no range contains `id`.
    pub fn to_container(&self, id: u32) -> Option<u32> {
        self.translate(id, |r| (r.host, r.container))
    }

    /// Returns the host ID of the container ID `id`, or `None` if no range contains `id`.
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

/// The maps of user IDs and of group IDs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdMaps {
    /// User IDs.
    pub uid: IdMap,
    /// Group IDs.
    pub gid: IdMap,
}

impl IdMaps {
    /// Maps all host IDs of an entry to container IDs: owner, group, the IDs in ACLs, and the root
    /// ID of file capabilities.
    ///
    /// # Errors
    /// Returns an error if no range contains one of the IDs, because the archive would then state a
    /// wrong owner.
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

    /// Maps the owner and the group of an entry from container IDs to host IDs.
    pub(crate) fn owner_on_host(&self, path: &TarPath, meta: &Meta) -> Result<(u32, u32)> {
        let owner = |map: &IdMap, kind, id| map.to_host(id).ok_or_else(|| unmapped(path, kind, id));
        Ok((owner(&self.uid, "uid", meta.uid)?, owner(&self.gid, "gid", meta.gid)?))
    }

    /// Maps the container IDs in the value of an xattr to host IDs.
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
    fn ids_in_ranges_are_mapped_in_both_directions() {
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
