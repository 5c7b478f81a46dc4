//! `spec.dump`: the OCI runtime spec of the container. Only the keys that an archive needs are
//! read.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::config_dump::image_id;
use crate::error::{Error, Result};
use crate::member::CONFIG_LIMIT;

/// A `spec.dump`. Keys that are not set by this type are preserved.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SpecDump(Map<String, Value>);

/// The container engine that ran the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// podman.
    Podman,
    /// CRI-O.
    CriO,
    /// containerd.
    Containerd,
    /// No engine: an OCI runtime was called directly.
    Runtime,
}

impl Engine {
    /// Returns the engine's name as checkpointctl prints it.
    pub fn name(self) -> &'static str {
        match self {
            Engine::Podman => "Podman",
            Engine::CriO => "CRI-O",
            Engine::Containerd => "containerd",
            Engine::Runtime => "runtime",
        }
    }
}

/// A mount of the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount<'a> {
    /// The path in the container.
    pub destination: &'a str,
    /// `bind`, `tmpfs`, …
    pub kind: &'a str,
    /// The path on the host, for a bind mount.
    pub source: &'a str,
}

impl SpecDump {
    /// The largest document that is read, in bytes.
    pub const LIMIT: u64 = CONFIG_LIMIT;

    /// Parses the document.
    ///
    /// # Errors
    /// Returns an error if `text` is not a JSON object with unique keys.
    pub fn read(text: &[u8]) -> Result<SpecDump> {
        match strict_json::document(text) {
            Ok(Value::Object(keys)) => Ok(SpecDump(keys)),
            Ok(_) => Err(Error::member("spec.dump", "not a JSON object")),
            Err(e) => Err(Error::member("spec.dump", e)),
        }
    }

    /// Returns the document, indented by two spaces.
    pub fn write(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(&self.0).unwrap_or_default()
    }

    /// Returns the first key that podman needs and the document lacks. podman 5.4.2 panics without
    /// `process` or `root`.
    pub fn missing(&self) -> Option<&'static str> {
        ["process", "root", "mounts", "linux"].into_iter().find(|key| !self.0.contains_key(*key))
    }

    /// Returns the path of the root file system, which may be relative to the bundle.
    pub fn root_path(&self) -> Option<&str> {
        self.0.get("root")?.get("path")?.as_str()
    }

    /// Returns the mounts in the order of the document.
    pub fn mounts(&self) -> Vec<Mount<'_>> {
        let list = self.0.get("mounts").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        fn text<'v>(mount: &'v Value, key: &str) -> &'v str {
            mount.get(key).and_then(Value::as_str).unwrap_or_default()
        }
        list.iter()
            .map(|m| Mount {
                destination: text(m, "destination"),
                kind: text(m, "type"),
                source: text(m, "source"),
            })
            .collect()
    }

    /// Sets the source of the mount at `destination`. Returns whether such a mount exists.
    pub fn set_mount_source(&mut self, destination: &str, source: &str) -> bool {
        let Some(Value::Array(list)) = self.0.get_mut("mounts") else { return false };
        let is_there = |m: &&mut Value| m.get("destination").and_then(Value::as_str) == Some(destination);
        let Some(Value::Object(mount)) = list.iter_mut().find(is_there) else { return false };
        mount.insert("source".into(), source.into());
        true
    }

    /// Returns the value of an annotation.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.0.get("annotations")?.get(key)?.as_str()
    }

    /// Returns all annotations whose values are strings, by name.
    pub fn annotations(&self) -> BTreeMap<&str, &str> {
        let all = self.0.get("annotations").and_then(Value::as_object);
        all.into_iter().flatten().filter_map(|(key, value)| Some((key.as_str(), value.as_str()?))).collect()
    }

    /// Returns the name and the namespace of the container's pod, which the kubelet passed to CRI-O
    /// or containerd.
    pub fn pod(&self) -> (Option<&str>, Option<&str>) {
        let either = |a, b| self.annotation(a).or_else(|| self.annotation(b));
        (
            either("io.kubernetes.pod.name", "io.kubernetes.cri.sandbox-name"),
            either("io.kubernetes.pod.namespace", "io.kubernetes.cri.sandbox-namespace"),
        )
    }

    /// Returns the name that the kubelet gave the container. The name in config.dump is a longer
    /// name, which CRI-O or containerd made.
    pub fn container_name(&self) -> Option<String> {
        if let Some(name) = self.annotation("io.kubernetes.cri.container-name") {
            return Some(name.to_owned());
        }
        let metadata: Value = serde_json::from_str(self.annotation("io.kubernetes.cri-o.Metadata")?).ok()?;
        metadata.get("name")?.as_str().map(str::to_owned)
    }

    /// Sets `key` in the object `parent`, which is created if it is missing.
    pub fn set(&mut self, parent: &str, key: &str, value: &str) {
        let parent = self.0.entry(parent).or_insert_with(|| Value::Object(Map::new()));
        if !parent.is_object() {
            *parent = Value::Object(Map::new());
        }
        parent[key] = value.into();
    }

    /// Returns the types of the container's namespaces (`pid`, `network`, …), with the paths of the
    /// namespaces that the container joined.
    pub fn namespaces(&self) -> Vec<(&str, Option<&str>)> {
        let list = self.0.get("linux").and_then(|linux| linux.get("namespaces")).and_then(Value::as_array);
        list.into_iter()
            .flatten()
            .filter_map(|namespace| {
                let path = namespace.get("path").and_then(Value::as_str).filter(|path| !path.is_empty());
                Some((namespace.get("type")?.as_str()?, path))
            })
            .collect()
    }

    /// Returns whether Docker ran the container. Docker sets no annotations, but mounts files from
    /// `DATA-ROOT/containers/ID` into every container.
    pub fn is_of_docker(&self) -> bool {
        ["hosts", "hostname", "resolv.conf"].into_iter().any(|name| {
            self.mounts().iter().any(|mount| {
                let dir = mount.source.strip_suffix(name).and_then(|dir| dir.strip_suffix('/'));
                let id = dir.and_then(|dir| dir.rsplit_once("/containers/")).map(|(_, id)| id);
                mount.destination.strip_prefix("/etc/") == Some(name)
                    && id.is_some_and(|id| image_id(id) == Some(id))
            })
        })
    }

    /// Returns the path of the cgroup, in the form that the runtime's cgroup manager expects.
    pub fn cgroups_path(&self) -> Option<&str> {
        self.0.get("linux")?.get("cgroupsPath")?.as_str()
    }

    /// Returns the path of the network namespace that the container joined, or `None` if the
    /// container has the host's network or a namespace that the runtime created.
    pub fn network_namespace(&self) -> Option<&str> {
        self.namespaces().iter().find_map(|(kind, path)| path.filter(|_| *kind == "network"))
    }

    /// Sets the path of the network namespace. Returns whether the container has one with a path.
    pub fn set_network_namespace(&mut self, path: &str) -> bool {
        let list = self.0.get_mut("linux").and_then(|linux| linux.get_mut("namespaces"));
        let Some(Value::Array(list)) = list else { return false };
        let is_joined = |namespace: &&mut Value| {
            let text = |key| namespace.get(key).and_then(Value::as_str).unwrap_or_default();
            text("type") == "network" && !text("path").is_empty()
        };
        let Some(Value::Object(namespace)) = list.iter_mut().find(is_joined) else { return false };
        namespace.insert("path".into(), path.into());
        true
    }

    /// Removes all hooks. Returns the stage and the path of each of them, such as
    /// `hooks.prestart: /usr/bin/hook`.
    pub fn remove_hooks(&mut self) -> Vec<String> {
        // Unlike swap_remove, shift_remove keeps the order of the other keys.
        let Some(stages) = self.0.shift_remove("hooks") else { return Vec::new() };
        let mut removed = Vec::new();
        for (stage, hooks) in stages.as_object().into_iter().flatten() {
            for hook in hooks.as_array().into_iter().flatten() {
                let path = hook.get("path").and_then(Value::as_str).unwrap_or("without a path");
                removed.push(format!("hooks.{stage}: {path}"));
            }
        }
        removed
    }

    /// Returns the host ID of the container's group 0, if the container has a user namespace that
    /// maps this group.
    pub fn root_group(&self) -> Option<u32> {
        self.namespaces().iter().find(|(kind, _)| *kind == "user")?;
        let maps = self.0.get("linux")?.get("gidMappings")?.as_array()?;
        let number = |map: &Value, key: &str| map.get(key).and_then(Value::as_u64);
        let root =
            maps.iter().find(|map| number(map, "containerID") == Some(0) && number(map, "size") > Some(0))?;
        number(root, "hostID").and_then(|id| u32::try_from(id).ok())
    }

    /// Returns `uid:gid` of the first process, or `None` if the process runs as root.
    pub fn user(&self) -> Option<String> {
        let user = self.0.get("process")?.get("user")?;
        let id = |key: &str| user.get(key).and_then(Value::as_u64).unwrap_or(0);
        (id("uid") != 0).then(|| format!("{}:{}", id("uid"), id("gid")))
    }

    /// Returns the container engine. Like checkpointctl, recognizes the engine by the annotation
    /// `io.container.manager`. containerd does not set that annotation, so it is recognized by its
    /// own annotations.
    pub fn engine(&self) -> Engine {
        match self.annotation("io.container.manager") {
            Some("libpod") => Engine::Podman,
            Some("cri-o") => Engine::CriO,
            _ if self.annotation("io.kubernetes.cri.container-type").is_some() => Engine::Containerd,
            _ if self.annotation("io.kubernetes.cri.container-name").is_some() => Engine::Containerd,
            _ => Engine::Runtime,
        }
    }

    /// Returns all keys.
    pub fn keys(&self) -> &Map<String, Value> {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(text: &str) -> SpecDump {
        SpecDump::read(text.as_bytes()).unwrap()
    }

    #[test]
    fn the_source_of_a_mount_is_set_by_destination() {
        let mut spec = spec(
            r#"{"mounts":[{"destination":"/a","source":"/x"},{"destination":"/b","type":"bind","source":"/y"}]}"#,
        );
        assert!(spec.set_mount_source("/b", "/z"));
        assert!(!spec.set_mount_source("/c", "/z"));
        assert_eq!(spec.mounts()[1], Mount { destination: "/b", kind: "bind", source: "/z" });
        assert_eq!(spec.mounts()[0].source, "/x");
    }

    #[test]
    fn the_user_is_returned_unless_it_is_root() {
        assert_eq!(spec(r#"{"process":{"user":{"uid":0,"gid":5}}}"#).user(), None);
        assert_eq!(spec(r#"{"process":{"user":{"uid":7,"gid":5}}}"#).user().as_deref(), Some("7:5"));
        assert_eq!(spec("{}").user(), None);
    }

    #[test]
    fn kubernetes_names_are_read_from_both_engines() {
        let crio = spec(
            r#"{"annotations":{"io.kubernetes.cri-o.Metadata":"{\"name\":\"web\",\"attempt\":1}","io.kubernetes.pod.name":"p","io.kubernetes.pod.namespace":"n","x":1}}"#,
        );
        assert_eq!(crio.container_name().as_deref(), Some("web"));
        assert_eq!(crio.pod(), (Some("p"), Some("n")));
        assert_eq!(crio.annotations().len(), 3);
        let containerd = spec(
            r#"{"annotations":{"io.kubernetes.cri.container-name":"web","io.kubernetes.cri.sandbox-name":"p","io.kubernetes.cri.sandbox-namespace":"n"}}"#,
        );
        assert_eq!(containerd.container_name().as_deref(), Some("web"));
        assert_eq!(containerd.pod(), (Some("p"), Some("n")));
        assert_eq!(spec(r#"{"annotations":{"io.kubernetes.cri-o.Metadata":"["}}"#).container_name(), None);
    }

    #[test]
    fn joined_namespaces_have_a_path() {
        let spec = spec(
            r#"{"linux":{"namespaces":[{"type":"pid"},{"type":"network","path":"/n"},{"type":"ipc","path":""},{"path":"/x"}]}}"#,
        );
        assert_eq!(spec.namespaces(), [("pid", None), ("network", Some("/n")), ("ipc", None)]);
    }

    #[test]
    fn docker_is_recognized_by_the_files_that_it_mounts() {
        let id = "0123456789abcdef".repeat(4);
        let mounts = |destination: &str, source: String| {
            spec(&format!(r#"{{"mounts":[{{"destination":"{destination}","source":"{source}"}}]}}"#))
                .is_of_docker()
        };
        assert!(mounts("/etc/hosts", format!("/var/lib/docker/containers/{id}/hosts")));
        assert!(mounts("/etc/resolv.conf", format!("/srv/d/containers/{id}/resolv.conf")));
        for (destination, source) in [
            ("/etc/hosts", format!("/run/containers/storage/overlay-containers/{id}/userdata/hosts")),
            ("/etc/hosts", "/var/lib/docker/containers/web/hosts".into()),
            ("/etc/hosts", format!("/x/containers/{id}/hostname")),
            ("/x/hosts", format!("/x/containers/{id}/hosts")),
            ("/etc/hosts", "hosts".into()),
        ] {
            assert!(!mounts(destination, source.clone()), "{source}");
        }
    }

    #[test]
    fn only_a_joined_network_namespace_has_a_path_to_set() {
        let of = |namespaces: &str| spec(&format!(r#"{{"linux":{{"namespaces":[{namespaces}]}}}}"#));
        let mut joined = of(r#"{"type":"pid","path":"/p"},{"type":"network","path":"/n"}"#);
        assert_eq!(joined.network_namespace(), Some("/n"));
        assert!(joined.set_network_namespace("/m"));
        assert_eq!(joined.namespaces(), [("pid", Some("/p")), ("network", Some("/m"))]);
        for other in
            ["", r#"{"type":"network"}"#, r#"{"type":"network","path":""}"#, r#"{"type":"pid"}"#, "5"]
        {
            let mut other = of(other);
            assert_eq!(other.network_namespace(), None);
            assert!(!other.set_network_namespace("/m"));
        }
        assert!(!spec(r#"{"linux":[]}"#).set_network_namespace("/m"));
    }

    #[test]
    fn removed_hooks_are_named_by_stage_and_path() {
        let mut hooked = spec(
            r#"{"a":1,"hooks":{"prestart":[{"path":"/x","args":["x","y"]},{"path":"/z"}],"poststop":[{}]},"b":2}"#,
        );
        assert_eq!(
            hooked.remove_hooks(),
            ["hooks.prestart: /x", "hooks.prestart: /z", "hooks.poststop: without a path"]
        );
        assert_eq!(serde_json::to_string(hooked.keys()).unwrap(), r#"{"a":1,"b":2}"#);
        for text in
            [r#"{"hooks":null}"#, r#"{"hooks":{}}"#, r#"{"hooks":[1]}"#, r#"{"hooks":{"prestart":5}}"#]
        {
            assert!(spec(text).remove_hooks().is_empty(), "{text}");
        }
    }

    #[test]
    fn the_root_group_is_mapped_to_the_host() {
        let text = |namespaces: &str, maps: &str| {
            spec(&format!(r#"{{"linux":{{"namespaces":[{namespaces}],"gidMappings":[{maps}]}}}}"#))
                .root_group()
        };
        let (user, map) = (r#"{"type":"user"}"#, r#"{"containerID":0,"hostID":100000,"size":65536}"#);
        assert_eq!(text(user, map), Some(100_000));
        assert_eq!(text(user, &format!(r#"{{"containerID":1,"hostID":5,"size":1}},{map}"#)), Some(100_000));
        assert_eq!(text(user, r#"{"containerID":0,"hostID":9,"size":0}"#), None);
        assert_eq!(text(user, r#"{"containerID":0,"hostID":4294967296,"size":1}"#), None);
        assert_eq!(text(user, ""), None);
        assert_eq!(text("", map), None);
    }

    #[test]
    fn the_engine_is_recognized_by_its_annotations() {
        let with =
            |key: &str, value: &str| spec(&format!(r#"{{"annotations":{{"{key}":"{value}"}}}}"#)).engine();
        assert_eq!(with("io.container.manager", "libpod"), Engine::Podman);
        assert_eq!(with("io.container.manager", "cri-o"), Engine::CriO);
        assert_eq!(with("io.kubernetes.cri.container-type", "container"), Engine::Containerd);
        assert_eq!(spec("{}").engine(), Engine::Runtime);
        assert_eq!(spec(r#"{"mounts":5,"annotations":[],"process":7}"#).user(), None);
    }

    #[test]
    fn a_missing_key_that_podman_needs_is_returned() {
        assert_eq!(spec("{}").missing(), Some("process"));
        assert_eq!(spec(r#"{"process":{},"root":{},"mounts":[],"linux":{}}"#).missing(), None);
    }
}
