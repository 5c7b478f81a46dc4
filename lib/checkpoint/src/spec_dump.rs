//! `spec.dump`: the OCI runtime spec the container ran with, as far as an archive needs it.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::json;

/// The document; it is carried as it is, and only looked into.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SpecDump(Map<String, Value>);

/// Who ran the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// podman.
    Podman,
    /// CRI-O.
    CriO,
    /// containerd.
    Containerd,
    /// None of them: a runtime alone.
    Runtime,
}

impl Engine {
    /// Its name as checkpointctl shows it.
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
    /// Path in the container.
    pub destination: &'a str,
    /// `bind`, `tmpfs`, …
    pub kind: &'a str,
    /// Path on the host, for a bind.
    pub source: &'a str,
}

impl SpecDump {
    /// Bytes of a document that are read. podman's have 22 KB.
    pub const LIMIT: u64 = 32 << 20;

    /// Reads the document.
    ///
    /// # Errors
    /// When it is not a JSON object.
    pub fn read(text: &[u8]) -> Result<SpecDump> {
        match json::document(text) {
            Ok(Value::Object(keys)) => Ok(SpecDump(keys)),
            Ok(_) => Err(Error::member("spec.dump", "not a JSON object")),
            Err(e) => Err(Error::member("spec.dump", e)),
        }
    }

    /// Writes it, indented by two.
    pub fn write(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(&self.0).unwrap_or_default()
    }

    /// What is missing so that podman can read it: without `process` and `root` it panics (podman 5.4.2).
    pub fn missing(&self) -> Option<&'static str> {
        ["process", "root", "mounts", "linux"].into_iter().find(|key| !self.0.contains_key(*key))
    }

    /// The mounts, in their order.
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

    /// Points the mount at `destination` to `source`; gives whether there is one.
    pub fn set_mount_source(&mut self, destination: &str, source: &str) -> bool {
        let Some(Value::Array(list)) = self.0.get_mut("mounts") else { return false };
        let is_there = |m: &&mut Value| m.get("destination").and_then(Value::as_str) == Some(destination);
        let Some(Value::Object(mount)) = list.iter_mut().find(is_there) else { return false };
        mount.insert("source".into(), source.into());
        true
    }

    /// An annotation.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.0.get("annotations")?.get(key)?.as_str()
    }

    /// All annotations that are text, by name.
    pub fn annotations(&self) -> BTreeMap<&str, &str> {
        let all = self.0.get("annotations").and_then(Value::as_object);
        all.into_iter().flatten().filter_map(|(key, value)| Some((key.as_str(), value.as_str()?))).collect()
    }

    /// The pod it ran in: its name and its namespace, as the kubelet gave them to CRI-O or containerd.
    pub fn pod(&self) -> (Option<&str>, Option<&str>) {
        let either = |a, b| self.annotation(a).or_else(|| self.annotation(b));
        (
            either("io.kubernetes.pod.name", "io.kubernetes.cri.sandbox-name"),
            either("io.kubernetes.pod.namespace", "io.kubernetes.cri.sandbox-namespace"),
        )
    }

    /// The name that the kubelet gave the container. In config.dump CRI-O and containerd have a longer one of their own.
    pub fn container_name(&self) -> Option<String> {
        if let Some(name) = self.annotation("io.kubernetes.cri.container-name") {
            return Some(name.to_owned());
        }
        let metadata: Value = serde_json::from_str(self.annotation("io.kubernetes.cri-o.Metadata")?).ok()?;
        metadata.get("name")?.as_str().map(str::to_owned)
    }

    /// The container's namespaces by their type (`pid`, `network`, …), and the path of those it has joined.
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

    /// Returns the host's group of group 0 in the container, if the container has a user namespace that maps it.
    pub fn root_group(&self) -> Option<u32> {
        self.namespaces().iter().find(|(kind, _)| *kind == "user")?;
        let maps = self.0.get("linux")?.get("gidMappings")?.as_array()?;
        let number = |map: &Value, key: &str| map.get(key).and_then(Value::as_u64);
        let root =
            maps.iter().find(|map| number(map, "containerID") == Some(0) && number(map, "size") > Some(0))?;
        number(root, "hostID").and_then(|id| u32::try_from(id).ok())
    }

    /// `uid:gid` of the first process if it is not root.
    pub fn user(&self) -> Option<String> {
        let user = self.0.get("process")?.get("user")?;
        let id = |key: &str| user.get(key).and_then(Value::as_u64).unwrap_or(0);
        (id("uid") != 0).then(|| format!("{}:{}", id("uid"), id("gid")))
    }

    /// Told as checkpointctl tells it, by `io.container.manager`; containerd does not set it, but its own annotations.
    pub fn engine(&self) -> Engine {
        match self.annotation("io.container.manager") {
            Some("libpod") => Engine::Podman,
            Some("cri-o") => Engine::CriO,
            _ if self.annotation("io.kubernetes.cri.container-type").is_some() => Engine::Containerd,
            _ if self.annotation("io.kubernetes.cri.container-name").is_some() => Engine::Containerd,
            _ => Engine::Runtime,
        }
    }

    /// All keys.
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
    fn a_mount_is_repointed_by_its_destination() {
        let mut spec = spec(
            r#"{"mounts":[{"destination":"/a","source":"/x"},{"destination":"/b","type":"bind","source":"/y"}]}"#,
        );
        assert!(spec.set_mount_source("/b", "/z"));
        assert!(!spec.set_mount_source("/c", "/z"));
        assert_eq!(spec.mounts()[1], Mount { destination: "/b", kind: "bind", source: "/z" });
        assert_eq!(spec.mounts()[0].source, "/x");
    }

    #[test]
    fn the_user_is_named_unless_it_is_root() {
        assert_eq!(spec(r#"{"process":{"user":{"uid":0,"gid":5}}}"#).user(), None);
        assert_eq!(spec(r#"{"process":{"user":{"uid":7,"gid":5}}}"#).user().as_deref(), Some("7:5"));
        assert_eq!(spec("{}").user(), None);
    }

    #[test]
    fn names_of_kubernetes_are_read_from_either_engines_annotations() {
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
    fn namespaces_are_own_ones_or_joined() {
        let spec = spec(
            r#"{"linux":{"namespaces":[{"type":"pid"},{"type":"network","path":"/n"},{"type":"ipc","path":""},{"path":"/x"}]}}"#,
        );
        assert_eq!(spec.namespaces(), [("pid", None), ("network", Some("/n")), ("ipc", None)]);
    }

    #[test]
    fn the_group_of_the_containers_root_is_the_mapped_one() {
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
    fn the_engine_is_told_by_its_annotations() {
        let with =
            |key: &str, value: &str| spec(&format!(r#"{{"annotations":{{"{key}":"{value}"}}}}"#)).engine();
        assert_eq!(with("io.container.manager", "libpod"), Engine::Podman);
        assert_eq!(with("io.container.manager", "cri-o"), Engine::CriO);
        assert_eq!(with("io.kubernetes.cri.container-type", "container"), Engine::Containerd);
        assert_eq!(spec("{}").engine(), Engine::Runtime);
        assert_eq!(spec(r#"{"mounts":5,"annotations":[],"process":7}"#).user(), None);
    }

    #[test]
    fn what_podman_would_panic_on_is_told() {
        assert_eq!(spec("{}").missing(), Some("process"));
        assert_eq!(spec(r#"{"process":{},"root":{},"mounts":[],"linux":{}}"#).missing(), None);
    }
}
