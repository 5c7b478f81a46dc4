//! The ID mappings of the user namespace that spec-gen runs in.

use anyhow::Context;

use crate::runtime_spec::id_map::{self, IdMap, IdMaps};

/// Returns the mappings of the user namespace that spec-gen runs in. `host` holds the IDs of the
/// parent namespace.
///
/// # Errors
/// Returns an error if the kernel's map cannot be read.
pub fn id_maps() -> anyhow::Result<IdMaps> {
    let maps = |file: &str| -> anyhow::Result<Vec<IdMap>> {
        let text = std::fs::read_to_string(file).context(file.to_owned())?;
        Ok(text.lines().filter_map(|line| IdMap::from_fields(line.split_whitespace())).collect())
    };
    Ok(IdMaps { uids: maps("/proc/self/uid_map")?, gids: maps("/proc/self/gid_map")? })
}

/// Returns the group IDs of that namespace, counted from 0 as podman counts them.
///
/// # Errors
/// Returns the same errors as [`id_maps`].
pub fn gids() -> anyhow::Result<Vec<IdMap>> {
    let size = id_maps()?.gids.iter().fold(0, |sum: u32, map| sum.saturating_add(map.size));
    Ok(vec![IdMap { container: 0, host: 0, size }])
}

/// Returns the ID in the parent namespace of an ID of the user namespace that spec-gen runs in.
///
/// # Errors
/// Returns an error if the map cannot be read.
pub fn outside(map: &str, id: u32) -> anyhow::Result<u32> {
    let path = format!("/proc/self/{map}");
    let text = std::fs::read_to_string(&path).context(path)?;
    let maps: Vec<IdMap> = text.lines().filter_map(|l| IdMap::from_fields(l.split_whitespace())).collect();
    Ok(id_map::to_host(&maps, id).unwrap_or(id))
}
