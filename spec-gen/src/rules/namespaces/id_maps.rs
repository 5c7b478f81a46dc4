//! The ID mappings of the container's user namespace.

use cli::usage;

use crate::args::NamespaceArgs;
use crate::job::Job;
use crate::notation::id_map::{IdKind, resolve_ranges};
use crate::notation::namespace::Mode;
use crate::notation::user_namespace::UserNs;
use crate::rules::namespaces::{keep_id, own_ids, subordinate_ids};
use crate::runtime_spec::id_map::{self, IdMap, IdMaps};
use crate::runtime_spec::key;
use crate::runtime_spec::namespaces;

/// Sets the mappings of the user namespace that the flags request.
pub fn apply_flags(job: &mut Job<'_>) -> anyhow::Result<()> {
    let args = &job.args.namespaces;
    let given = !args.uidmap.is_empty() || !args.gidmap.is_empty();
    if given && !matches!(args.userns, None | Some(UserNs::Mode(Mode::Private))) {
        return Err(usage("--uidmap and --gidmap create a new user namespace, --userns names another"));
    }
    let subids = subordinate_ids::maps(args.subuidname.as_deref(), args.subgidname.as_deref())?;
    let maps = if let Some((maps, ignored)) = subids {
        for line in ignored {
            job.session.warn(line);
        }
        maps
    } else if given {
        let maps = given_maps(args)?;
        for (ids, maps) in [("user", &maps.uids), ("group", &maps.gids)] {
            if maps.is_empty() {
                job.session.warn(format_args!(
                    "--uidmap, --gidmap: no {ids} ID is mapped, but runtimes need both maps"
                ));
            }
        }
        maps
    } else {
        let Some((maps, user)) = args.userns.as_ref().map(keep_id::maps).transpose()?.flatten() else {
            return Ok(());
        };
        let is_root = job.spec.get(key::PROCESS_USER_UID).is_none_or(|uid| *uid == 0);
        if job.container.user.is_none() && is_root {
            job.container.user = user;
        }
        maps
    };
    for (key, maps) in [(key::LINUX_UID_MAPPINGS, &maps.uids), (key::LINUX_GID_MAPPINGS, &maps.gids)] {
        job.spec.remove(key);
        if !maps.is_empty() {
            job.spec.set(key, maps.iter().copied().map(IdMap::to_value).collect::<Vec<_>>());
        }
    }
    job.container.id_maps = maps;
    // The device cgroup cannot be set from inside a user namespace.
    job.spec.remove(key::LINUX_RESOURCES_DEVICES);
    job.trace.because(&job.spec, || "id mappings".into());
    Ok(())
}

/// Returns the mappings of `--uidmap` and `--gidmap`. If only one is given, it applies to both.
fn given_maps(args: &NamespaceArgs) -> anyhow::Result<IdMaps> {
    let uids = if args.uidmap.is_empty() { &args.gidmap } else { &args.uidmap };
    let gids = if args.gidmap.is_empty() { &args.uidmap } else { &args.gidmap };
    let needs_parent = uids.iter().chain(gids).any(|ranges| ranges.needs_parent());
    let parent = if needs_parent { own_ids::id_maps()? } else { IdMaps::default() };
    let maps = IdMaps {
        uids: resolve_ranges(uids, IdKind::Users, &parent.uids)
            .map_err(|e| usage(format!("--uidmap: {e:#}")))?,
        gids: resolve_ranges(gids, IdKind::Groups, &parent.gids)
            .map_err(|e| usage(format!("--gidmap: {e:#}")))?,
    };
    if maps == IdMaps::default() {
        return Err(usage("--uidmap, --gidmap: no ID is mapped"));
    }
    Ok(maps)
}

/// Gives the container a user namespace with the mappings that the engine chose.
pub fn set_automatic(job: &mut Job<'_>) {
    let maps = &job.container.id_maps;
    if job.container.auto_userns && !maps.uids.is_empty() && !job.container.shares("user") {
        namespaces::set(&mut job.spec, "user", None);
        for (key, maps) in [(key::LINUX_UID_MAPPINGS, &maps.uids), (key::LINUX_GID_MAPPINGS, &maps.gids)] {
            job.spec.set(key, maps.iter().copied().map(IdMap::to_value).collect::<Vec<_>>());
        }
        job.trace.because(&job.spec, || "automatic user namespace".into());
    }
}

/// Splits the mappings of an ordinary user at the ranges of the user namespace.
pub fn fit(job: &mut Job<'_>) -> anyhow::Result<()> {
    let maps = IdMaps::of_spec(&job.spec);
    if !job.container.rootless || maps == IdMaps::default() {
        return Ok(());
    }
    let own = own_ids::id_maps()?;
    for (key, maps, own) in
        [(key::LINUX_UID_MAPPINGS, &maps.uids, &own.uids), (key::LINUX_GID_MAPPINGS, &maps.gids, &own.gids)]
    {
        let parts = split(maps, own);
        // An invalid mapping is left to the runtime, which rejects it.
        if parts != *maps && maps.len() == job.spec.list(key).len() {
            job.spec.set(key, parts.into_iter().map(IdMap::to_value).collect::<Vec<_>>());
        }
    }
    job.trace.because(&job.spec, || "--rootless: the ranges of the user namespace this runs in".into());
    Ok(())
}

/// Splits mappings at the ends of the ranges of the namespace in which they are created, because
/// the kernel requires each mapping to lie in one range. The namespace of an ordinary user has two
/// ranges: the user and its subordinate IDs.
///
/// Like podman (`MaybeSplitMappings`), splits nothing if an ID is in no range. The runtime reports
/// that ID.
fn split(maps: &[IdMap], own: &[IdMap]) -> Vec<IdMap> {
    let mut parts = Vec::new();
    for map in maps {
        let mut rest = *map;
        while rest.size > 0 {
            let range = own
                .iter()
                .find(|r| rest.host >= r.container && u64::from(rest.host) < id_map::container_end(**r));
            let Some(range) = range else { return maps.to_vec() };
            let size = rest.size.min(range.size - (rest.host - range.container));
            parts.push(IdMap { size, ..rest });
            rest.size -= size;
            match rest.container.checked_add(size).zip(rest.host.checked_add(size)) {
                Some((container, host)) => (rest.container, rest.host) = (container, host),
                // Mappings beyond the last ID are left to the runtime, which rejects them.
                None if rest.size > 0 => return maps.to_vec(),
                None => {}
            }
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: IdMap = IdMap { container: 0, host: 100_000, size: 65_536 };

    #[test]
    fn a_mapping_is_split_where_the_parents_ranges_meet() {
        let map = |container, host, size| IdMap { container, host, size };
        let own = [map(0, 1000, 1), map(1, 100_000, 65_536)];
        #[rustfmt::skip]
        let cases = [
            (vec![map(0, 0, 65_537)], vec![map(0, 0, 1), map(1, 1, 65_536)]),
            (vec![map(0, 1, 100), map(100, 0, 2)], vec![map(0, 1, 100), map(100, 0, 1), map(101, 1, 1)]),
            (vec![map(5, 7, 9)], vec![map(5, 7, 9)]),
            // The mapping has one ID too many, so it is returned unchanged.
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
    fn a_mapping_may_end_at_the_last_id_of_the_container() {
        let map = |container, host, size| IdMap { container, host, size };
        let own = [map(0, 1000, 1), map(1, 100_000, 65_536)];
        let maps = [map(0, 0, 2), map(u32::MAX, 5, 1)];
        assert_eq!(split(&maps, &own), [map(0, 0, 1), map(1, 1, 1), map(u32::MAX, 5, 1)]);
        // One ID more does not fit, so nothing is split.
        let maps = [map(0, 0, 2), map(u32::MAX, 0, 2)];
        assert_eq!(split(&maps, &own), maps);
    }
}
