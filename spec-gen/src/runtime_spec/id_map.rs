//! ID mappings of user namespaces.

use anyhow::Context;
use serde_json::{Value, json};

use crate::runtime_spec::Spec;
use crate::runtime_spec::key::{self, Key};

/// One range: maps `size` container IDs starting at `container` to host IDs starting at `host`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdMap {
    pub container: u32,
    pub host: u32,
    pub size: u32,
}

impl IdMap {
    /// Parses a range from its numbers. Returns `None` if they are not numbers or exceed the range
    /// of IDs.
    pub fn from_fields<'a>(fields: impl Iterator<Item = &'a str>) -> Option<IdMap> {
        let numbers: Option<Vec<u32>> = fields.map(|f| f.parse().ok()).collect();
        let (container, host, size) = match numbers?[..] {
            [container, host] => (container, host, 1),
            [container, host, size] => (container, host, size),
            _ => return None,
        };
        let map = IdMap { container, host, size };
        (size > 0 && map.fits()).then_some(map)
    }

    /// Reports whether both ends of the range are below the ID that means "none".
    fn fits(self) -> bool {
        container_end(self) <= u64::from(u32::MAX)
            && u64::from(self.host) + u64::from(self.size) <= u64::from(u32::MAX)
    }

    /// Returns the mapping in the format of the runtime-spec.
    pub fn to_value(self) -> Value {
        json!({ "containerID": self.container, "hostID": self.host, "size": self.size })
    }
}

pub fn container_end(map: IdMap) -> u64 {
    u64::from(map.container) + u64::from(map.size)
}

/// The mappings of a user namespace. Empty if the container has no user namespace of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdMaps {
    pub uids: Vec<IdMap>,
    pub gids: Vec<IdMap>,
}

impl IdMaps {
    /// Returns the mappings in a spec. Skips invalid mappings, which the runtime rejects.
    pub fn of_spec(spec: &Spec) -> IdMaps {
        let maps = |key: Key| {
            let number = |map: &Value, key: &str| map.get(key)?.as_u64()?.try_into().ok();
            let map = |map: &Value| {
                Some(IdMap {
                    container: number(map, "containerID")?,
                    host: number(map, "hostID")?,
                    size: number(map, "size")?,
                })
            };
            spec.list(key).iter().filter_map(map).collect()
        };
        IdMaps { uids: maps(key::LINUX_UID_MAPPINGS), gids: maps(key::LINUX_GID_MAPPINGS) }
    }
}

/// Returns the host ID of a container ID. Without mappings, both IDs are equal.
pub fn to_host(maps: &[IdMap], id: u32) -> Option<u32> {
    if maps.is_empty() {
        return Some(id);
    }
    let map = maps.iter().find(|m| id >= m.container && u64::from(id) < container_end(**m))?;
    map.host.checked_add(id - map.container)
}

/// Returns the IDs of the process on the host.
///
/// # Errors
/// Returns an error if the user namespace does not map the IDs.
pub fn process_on_host(maps: &IdMaps, uid: u32, gid: u32) -> anyhow::Result<(u32, u32)> {
    let show = |maps: &[IdMap]| {
        maps.iter().map(|m| format!("{}:{}:{}", m.container, m.host, m.size)).collect::<Vec<_>>().join(" ")
    };
    let host_uid = to_host(&maps.uids, uid)
        .with_context(|| format!("the container's id mappings ({}) don't map UID {uid}", show(&maps.uids)))?;
    let host_gid = to_host(&maps.gids, gid)
        .with_context(|| format!("the container's id mappings ({}) don't map GID {gid}", show(&maps.gids)))?;
    Ok((host_uid, host_gid))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: IdMap = IdMap { container: 0, host: 100_000, size: 65_536 };

    #[test]
    fn only_ids_inside_the_ranges_are_mapped() {
        assert_eq!(to_host(&[MAP], 1000), Some(101_000));
        assert_eq!(to_host(&[MAP], 65_535), Some(165_535));
        assert_eq!(to_host(&[MAP], 65_536), None);
        assert_eq!(to_host(&[], 7), Some(7));
    }
}
