//! Translates the mount options for the container engine, which no runtime knows: `U`, `z`, `Z`,
//! `idmap`, `subpath`.

use std::path::Path;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use crate::actions::{self, Action};
use crate::job::Job;
use crate::path;
use crate::rules::mounts::volume_mount;
use crate::runtime_spec::id_map::{self, IdMap, IdMaps};
use crate::runtime_spec::mounts::{destination, is_bind, kind, options, set_options, source};

/// The properties of the container that the translation needs.
struct MountOwner<'a> {
    /// The IDs of the process in the container.
    uid: u32,
    gid: u32,
    maps: &'a IdMaps,
    /// The label of the container's files; empty without SELinux.
    mount_label: &'a str,
}

/// Translates the options of one mount. Appends their side effects to `actions`.
///
/// # Errors
/// Returns an error if the user namespace does not map an owner, if the directory must not change
/// its owner, or if `idmap=` is invalid.
fn translate(mount: &mut Value, owner: &MountOwner<'_>, actions: &mut Vec<Action>) -> anyhow::Result<()> {
    let needs = |o: &str| {
        matches!(o, "U" | "z" | "Z" | "idmap" | "no-dereference" | "")
            || o.starts_with("idmap=")
            || o.starts_with("subpath=")
    };
    if !options(mount).any(needs) {
        return Ok(());
    }
    let name = destination(mount).to_owned();
    let mut kept: Vec<String> = Vec::new();
    let old: Vec<String> = options(mount).map(str::to_owned).collect();
    for option in old {
        match option.as_str() {
            // podman writes empty options, for example for systemd's tmpfs mounts without a size.
            "" => {}
            "U" if kind(mount) == "tmpfs" => {
                kept.push(format!("uid={}", owner.uid));
                kept.push(format!("gid={}", owner.gid));
            }
            "U" => {
                let (uid, gid) =
                    id_map::process_on_host(owner.maps, owner.uid, owner.gid).context(name.clone())?;
                actions.push(actions::chown(source(mount), uid, gid).context(name.clone())?);
            }
            "z" | "Z" => {
                // The files of a tmpfs are not on the host, so there is nothing to relabel.
                if is_bind(mount) && !owner.mount_label.is_empty() {
                    actions.push(relabel(source(mount), owner.mount_label, option == "z"));
                }
            }
            o if o.starts_with("subpath=") => {
                let subpath = o.trim_start_matches("subpath=");
                let inside = volume_mount::below(Path::new(source(mount)), subpath);
                mount["source"] = json!(inside.with_context(|| name.clone())?);
            }
            // crun's name of the option.
            "no-dereference" => kept.push("copy-symlink".into()),
            o if o == "idmap" || o.starts_with("idmap=") => {
                let maps = of_mount(o, owner.maps).with_context(|| name.clone())?;
                for (key, maps) in [("uidMappings", maps.uids), ("gidMappings", maps.gids)] {
                    if !maps.is_empty() {
                        mount[key] = json!(maps.into_iter().map(IdMap::to_value).collect::<Vec<_>>());
                    }
                }
            }
            _ => kept.push(option),
        }
    }
    set_options(mount, kept);
    Ok(())
}

/// Returns the action that relabels a tree. A shared label is the container's label without
/// categories, so that other containers can read the tree.
fn relabel(path: &str, label: &str, shared: bool) -> Action {
    let label = if shared {
        let fields: Vec<&str> = label.splitn(4, ':').collect();
        match fields[..] {
            [user, role, kind, level] => {
                format!("{user}:{role}:{kind}:{}", level.split(':').next().unwrap_or(level))
            }
            _ => label.to_owned(),
        }
    } else {
        label.to_owned()
    };
    Action::Relabel { path: path.to_owned(), label, shared }
}

/// Translates the engine's mount options: for a container config in all mounts, otherwise only in
/// the mounts of flags.
pub fn apply(job: &mut Job<'_>, own: &[String]) -> anyhow::Result<()> {
    let (uid, gid) = job.spec.process_ids();
    let is_libpod = job.container.is_libpod;
    if is_libpod || job.container.user.is_some() {
        id_map::process_on_host(&job.container.id_maps, uid, gid)?;
    }
    if job.spec.mounts().is_empty() {
        return Ok(());
    }
    let owner =
        MountOwner { uid, gid, maps: &job.container.id_maps, mount_label: &job.container.mount_label };
    for mount in job.spec.mounts_mut() {
        if is_libpod || own.contains(&path::clean(destination(mount))) {
            translate(mount, &owner, &mut job.actions)?;
        }
    }
    job.trace.because(&job.spec, || "mount options of the container engine".into());
    Ok(())
}

/// Reads `idmap[=uids=C-H-S#C-H-S;gids=…]` of a mount. A kind of ID that the option does not name
/// gets the container's mappings. In `@C-H-S`, H is an ID of the container.
///
/// # Errors
/// Returns an error for any other form.
fn of_mount(option: &str, container: &IdMaps) -> anyhow::Result<IdMaps> {
    let mut maps = container.clone();
    let Some(list) = option.strip_prefix("idmap=") else { return Ok(maps) };
    for part in list.split(';').filter(|p| !p.is_empty()) {
        match part.split_once('=') {
            Some(("uids", ranges)) => maps.uids = ranges_of(ranges, &container.uids)?,
            Some(("gids", ranges)) => maps.gids = ranges_of(ranges, &container.gids)?,
            _ => bail!("{option}: expected uids=C-H-S or gids=C-H-S"),
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
                .with_context(|| format!("{range}: expected C-H-S, three numbers"))?;
            if relative {
                map.host = id_map::to_host(container, map.host).with_context(|| {
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

    fn translated(mount: Value) -> anyhow::Result<(Value, Vec<Action>)> {
        let map = vec![IdMap { container: 0, host: 100_000, size: 2000 }];
        let maps = IdMaps { uids: map.clone(), gids: map };
        let owner = MountOwner {
            uid: 1000,
            gid: 10,
            maps: &maps,
            mount_label: "system_u:object_r:container_file_t:s0:c1,c2",
        };
        let (mut mount, mut actions) = (mount, Vec::new());
        translate(&mut mount, &owner, &mut actions)?;
        Ok((mount, actions))
    }

    #[test]
    fn engine_options_become_actions_or_runtime_options() {
        let (mount, actions) = translated(json!({
            "destination": "/d", "type": "bind", "source": "/srv/d", "options": ["U", "ro", "z", "idmap"]
        }))
        .unwrap();
        let map = json!([{"containerID": 0, "hostID": 100000, "size": 2000}]);
        assert_eq!(
            mount,
            json!({"destination": "/d", "type": "bind", "source": "/srv/d", "options": ["ro"], "uidMappings": map, "gidMappings": map})
        );
        assert_eq!(
            actions,
            [
                Action::Chown { path: "/srv/d".into(), uid: 101_000, gid: 100_010 },
                Action::Relabel {
                    path: "/srv/d".into(),
                    label: "system_u:object_r:container_file_t:s0".into(),
                    shared: true
                },
            ]
        );
    }

    #[test]
    fn a_tmpfs_gets_its_owner_from_mount_options() {
        let (mount, actions) =
            translated(json!({"destination": "/t", "type": "tmpfs", "options": ["U", "Z"]})).unwrap();
        assert_eq!(mount["options"], json!(["uid=1000", "gid=10"]));
        assert_eq!(actions, []);
    }

    #[test]
    fn an_empty_options_list_is_removed() {
        let (mount, _) =
            translated(json!({"destination": "/t", "type": "bind", "source": "/x", "options": ["Z"]}))
                .unwrap();
        assert_eq!(mount.get("options"), None);
    }

    #[test]
    fn chown_of_a_system_directory_names_the_destination() {
        let mount = json!({"destination": "/x", "type": "bind", "source": "/srv", "options": ["U"]});
        let error = format!("{:#}", translated(mount).unwrap_err());
        assert_eq!(error, "/x: chowning host path \"/srv\" is not allowed");
    }

    const MAP: IdMap = IdMap { container: 0, host: 100_000, size: 65_536 };

    #[test]
    fn idmap_without_ranges_uses_the_containers_mappings() {
        let container = IdMaps { uids: vec![MAP], gids: vec![MAP] };
        assert_eq!(of_mount("idmap", &container).unwrap(), container);
        let maps = of_mount("idmap=uids=0-1-10#10-11-10;gids=@0-1-5", &container).unwrap();
        assert_eq!(maps.uids.len(), 2);
        assert_eq!(maps.gids, [IdMap { container: 0, host: 100_001, size: 5 }]);
        for bad in ["idmap=x=0-0-1", "idmap=uids=0", "idmap=gids=@0-99999-1"] {
            assert!(of_mount(bad, &container).is_err(), "{bad}");
        }
    }

    #[test]
    fn options_that_no_runtime_knows_are_never_kept() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        let volume = dir.path().to_str().unwrap();
        let inside = format!("{volume}/sub");
        let label = "system_u:object_r:container_file_t:s0:c1,c2";
        #[rustfmt::skip]
        let cases: [(&[&str], Value, &str, Option<&str>); 6] = [
            (&["", "ro"], json!(["ro"]), volume, None),
            (&["no-dereference"], json!(["copy-symlink"]), volume, None),
            (&["subpath=sub", "ro"], json!(["ro"]), &inside, None),
            (&["subpath="], Value::Null, volume, None),
            (&["Z"], Value::Null, volume, Some(label)),
            (&["ro"], json!(["ro"]), volume, None),
        ];
        for (options, expected, source, relabeled) in cases {
            let bind = json!({"destination": "/d", "type": "bind", "source": volume, "options": options});
            let (mount, actions) = translated(bind).unwrap();
            assert_eq!(mount.get("options").unwrap_or(&Value::Null), &expected, "{options:?}");
            assert_eq!(mount["source"], *source, "{options:?}");
            let path = volume.to_owned();
            let relabel = |label: &str| Action::Relabel { path, label: label.into(), shared: false };
            assert_eq!(actions, Vec::from_iter(relabeled.map(relabel)), "{options:?}");
        }
        let out = json!({"destination": "/d", "type": "bind", "source": volume, "options": ["subpath=../x"]});
        assert!(translated(out).is_err());
    }

    #[test]
    fn a_label_without_a_level_is_shared_unchanged() {
        for (label, shared, expected) in [
            ("a:b:c:s0:c1,c2", true, "a:b:c:s0"),
            ("a:b:c:s0:c1,c2", false, "a:b:c:s0:c1,c2"),
            ("a:b:c", true, "a:b:c"),
        ] {
            let action = relabel("/p", label, shared);
            assert_eq!(action, Action::Relabel { path: "/p".into(), label: expected.into(), shared });
        }
    }
}
