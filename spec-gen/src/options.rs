//! The mount options that are words to the manager and not to the runtime: `U`, `z`, `Z`, `idmap`, `subpath`.

use std::path::Path;

use anyhow::Context;
use serde_json::{Value, json};

use crate::actions::{self, Action};
use crate::idmap::{self, IdMaps};
use crate::mounts::{destination, is_bind, kind, options, set_options, source};
use crate::overlay;

/// What the translations need to know of the container.
pub struct Owner<'a> {
    /// The process's ids in the container.
    pub uid: u32,
    pub gid: u32,
    pub maps: &'a IdMaps,
    /// The label of the container's files; empty without SELinux.
    pub mount_label: &'a str,
}

/// Translates the options of one mount; side effects they stand for are added to `actions`.
///
/// # Errors
/// When an owner is not in the user namespace, a directory must not be given away, or an `idmap=` makes no sense.
pub fn translate(mount: &mut Value, owner: &Owner<'_>, actions: &mut Vec<Action>) -> anyhow::Result<()> {
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
            // podman leaves empty options behind (systemd's tmpfs mounts without a size).
            "" => {}
            "U" if kind(mount) == "tmpfs" => {
                kept.push(format!("uid={}", owner.uid));
                kept.push(format!("gid={}", owner.gid));
            }
            "U" => {
                let (uid, gid) =
                    idmap::process_on_host(owner.maps, owner.uid, owner.gid).context(name.clone())?;
                actions.push(actions::chown(source(mount), uid, gid).context(name.clone())?);
            }
            "z" | "Z" => {
                // A tmpfs has no files on the host to label.
                if is_bind(mount) && !owner.mount_label.is_empty() {
                    actions.push(relabel(source(mount), owner.mount_label, option == "z"));
                }
            }
            o if o.starts_with("subpath=") => {
                let subpath = o.trim_start_matches("subpath=");
                let inside = overlay::below(Path::new(source(mount)), subpath);
                mount["source"] = json!(inside.with_context(|| name.clone())?);
            }
            // crun's word for it.
            "no-dereference" => kept.push("copy-symlink".into()),
            o if o == "idmap" || o.starts_with("idmap=") => {
                let maps = idmap::of_mount(o, owner.maps).with_context(|| name.clone())?;
                for (key, maps) in [("uidMappings", maps.uids), ("gidMappings", maps.gids)] {
                    if !maps.is_empty() {
                        mount[key] = json!(maps.into_iter().map(idmap::IdMap::to_value).collect::<Vec<_>>());
                    }
                }
            }
            _ => kept.push(option),
        }
    }
    set_options(mount, kept);
    Ok(())
}

/// A shared label is the container's without its categories, so that other containers may read it too.
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

#[cfg(test)]
mod tests {
    use crate::idmap::IdMap;

    use super::*;

    fn translated(mount: Value) -> anyhow::Result<(Value, Vec<Action>)> {
        let map = vec![IdMap { container: 0, host: 100_000, size: 2000 }];
        let maps = IdMaps { uids: map.clone(), gids: map };
        let owner = Owner {
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
    fn the_managers_words_become_actions_or_the_runtimes_words() {
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
    fn a_tmpfs_gets_its_owner_by_option() {
        let (mount, actions) =
            translated(json!({"destination": "/t", "type": "tmpfs", "options": ["U", "Z"]})).unwrap();
        assert_eq!(mount["options"], json!(["uid=1000", "gid=10"]));
        assert_eq!(actions, []);
    }

    #[test]
    fn without_options_left_the_key_goes() {
        let (mount, _) =
            translated(json!({"destination": "/t", "type": "bind", "source": "/x", "options": ["Z"]}))
                .unwrap();
        assert_eq!(mount.get("options"), None);
    }

    #[test]
    fn a_system_directory_is_refused_with_its_destination() {
        let mount = json!({"destination": "/x", "type": "bind", "source": "/srv", "options": ["U"]});
        let error = format!("{:#}", translated(mount).unwrap_err());
        assert_eq!(error, "/x: chowning host path \"/srv\" is not allowed");
    }
}
