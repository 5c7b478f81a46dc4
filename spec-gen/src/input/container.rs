//! The properties of a container that its spec does not hold: from libpod's `config.dump` and
//! state, and from flags.
//!
//! All fields that rules read are here, so that a rule does not depend on whether a container
//! config or a flag set them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context;
use serde_json::{Map, Value};

use crate::json_fields::{Fields, text_at};
use crate::notation::mounts::volume::Volume;
use crate::path;
use crate::runtime_spec::id_map::{IdMap, IdMaps};
use crate::runtime_spec::mounts;

/// A container. An empty field means that nothing was requested.
#[derive(Clone, Debug, Default)]
pub struct Container {
    /// Whether the config is libpod's. If so, the rules that libpod always applies (HOME,
    /// annotations, cgroup path) apply.
    pub is_libpod: bool,
    pub id: String,
    pub user: Option<String>,
    pub groups: Vec<String>,
    /// Users whose passwd entry on the host is used if the image has no entry for them.
    pub host_users: Vec<String>,
    /// Whether the user in the config was root, if a flag has replaced that user.
    pub was_root: Option<bool>,
    /// The user in the config, if a flag has replaced that user.
    pub user_before: Option<String>,
    /// The mounts of the config that flags removed.
    pub removed: Removed,
    /// Whether a flag or the image sets HOME.
    pub home_is_given: bool,
    /// The entrypoint of the image; ARGS are appended to it.
    pub entrypoint: Vec<String>,
    /// Whether the engine writes a passwd entry for an unknown numeric user, and its templates for
    /// the entry.
    pub passwd: bool,
    pub passwd_entry: String,
    pub group_entry: String,
    /// Whether the image gets an entry for the user who starts the container.
    pub add_current_user: bool,
    /// Whether rootless podman starts the container.
    pub rootless: bool,
    pub umask: Option<String>,
    pub id_maps: IdMaps,
    /// Mount point of the root file system.
    pub mount_point: String,
    pub static_dir: String,
    pub run_dir: String,
    pub shm_dir: String,
    /// Files of the engine by destination, if its state lists them.
    pub bind_map: BTreeMap<String, String>,
    pub volumes: Vec<Volume>,
    /// Destinations of the mounts that the user requested. The conditions of hooks can depend on
    /// whether such mounts exist.
    pub user_volumes: Vec<String>,
    /// Whether the engine creates the network namespace. With `late_netns`, the runtime creates the
    /// namespace and the engine configures it. The path is set if the namespace already exists.
    pub create_netns: bool,
    pub late_netns: bool,
    pub netns: String,
    pub image_resolv_conf: bool,
    pub image_hosts: bool,
    pub image_hostname: bool,
    /// Namespaces shared with other containers: type and container ID.
    pub shared: Vec<(&'static str, String)>,
    pub systemd: bool,
    pub shm_size_systemd: u64,
    /// Whether the container gets every device of the host.
    pub all_devices: bool,
    pub privileged: bool,
    /// Whether the engine chose the mappings of the user namespace.
    pub auto_userns: bool,
    pub cdi_devices: Vec<String>,
    pub cgroup_manager: String,
    pub cgroup_parent: String,
    pub cgroups_mode: String,
    pub stop_signal: u64,
    pub stop_timeout: u64,
    pub created: String,
    /// Variables whose value is a secret: the variable and the name of the secret.
    pub secret_env: BTreeMap<String, String>,
    /// Secrets as files: the destination and the name of the secret.
    pub secret_files: Vec<(String, String)>,
    pub secrets_dir: String,
    pub sdnotify_container: bool,
    pub timezone: String,
    pub chroot_dirs: Vec<String>,
    pub process_label: String,
    pub mount_label: String,
    /// Whether `--read-only` leaves /dev/shm writable.
    pub read_write_tmpfs: bool,
    pub create_workdir: bool,
}

/// Mounts that flags removed. Rules do not add these mounts again.
#[derive(Clone, Debug, Default)]
pub struct Removed {
    all: bool,
    destinations: Vec<String>,
}

impl Removed {
    /// Reports whether no mount of the config may be added at a destination.
    pub fn has(&self, destination: &str) -> bool {
        self.all || self.names(destination)
    }

    /// Reports whether a flag names this destination.
    pub fn names(&self, destination: &str) -> bool {
        self.destinations.contains(&path::clean(destination))
    }
}

/// libpod's keys for shared namespaces and their types, in the order in which podman applies them.
const SHARED: [(&str, &str); 7] = [
    ("ipcNsCtr", "ipc"),
    ("mountNsCtr", "mount"),
    ("netNsCtr", "network"),
    ("pidNsCtr", "pid"),
    ("userNsCtr", "user"),
    ("utsNsCtr", "uts"),
    ("cgroupNsCtr", "cgroup"),
];

impl Container {
    /// Reads libpod's container config, without its `spec`.
    ///
    /// # Errors
    /// Returns an error that names the key if its value does not have the type that libpod writes.
    pub fn from_libpod(config: &Map<String, Value>) -> anyhow::Result<Container> {
        let c = Fields::new(config);
        let mut container = Container {
            is_libpod: true,
            id: c.text("id")?,
            user: Some(c.text("user")?).filter(|u| !u.is_empty()),
            groups: c.texts("groups")?,
            host_users: c.texts("HostUsers")?,
            passwd: c.flag("passwd")?.unwrap_or(true),
            add_current_user: c.flag("addCurrentUserPasswdEntry")?.unwrap_or(false),
            passwd_entry: c.text("passwd_entry")?,
            group_entry: c.text("group_entry")?,
            umask: Some(c.text("umask")?).filter(|u| !u.is_empty()),
            static_dir: c.text("staticDir")?,
            shm_dir: c.text("ShmDir")?,
            user_volumes: c.texts("userVolumes")?,
            create_netns: c.flag("createNetNS")?.unwrap_or(false),
            late_netns: c.flag("postConfigureNetNS")?.unwrap_or(false),
            image_resolv_conf: c.flag("UseImageResolvConf")?.unwrap_or(false),
            image_hosts: c.flag("UseImageHosts")?.unwrap_or(false),
            image_hostname: c.flag("useImageHostname")?.unwrap_or(false),
            systemd: c.flag("systemd")?.unwrap_or(false),
            shm_size_systemd: c.number("shmSizeSystemd")?,
            privileged: c.flag("privileged")?.unwrap_or(false),
            all_devices: c.flag("mountAllDevices")?.unwrap_or(false),
            cdi_devices: c.texts("cdiDevices")?,
            cgroup_manager: c.text("cgroupManager")?,
            cgroup_parent: c.text("cgroupParent")?,
            cgroups_mode: c.text("cgroupsMode")?,
            stop_signal: c.number("stopSignal")?,
            stop_timeout: c.number("stopTimeout")?,
            created: c.text("createdTime")?,
            secrets_dir: c.text("secretsPath")?,
            sdnotify_container: !c.text("sdnotifySocket")?.is_empty()
                && c.text("sdnotifyMode")? == "container",
            timezone: c.text("timezone")?,
            chroot_dirs: c.texts("chroot_directories")?,
            process_label: c.text("ProcessLabel")?,
            mount_label: c.text("MountLabel")?,
            // podman 4.x has no such key and never makes /dev/shm read-only.
            read_write_tmpfs: c.flag("readWriteTmpfs")?.unwrap_or(true),
            create_workdir: c.flag("createWorkingDir")?.unwrap_or(false),
            ..Container::default()
        };
        if c.flag("noCgroups")?.unwrap_or(false) {
            container.cgroups_mode = "disabled".into();
        }
        container.id_maps = id_maps(&c)?;
        if let Some(options) = c.object("idMappingsOptions")? {
            container.auto_userns = options.flag("AutoUserNs")?.unwrap_or(false);
        }
        for (key, kind) in SHARED {
            let id = c.text(key)?;
            if !id.is_empty() {
                container.shared.push((kind, id));
            }
        }
        let secrets = c.object("secret_env")?;
        for (variable, secret) in secrets.iter().flat_map(Fields::iter) {
            let name = secret.get("name").and_then(Value::as_str);
            let name =
                name.with_context(|| format!("secret_env.{variable}.name: missing, expected a string"))?;
            container.secret_env.insert(variable.clone(), name.to_owned());
        }
        for secret in c.objects("secrets")? {
            let name = secret.text("name")?;
            let target = secret.text("Target")?;
            let destination = match target.as_str() {
                "" => format!("/run/secrets/{name}"),
                absolute if absolute.starts_with('/') => target,
                _ => format!("/run/secrets/{target}"),
            };
            container.secret_files.push((destination, name));
        }
        container.volumes = libpod_volumes(&c)?;
        Ok(container)
    }

    /// Adds the values in libpod's state of the container.
    ///
    /// # Errors
    /// Returns an error that names the key if its value does not have the type that libpod writes.
    pub fn add_state(&mut self, state: &Map<String, Value>) -> anyhow::Result<()> {
        let s = Fields::new(state);
        self.mount_point = s.text("mountPoint")?;
        self.run_dir = s.text("runDir")?;
        self.netns = s.text("netns")?;
        if let Some(mounts) = s.object("bindMounts")? {
            for (destination, source) in mounts.iter() {
                let source = text_at(&mounts.path_of(destination), source)?;
                self.bind_map.insert(destination.clone(), source);
            }
        }
        Ok(())
    }

    /// Returns the directory of a named volume in libpod's default layout, or `None` if the config
    /// does not state where libpod stores volumes.
    pub fn volume_dir(&self, name: &str) -> Option<PathBuf> {
        let (root, _) = self.static_dir.split_once("/overlay-containers/")?;
        Some(PathBuf::from(format!("{root}/volumes/{name}/_data")))
    }

    /// Removes the values of the config for a namespace that a flag sets.
    pub fn forget_namespace(&mut self, kind: &str) {
        self.shared.retain(|(shared, _)| *shared != kind);
        match kind {
            "network" => {
                (self.create_netns, self.late_netns) = (false, false);
                self.netns.clear();
            }
            "user" => self.auto_userns = false,
            _ => {}
        }
    }

    /// Removes all mounts of the config at a destination. Returns whether there were any.
    pub fn remove_mount(&mut self, destination: &str) -> bool {
        let at = path::clean(destination);
        let before = self.volumes.len() + self.secret_files.len() + self.bind_map.len();
        self.volumes.retain(|volume| path::clean(volume.destination()) != at);
        self.secret_files.retain(|(file, _)| path::clean(file) != at);
        self.bind_map.retain(|file, _| path::clean(file) != at);
        self.user_volumes.retain(|volume| path::clean(volume) != at);
        self.removed.destinations.push(at);
        self.volumes.len() + self.secret_files.len() + self.bind_map.len() < before
    }

    /// Removes all mounts of the config.
    pub fn remove_all_mounts(&mut self) {
        self.volumes.clear();
        self.secret_files.clear();
        self.bind_map.clear();
        self.user_volumes.clear();
        self.removed.all = true;
    }

    /// Reports whether the container shares a namespace of this type with another container.
    pub fn shares(&self, kind: &str) -> bool {
        self.shared.iter().any(|(shared, _)| *shared == kind)
    }

    /// Returns the first 12 characters of the ID, which podman prints.
    pub fn short_id(&self) -> &str {
        self.id.get(..12).unwrap_or(&self.id)
    }
}

fn libpod_volumes(c: &Fields<'_>) -> anyhow::Result<Vec<Volume>> {
    let mut all = Vec::new();
    for v in c.objects("namedVolumes")? {
        all.push(Volume::Named {
            name: v.text("volumeName")?,
            destination: v.text("dest")?,
            options: v.texts("options")?,
            subpath: v.text("SubPath")?,
        });
    }
    for v in c.objects("overlayVolumes")? {
        all.push(Volume::Overlay {
            source: v.text("source")?,
            destination: v.text("dest")?,
            options: v.texts("options")?,
        });
    }
    for v in c.objects("ctrImageVolumes")? {
        all.push(Volume::Image {
            reference: v.text("source")?,
            destination: v.text("dest")?,
            writable: v.flag("rw")?.unwrap_or(false),
            subpath: v.text("subPath")?,
        });
    }
    for volume in &all {
        mounts::check_destination(volume.destination())?;
    }
    Ok(all)
}

fn id_maps(c: &Fields<'_>) -> anyhow::Result<IdMaps> {
    let Some(options) = c.object("idMappingsOptions")? else { return Ok(IdMaps::default()) };
    let list = |key: &str| -> anyhow::Result<Vec<IdMap>> {
        let mut maps = Vec::new();
        for map in options.objects(key)? {
            let number = |name: &str| -> anyhow::Result<u32> {
                u32::try_from(map.number(name)?)
                    .with_context(|| format!("{}: above the largest ID", map.path_of(name)))
            };
            maps.push(IdMap {
                container: number("container_id")?,
                host: number("host_id")?,
                size: number("size")?,
            });
        }
        Ok(maps)
    };
    Ok(IdMaps { uids: list("UIDMap")?, gids: list("GIDMap")? })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn wrong_types_are_reported_with_their_key() {
        #[rustfmt::skip]
        let cases = [
            (json!({"user": 5}), "user: expected a string, found the number 5"),
            (json!({"groups": ["a", 1]}), "groups[1]: expected a string, found the number 1"),
            (json!({"namedVolumes": [{"dest": 7}]}), "namedVolumes[0].dest: expected a string"),
            (json!({"idMappingsOptions": {"UIDMap": [{"size": -1}]}}), "idMappingsOptions.UIDMap[0].size: expected a number from 0 on"),
            (json!({"secret_env": {"S": {}}}), "secret_env.S.name: missing"),
            (json!({"noCgroups": "yes"}), "noCgroups: expected true or false"),
        ];
        for (config, message) in cases {
            let error = format!("{:#}", Container::from_libpod(config.as_object().unwrap()).unwrap_err());
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn named_volumes_are_found_in_the_storage_of_the_container() {
        let container =
            Container { static_dir: "/s/root/overlay-containers/ID/userdata".into(), ..Container::default() };
        assert_eq!(container.volume_dir("v"), Some(PathBuf::from("/s/root/volumes/v/_data")));
        assert_eq!(Container::default().volume_dir("v"), None);
    }
}
