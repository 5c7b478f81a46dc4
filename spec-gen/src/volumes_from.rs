//! `--volumes-from`: the volumes of another container, read from its config.

use std::path::PathBuf;

use anyhow::Context;
use serde_json::{Map, Value};

use crate::container::Container;
use crate::input::{self, Kind};
use crate::mounts::{self, Mount};
use crate::volumes::Volume;
use crate::{bindmap, init};

/// What the flag asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumesFrom {
    file: PathBuf,
    /// `ro` or `rw` for all of them.
    access: Option<&'static str>,
    relabel: bool,
}

impl VolumesFrom {
    /// Reads `FILE[:OPTIONS]`, the options as podman has them.
    ///
    /// # Errors
    /// With what would have been accepted.
    pub fn parse(text: &str) -> Result<VolumesFrom, String> {
        let (file, options) =
            text.rsplit_once(':').map_or((text, None), |(file, options)| (file, Some(options)));
        let mut wanted = VolumesFrom { file: file.into(), access: None, relabel: false };
        for option in options.into_iter().flat_map(|o| o.split(',')) {
            match option {
                "ro" | "rw" if wanted.access.is_some() => return Err("more than one of ro and rw".into()),
                "ro" => wanted.access = Some("ro"),
                "rw" => wanted.access = Some("rw"),
                "z" if wanted.relabel => return Err("z is given twice".into()),
                "z" => wanted.relabel = true,
                other => return Err(format!("{other:?}: the options are ro, rw and z")),
            }
        }
        if file.is_empty() { Err("FILE[:OPTIONS] is wanted".into()) } else { Ok(wanted) }
    }

    /// The volumes, in the order of the other container's config.
    ///
    /// podman takes bind mounts and named volumes; a tmpfs and an overlay are the other container's alone.
    ///
    /// # Errors
    /// When the file is no container's config.
    pub fn read(&self) -> anyhow::Result<Vec<Volume>> {
        let file = if self.file.is_dir() { self.file.join("config.json") } else { self.file.clone() };
        let (value, name) = input::read_json(Some(&file), "a container config or a spec")?;
        let found = match Kind::of(&value, &name)? {
            Kind::ContainerConfig => {
                of_config(value.as_object().context("an object")?).with_context(|| name.clone())?
            }
            _ => of_spec(&value),
        };
        for volume in &found {
            mounts::check_destination(volume.destination()).with_context(|| name.clone())?;
        }
        Ok(found.into_iter().map(|volume| self.changed(volume)).collect())
    }

    /// podman replaces all options by these, and so a volume that was `noexec` there is not here; only what is asked for
    /// changes.
    fn changed(&self, mut volume: Volume) -> Volume {
        let (Volume::Mount(Mount { options, .. }) | Volume::Named { options, .. }) = &mut volume else {
            return volume;
        };
        options.retain(|o| !matches!(o.as_str(), "copy" | "nocopy"));
        if let Some(access) = self.access {
            options.retain(|o| !matches!(o.as_str(), "ro" | "rw"));
            options.insert(0, access.into());
        }
        if self.relabel && !options.iter().any(|o| matches!(o.as_str(), "z" | "Z")) {
            options.push("z".into());
        }
        volume
    }
}

/// Of libpod's config: the bind mounts the user asked for, and the named volumes.
fn of_config(map: &Map<String, Value>) -> anyhow::Result<Vec<Volume>> {
    let other = Container::from_libpod(map)?;
    let is_users =
        |m: &&Mount| other.user_volumes.iter().any(|v| mounts::clean(v) == mounts::clean(&m.destination));
    let binds = binds(map.get("spec"));
    let mut found: Vec<Volume> = binds.iter().filter(is_users).cloned().map(Volume::Mount).collect();
    for volume in &other.volumes {
        let Volume::Named { name, destination, options, subpath } = volume else { continue };
        // The other container's podman knows where it is; unless it is told by a flag, that counts.
        found.push(match other.volume_dir(name).filter(|_| subpath.is_empty()) {
            Some(dir) => Volume::Mount(Mount {
                destination: destination.clone(),
                kind: "bind".into(),
                source: crate::flags::utf8(dir)?,
                options: options.clone(),
            }),
            None => volume.clone(),
        });
    }
    Ok(found)
}

/// Of a spec: the bind mounts but those of a container manager.
fn of_spec(spec: &Value) -> Vec<Volume> {
    let is_managers = |m: &&Mount| {
        let destination = mounts::clean(&m.destination);
        bindmap::file_name(&destination).is_some()
            || destination == init::INIT
            || ["/proc", "/sys", "/dev", "/run/secrets"].iter().any(|dir| mounts::is_below(&destination, dir))
    };
    let binds = binds(Some(spec));
    binds.iter().filter(|m| !is_managers(m)).cloned().map(Volume::Mount).collect()
}

/// The bind mounts of a spec that have a path of the host.
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
    use super::*;

    #[test]
    fn options_are_podmans_and_given_once() {
        let wanted = |access, relabel| Ok(VolumesFrom { file: "f".into(), access, relabel });
        assert_eq!(VolumesFrom::parse("f"), wanted(None, false));
        assert_eq!(VolumesFrom::parse("f:z,ro"), wanted(Some("ro"), true));
        for bad in ["", ":ro", "f:", "f:U", "f:ro,rw", "f:z,z", "f:Z", "f:ro,"] {
            assert!(VolumesFrom::parse(bad).is_err(), "{bad}");
        }
    }
}
