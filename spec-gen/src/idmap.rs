//! User namespace id mappings.

pub mod notation;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use crate::spec::Spec;

/// One range: `size` ids from `container` on inside are those from `host` on outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdMap {
    pub container: u32,
    pub host: u32,
    pub size: u32,
}

impl IdMap {
    /// A range from its numbers in text; `None` when they are none, or leave the range of ids.
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

    /// Whether both ends stay below the id that means "none".
    fn fits(self) -> bool {
        container_end(self) <= u64::from(u32::MAX)
            && u64::from(self.host) + u64::from(self.size) <= u64::from(u32::MAX)
    }

    /// The mapping as the runtime-spec writes it.
    pub fn to_value(self) -> Value {
        json!({ "containerID": self.container, "hostID": self.host, "size": self.size })
    }
}

fn container_end(map: IdMap) -> u64 {
    u64::from(map.container) + u64::from(map.size)
}

/// The mappings of a user namespace; empty when the container has none of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdMaps {
    pub uids: Vec<IdMap>,
    pub gids: Vec<IdMap>,
}

impl IdMaps {
    /// The mappings a spec has; what is no mapping is the runtime's to refuse.
    pub fn of_spec(spec: &Spec) -> IdMaps {
        let maps = |path: &str| {
            let number = |map: &Value, key: &str| map.get(key)?.as_u64()?.try_into().ok();
            let map = |map: &Value| {
                Some(IdMap {
                    container: number(map, "containerID")?,
                    host: number(map, "hostID")?,
                    size: number(map, "size")?,
                })
            };
            spec.list(path).iter().filter_map(map).collect()
        };
        IdMaps { uids: maps("linux.uidMappings"), gids: maps("linux.gidMappings") }
    }
}

/// The mappings of the user namespace spec-gen runs in; `host` is what its parent calls the ids.
///
/// # Errors
/// When the kernel does not tell them.
pub fn own() -> anyhow::Result<IdMaps> {
    let maps = |file: &str| -> anyhow::Result<Vec<IdMap>> {
        let text = std::fs::read_to_string(file).context(file.to_owned())?;
        Ok(text.lines().filter_map(|line| IdMap::from_fields(line.split_whitespace())).collect())
    };
    Ok(IdMaps { uids: maps("/proc/self/uid_map")?, gids: maps("/proc/self/gid_map")? })
}

/// The gids of that namespace, counted from 0 as podman counts them.
///
/// # Errors
/// As [`own`].
pub fn own_gids() -> anyhow::Result<Vec<IdMap>> {
    let size = own()?.gids.iter().fold(0, |sum: u32, map| sum.saturating_add(map.size));
    Ok(vec![IdMap { container: 0, host: 0, size }])
}

/// Cuts mappings where a range of the namespace they are made in ends: the kernel wants each inside one range. An
/// ordinary user's namespace has two, himself and his subordinate ids.
///
/// As podman has it (`MaybeSplitMappings`), nothing is cut when an id is in no range; the runtime says which.
pub fn split(maps: &[IdMap], own: &[IdMap]) -> Vec<IdMap> {
    let mut parts = Vec::new();
    for map in maps {
        let mut rest = *map;
        while rest.size > 0 {
            let range =
                own.iter().find(|r| rest.host >= r.container && u64::from(rest.host) < container_end(**r));
            let Some(range) = range else { return maps.to_vec() };
            let size = rest.size.min(range.size - (rest.host - range.container));
            parts.push(IdMap { size, ..rest });
            rest.size -= size;
            match rest.container.checked_add(size).zip(rest.host.checked_add(size)) {
                Some((container, host)) => (rest.container, rest.host) = (container, host),
                // What runs past the last id is the runtime's to refuse.
                None if rest.size > 0 => return maps.to_vec(),
                None => {}
            }
        }
    }
    parts
}

/// What an id of the user namespace spec-gen runs in is outside of it.
///
/// # Errors
/// When the kernel does not tell.
pub fn outside(map: &str, id: u32) -> anyhow::Result<u32> {
    let path = format!("/proc/self/{map}");
    let text = std::fs::read_to_string(&path).context(path)?;
    let maps: Vec<IdMap> = text.lines().filter_map(|l| IdMap::from_fields(l.split_whitespace())).collect();
    Ok(to_host(&maps, id).unwrap_or(id))
}

/// The host id of a container id; without mappings they are equal.
pub fn to_host(maps: &[IdMap], id: u32) -> Option<u32> {
    if maps.is_empty() {
        return Some(id);
    }
    let map = maps.iter().find(|m| id >= m.container && u64::from(id) < container_end(**m))?;
    map.host.checked_add(id - map.container)
}

/// The ids of the process on the host.
///
/// # Errors
/// When the user namespace does not hold them.
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

/// What `idmap[=uids=C-H-S#C-H-S;gids=…]` asks for on a mount; a kind that is not named has the container's mappings.
/// `@C-H-S` gives H as an id of the container.
///
/// # Errors
/// On anything else.
pub fn of_mount(option: &str, container: &IdMaps) -> anyhow::Result<IdMaps> {
    let mut maps = container.clone();
    let Some(list) = option.strip_prefix("idmap=") else { return Ok(maps) };
    for part in list.split(';').filter(|p| !p.is_empty()) {
        match part.split_once('=') {
            Some(("uids", ranges)) => maps.uids = ranges_of(ranges, &container.uids)?,
            Some(("gids", ranges)) => maps.gids = ranges_of(ranges, &container.gids)?,
            _ => bail!("{option}: uids=C-H-S or gids=C-H-S is wanted"),
        }
    }
    Ok(maps)
}

fn ranges_of(ranges: &str, container: &[IdMap]) -> anyhow::Result<Vec<IdMap>> {
    ranges
        .split('#')
        .filter(|r| !r.is_empty())
        .map(|range| {
            let relative = range.starts_with('@');
            let mut map = IdMap::from_fields(range.trim_start_matches('@').split('-'))
                .with_context(|| format!("{range}: C-H-S is wanted, three numbers"))?;
            if relative {
                map.host = to_host(container, map.host).with_context(|| {
                    format!("{range}: could not find a user namespace mapping for {}", map.host)
                })?;
            }
            Ok(map)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: IdMap = IdMap { container: 0, host: 100_000, size: 65_536 };

    #[test]
    fn ids_are_translated_inside_the_ranges_only() {
        assert_eq!(to_host(&[MAP], 1000), Some(101_000));
        assert_eq!(to_host(&[MAP], 65_535), Some(165_535));
        assert_eq!(to_host(&[MAP], 65_536), None);
        assert_eq!(to_host(&[], 7), Some(7));
    }

    #[test]
    fn a_mapping_is_cut_where_the_namespace_around_has_a_seam() {
        let map = |container, host, size| IdMap { container, host, size };
        let own = [map(0, 1000, 1), map(1, 100_000, 65_536)];
        #[rustfmt::skip]
        let cases = [
            (vec![map(0, 0, 65_537)], vec![map(0, 0, 1), map(1, 1, 65_536)]),
            (vec![map(0, 1, 100), map(100, 0, 2)], vec![map(0, 1, 100), map(100, 0, 1), map(101, 1, 1)]),
            (vec![map(5, 7, 9)], vec![map(5, 7, 9)]),
            // One id too many: as it was.
            (vec![map(0, 0, 65_538)], vec![map(0, 0, 65_538)]),
            (vec![map(u32::MAX, 0, 2)], vec![map(u32::MAX, 0, 2)]),
            (vec![], vec![]),
        ];
        for (maps, parts) in cases {
            assert_eq!(split(&maps, &own), parts, "{maps:?}");
        }
        let all = [map(0, 0, u32::MAX)];
        let last = [map(u32::MAX - 2, u32::MAX - 2, 2)];
        assert_eq!(split(&last, &all), last);
        assert_eq!(split(&[MAP], &all), [MAP]);
    }

    #[test]
    fn idmap_options_take_the_containers_maps_where_nothing_is_said() {
        let container = IdMaps { uids: vec![MAP], gids: vec![MAP] };
        assert_eq!(of_mount("idmap", &container).unwrap(), container);
        let maps = of_mount("idmap=uids=0-1-10#10-11-10;gids=@0-1-5", &container).unwrap();
        assert_eq!(maps.uids.len(), 2);
        assert_eq!(maps.gids, [IdMap { container: 0, host: 100_001, size: 5 }]);
        for bad in ["idmap=x=0-0-1", "idmap=uids=0", "idmap=gids=@0-99999-1"] {
            assert!(of_mount(bad, &container).is_err(), "{bad}");
        }
    }
}
