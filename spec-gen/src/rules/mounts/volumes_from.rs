//! `--volumes-from`: reads the volumes of another container from its config.

use anyhow::Context;
use serde_json::{Map, Value};

use crate::input::container::Container;
use crate::input::{self, InputKind};
use crate::notation::mounts::volume::Volume;
use crate::notation::mounts::volumes_from::VolumesFrom;
use crate::path;
use crate::rules::engine::bound_files;
use crate::rules::process::init;
use crate::runtime_spec::mounts::{self, Mount};

/// Returns the volumes in the order of the other container's config.
///
/// Like podman, returns bind mounts and named volumes, but no tmpfs and no overlay.
///
/// # Errors
/// Returns an error if the file is not a container config or a spec.
pub fn read(flag: &VolumesFrom) -> anyhow::Result<Vec<Volume>> {
    let file = if flag.file.is_dir() { flag.file.join("config.json") } else { flag.file.clone() };
    let (value, name) = input::read_json(Some(&file), "a container config or a spec")?;
    let found = match InputKind::of(&value, &name)? {
        InputKind::ContainerConfig => {
            of_config(value.as_object().context("an object")?).with_context(|| name.clone())?
        }
        _ => of_spec(&value),
    };
    for volume in &found {
        mounts::check_destination(volume.destination()).with_context(|| name.clone())?;
    }
    Ok(found.into_iter().map(|volume| changed(flag, volume)).collect())
}

/// Changes only the options that the flag names. podman replaces all options, so that a volume
/// loses its `noexec`.
fn changed(flag: &VolumesFrom, mut volume: Volume) -> Volume {
    let (Volume::Mount(Mount { options, .. }) | Volume::Named { options, .. }) = &mut volume else {
        return volume;
    };
    options.retain(|o| !matches!(o.as_str(), "copy" | "nocopy"));
    if let Some(access) = flag.access {
        options.retain(|o| !matches!(o.as_str(), "ro" | "rw"));
        options.insert(0, access.into());
    }
    if flag.relabel && !options.iter().any(|o| matches!(o.as_str(), "z" | "Z")) {
        options.push("z".into());
    }
    volume
}

/// Returns the volumes of a libpod config: the bind mounts that the user requested, and the named
/// volumes.
fn of_config(map: &Map<String, Value>) -> anyhow::Result<Vec<Volume>> {
    let other = Container::from_libpod(map)?;
    let is_users =
        |m: &&Mount| other.user_volumes.iter().any(|v| path::clean(v) == path::clean(&m.destination));
    let binds = binds(map.get("spec"));
    let mut found: Vec<Volume> = binds.iter().filter(is_users).cloned().map(Volume::Mount).collect();
    for volume in &other.volumes {
        let Volume::Named { name, destination, options, subpath } = volume else { continue };
        // The other container's config states the directory. A flag takes precedence.
        found.push(match other.volume_dir(name).filter(|_| subpath.is_empty()) {
            Some(dir) => Volume::Mount(Mount {
                destination: destination.clone(),
                kind: "bind".into(),
                source: path::utf8(dir)?,
                options: options.clone(),
            }),
            None => volume.clone(),
        });
    }
    Ok(found)
}

/// Returns the bind mounts of a spec, except the mounts of the container engine.
fn of_spec(spec: &Value) -> Vec<Volume> {
    let is_managers = |m: &&Mount| {
        let destination = path::clean(&m.destination);
        bound_files::file_name(&destination).is_some()
            || destination == init::INIT
            || ["/proc", "/sys", "/dev", "/run/secrets"].iter().any(|dir| path::is_below(&destination, dir))
    };
    let binds = binds(Some(spec));
    binds.iter().filter(|m| !is_managers(m)).cloned().map(Volume::Mount).collect()
}

/// Returns the bind mounts of a spec whose source is a host path.
fn binds(spec: Option<&Value>) -> Vec<Mount> {
    let list = spec.and_then(|s| s.get("mounts")).and_then(Value::as_array).into_iter().flatten();
    let is_path = |m: &&Value| mounts::is_bind(m) && mounts::source(m).starts_with('/');
    list.filter(is_path)
        .map(|m| Mount {
            destination: mounts::destination(m).to_owned(),
            kind: "bind".into(),
            source: mounts::source(m).to_owned(),
            options: mounts::options(m).map(str::to_owned).collect(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_bind_mounts_of_absolute_paths_are_copied() {
        let spec = json!({"mounts": [
            {"destination": "/a", "type": "bind", "source": "/srv/a", "options": ["rbind", "ro"]},
            {"destination": "/b", "type": "bind", "source": "relative"},
            {"destination": "/c", "type": "tmpfs", "source": "/tmpfs"},
            {"destination": "/d", "source": "/srv/d", "options": ["bind"]},
            {"destination": "/proc/x", "type": "bind", "source": "/srv/x"},
            {"destination": "/etc/hosts", "type": "bind", "source": "/srv/hosts"},
            {"destination": "/run/podman-init", "type": "bind", "source": "/bin/catatonit"},
            {"destination": "/devices", "type": "bind", "source": "/srv/devices"},
        ]});
        let found = of_spec(&spec);
        let destinations: Vec<&str> = found.iter().map(Volume::destination).collect();
        assert_eq!(destinations, ["/a", "/d", "/devices"]);
        assert!(of_spec(&json!({})).is_empty());
    }

    #[test]
    fn a_flag_changes_only_the_options_that_it_names() {
        // The access and relabeling of the flag, and the options before and after.
        type Case<'a> = (Option<&'static str>, bool, &'a [&'a str], &'a [&'a str]);
        #[rustfmt::skip]
        let cases: [Case; 6] = [
            (None, false, &["ro", "noexec", "nocopy"], &["ro", "noexec"]),
            (Some("rw"), false, &["noexec", "ro"], &["rw", "noexec"]),
            (Some("ro"), true, &["rw", "copy"], &["ro", "z"]),
            (None, true, &["Z"], &["Z"]),
            (None, true, &["z"], &["z"]),
            (None, true, &[], &["z"]),
        ];
        for (access, relabel, options, expected) in cases {
            let flag = VolumesFrom { file: "c".into(), access, relabel };
            let volume = Volume::Mount(Mount::bind("/s", "/d", options));
            let Volume::Mount(mount) = changed(&flag, volume) else { panic!("not a mount") };
            assert_eq!(mount.options, expected, "{access:?} {relabel} {options:?}");
        }
    }
}
