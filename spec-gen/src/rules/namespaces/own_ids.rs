//! The ID mappings of the user namespace that spec-gen runs in.

use anyhow::Context;

use crate::runtime_spec::id_map::{self, IdMap, IdMaps};

/// The mappings of the user namespace spec-gen runs in; `host` is what its parent calls the ids.
///
/// # Errors
/// When the kernel does not tell them.
pub fn id_maps() -> anyhow::Result<IdMaps> {
    let maps = |file: &str| -> anyhow::Result<Vec<IdMap>> {
        let text = std::fs::read_to_string(file).context(file.to_owned())?;
        Ok(text.lines().filter_map(|line| IdMap::from_fields(line.split_whitespace())).collect())
    };
    Ok(IdMaps { uids: maps("/proc/self/uid_map")?, gids: maps("/proc/self/gid_map")? })
}

/// The gids of that namespace, counted from 0 as podman counts them.
///
/// # Errors
/// As [`id_maps`].
pub fn gids() -> anyhow::Result<Vec<IdMap>> {
    let size = id_maps()?.gids.iter().fold(0, |sum: u32, map| sum.saturating_add(map.size));
    Ok(vec![IdMap { container: 0, host: 0, size }])
}

/// What an id of the user namespace spec-gen runs in is outside of it.
///
/// # Errors
/// When the kernel does not tell.
pub fn outside(map: &str, id: u32) -> anyhow::Result<u32> {
    let path = format!("/proc/self/{map}");
    let text = std::fs::read_to_string(&path).context(path)?;
    let maps: Vec<IdMap> = text.lines().filter_map(|l| IdMap::from_fields(l.split_whitespace())).collect();
    Ok(id_map::to_host(&maps, id).unwrap_or(id))
}
