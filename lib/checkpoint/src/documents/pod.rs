//! The documents of a pod archive: `pod.options` and `pod.dump`.
//!
//! `pod.options` lists the containers. It has the form of `CheckpointedPodOptions` in checkpointctl's
//! library, which container engines use for KEP-5823:
//!
//! ```json
//! {
//!   "version": 1,
//!   "containers": { "web": "web.tar" },
//!   "annotations": { "org.criu.checkpoint.pod.name": "shop" }
//! }
//! ```
//!
//! `pod.dump` is the configuration of the pod: the `PodSandboxConfig` of the CRI as JSON.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value, json};
use tartree::TarPath;

use crate::error::{Error, Result};
use crate::member::{Member, POD_DUMP, POD_DUMP_LIMIT, POD_OPTIONS, POD_OPTIONS_LIMIT};
use crate::volume_name::VolumeName;

/// The version of `pod.options`.
const VERSION: u64 = 1;
/// The most containers of a pod. Kubernetes sets no limit, but a kubelet runs about a hundred
/// containers.
pub const MAX_CONTAINERS: usize = 1024;
/// The most members of a pod archive that belong to no container, such as shared volumes, without
/// `pod.options` and `pod.dump`.
pub const MAX_DOCUMENTS: usize = 1024;

/// The name of a container in its pod, which becomes the name of a member.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerName(String);

impl ContainerName {
    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the member that ckpt-pack writes for the container: `NAME.tar`.
    pub fn member(&self) -> TarPath {
        TarPath::root().child(format!("{}.tar", self.0).as_bytes())
    }
}

impl FromStr for ContainerName {
    type Err = String;

    /// Parses a name by the rule for volumes. `NAME.tar` must not be the name of another member.
    fn from_str(name: &str) -> std::result::Result<ContainerName, String> {
        name.parse::<VolumeName>()?;
        let parsed = ContainerName(name.to_owned());
        match Member::of(&parsed.member()) {
            Member::Unknown(_) => Ok(parsed),
            other => Err(format!("{other} is another member of a pod archive")),
        }
    }
}

impl fmt::Display for ContainerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A container of a pod, and the member that is its archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodContainer {
    /// The name of the container.
    pub name: ContainerName,
    /// The name of the member.
    pub member: TarPath,
}

/// `pod.options`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodOptions {
    /// The containers, in the order of the document.
    pub containers: Vec<PodContainer>,
    /// The annotations, whose keys are those of checkpointctl (lib/annotations.go).
    pub annotations: Vec<(String, String)>,
}

impl PodOptions {
    /// The largest document that is read, in bytes.
    pub const LIMIT: u64 = POD_OPTIONS_LIMIT;

    /// Returns the member that contains the document. It is the first member of a pod archive.
    pub fn member() -> Member {
        Member::of(&TarPath::root().child(POD_OPTIONS.as_bytes()))
    }

    /// Parses the document.
    ///
    /// # Errors
    /// Returns an error if `text` is not a document of version 1, or if a container has an invalid
    /// name or shares its member with another container.
    pub fn read(text: &[u8]) -> Result<PodOptions> {
        let error = |what: String| Error::member(POD_OPTIONS, what);
        let document = object(POD_OPTIONS, text)?;
        match document.get("version").map(Value::as_u64) {
            Some(Some(VERSION)) => {}
            Some(_) => return Err(error(format!("version: expected {VERSION}; update ckpt-tools"))),
            None => return Err(error("version: missing".into())),
        }
        let members = strings(&document, "containers")?;
        if members.is_empty() || members.len() > MAX_CONTAINERS {
            let found = members.len();
            return Err(error(format!(
                "containers: expected 1 to {MAX_CONTAINERS} containers, found {found}"
            )));
        }
        let mut containers = Vec::new();
        let mut used = BTreeSet::new();
        for (name, member) in members {
            let place = |what: &dyn fmt::Display| error(format!("containers: {name}: {what}"));
            let parsed = name.parse().map_err(|e: String| place(&e))?;
            let member = member_path(&member).map_err(|what| place(&what))?;
            if !used.insert(member.clone()) {
                return Err(place(&format_args!("{member} is the member of another container")));
            }
            containers.push(PodContainer { name: parsed, member });
        }
        Ok(PodOptions { containers, annotations: strings(&document, "annotations")? })
    }

    /// Returns the document.
    pub fn write(&self) -> Vec<u8> {
        let map = |pairs: &mut dyn Iterator<Item = (String, String)>| {
            pairs.map(|(key, value)| (key, Value::String(value))).collect::<Map<_, _>>()
        };
        let mut containers = self.containers.iter().map(|c| (c.name.to_string(), c.member.to_string()));
        let mut document = Map::new();
        document.insert("version".into(), json!(VERSION));
        document.insert("containers".into(), Value::Object(map(&mut containers)));
        if !self.annotations.is_empty() {
            document.insert("annotations".into(), Value::Object(map(&mut self.annotations.iter().cloned())));
        }
        // Serializing a map of JSON values cannot fail.
        serde_json::to_vec_pretty(&document).unwrap_or_default()
    }

    /// Returns the names of the containers.
    pub fn names(&self) -> Vec<String> {
        self.containers.iter().map(|container| container.name.to_string()).collect()
    }

    /// Returns the annotation of the pod `org.criu.checkpoint.KEY`.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        let matches = |name: &str| name.strip_prefix(ANNOTATION).is_some_and(|rest| rest == key);
        self.annotations.iter().find(|(name, _)| matches(name)).map(|(_, value)| value.as_str())
    }
}

/// The prefix of checkpointctl's annotations.
pub const ANNOTATION: &str = "org.criu.checkpoint.";

/// Returns the path of a container's member, which is a name without directories.
fn member_path(name: &str) -> std::result::Result<TarPath, &'static str> {
    let path = TarPath::parse(name.as_bytes()).ok().filter(|path| !path.is_root());
    match path {
        Some(path) if path.as_bytes() == name.as_bytes() && !name.contains('/') => {
            match (name.chars().any(char::is_control), Member::of(&path)) {
                (true, _) => Err("the name of the member has control characters"),
                (false, Member::Unknown(_)) => Ok(path),
                (false, _) => Err("the name is that of another member"),
            }
        }
        _ => Err("expected the name of a member, without directories"),
    }
}

/// `pod.dump`: the configuration of the pod. Other keys are ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodDump {
    /// The name of the pod.
    pub name: String,
    /// The namespace of the pod in Kubernetes.
    pub namespace: Option<String>,
    /// The ID of the pod in Kubernetes.
    pub uid: Option<String>,
    /// The host name of the pod.
    pub hostname: Option<String>,
}

impl PodDump {
    /// The largest document that is read, in bytes. Kubernetes limits the annotations of a pod to
    /// 256 KiB.
    pub const LIMIT: u64 = POD_DUMP_LIMIT;

    /// Returns the member that contains the document.
    pub fn member() -> Member {
        Member::of(&TarPath::root().child(POD_DUMP.as_bytes()))
    }

    /// Parses the document. `name` is its name in messages.
    ///
    /// # Errors
    /// Returns an error if `text` is not a JSON object with the name of a pod.
    pub fn read(name: &str, text: &[u8]) -> Result<PodDump> {
        let document = object(name, text)?;
        let metadata = match document.get("metadata") {
            Some(Value::Object(metadata)) => metadata,
            Some(_) => return Err(Error::member(name, "metadata: expected an object")),
            None => return Err(Error::member(name, "metadata: missing, expected a PodSandboxConfig")),
        };
        let text = |keys: &Map<String, Value>, key: &str, place: &str| match keys.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
            Some(_) => Err(Error::member(name, format!("{place}{key}: expected a string"))),
        };
        Ok(PodDump {
            name: text(metadata, "name", "metadata.")?
                .ok_or_else(|| Error::member(name, "metadata.name: missing"))?,
            namespace: text(metadata, "namespace", "metadata.")?,
            uid: text(metadata, "uid", "metadata.")?,
            hostname: text(&document, "hostname", "")?,
        })
    }
}

/// Parses an object.
fn object(name: &str, text: &[u8]) -> Result<Map<String, Value>> {
    match strict_json::document(text) {
        Ok(Value::Object(keys)) => Ok(keys),
        Ok(_) => Err(Error::member(name, "not a JSON object")),
        Err(e) => Err(Error::member(name, e)),
    }
}

/// Returns the strings of an object at `key`, in their order.
fn strings(document: &Map<String, Value>, key: &str) -> Result<Vec<(String, String)>> {
    let error = |what: String| Error::member(POD_OPTIONS, what);
    match document.get(key) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Object(pairs)) => pairs
            .iter()
            .map(|(name, value)| match value {
                Value::String(text) => Ok((name.clone(), text.clone())),
                _ => Err(error(format!("{key}: {name}: expected a string"))),
            })
            .collect(),
        Some(_) => Err(error(format!("{key}: expected an object"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_document_has_the_same_content() {
        let text = br#"{"version":1,"containers":{"web":"web.tar","db":"0a-db"},"annotations":{"org.criu.checkpoint.pod.name":"shop","x":"y"}}"#;
        let options = PodOptions::read(text).unwrap();
        assert_eq!(options.names(), ["web", "db"]);
        assert_eq!(options.annotation("pod.name"), Some("shop"));
        assert_eq!(PodOptions::read(&options.write()).unwrap(), options);
    }

    #[test]
    fn invalid_containers_are_rejected() {
        for (containers, expected) in [
            ("{}", "expected 1 to 1024 containers, found 0"),
            (r#"{"a/b":"a.tar"}"#, "expected a letter or digit"),
            (r#"{"..":"a.tar"}"#, "expected a letter or digit"),
            (r#"{"rootfs-diff":"a.tar"}"#, "is another member of a pod archive"),
            (r#"{"a":"../a.tar"}"#, "without directories"),
            (r#"{"a":"/a.tar"}"#, "without directories"),
            (r#"{"a":"."}"#, "without directories"),
            (r#"{"a":"a\u0007.tar"}"#, "control characters"),
            (r#"{"a":"pod.dump"}"#, "that of another member"),
            (r#"{"a":"x.tar","b":"x.tar"}"#, "the member of another container"),
            (r#"{"a":5}"#, "expected a string"),
            (r#"["a"]"#, "expected an object"),
        ] {
            let text = format!(r#"{{"version":1,"containers":{containers}}}"#);
            let error = PodOptions::read(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expected), "{containers}: {error}");
        }
        let many: Vec<_> = (0..=MAX_CONTAINERS).map(|n| format!(r#""c{n}":"c{n}.tar""#)).collect();
        let text = format!(r#"{{"version":1,"containers":{{{}}}}}"#, many.join(","));
        assert!(PodOptions::read(text.as_bytes()).unwrap_err().to_string().contains("found 1025"));
    }

    #[test]
    fn a_pod_needs_a_name() {
        let read = |text: &str| PodDump::read("pod.dump", text.as_bytes()).map_err(|e| e.to_string());
        let dump =
            read(r#"{"metadata":{"name":"shop","uid":"1","attempt":0},"hostname":"h","x":[]}"#).unwrap();
        assert_eq!((dump.name.as_str(), dump.uid.as_deref(), dump.namespace), ("shop", Some("1"), None));
        for text in ["{}", r#"{"metadata":{}}"#, r#"{"metadata":{"name":5}}"#, r#"{"metadata":[]}"#, "[]"] {
            assert!(read(text).unwrap_err().starts_with("pod.dump: "), "{text}");
        }
    }

    #[test]
    fn the_maximum_number_of_containers_is_accepted() {
        let many: Vec<_> = (0..MAX_CONTAINERS).map(|n| format!(r#""c{n}":"c{n}.tar""#)).collect();
        let text = format!(r#"{{"version":1,"containers":{{{}}}}}"#, many.join(","));
        assert_eq!(PodOptions::read(text.as_bytes()).unwrap().names().len(), MAX_CONTAINERS);
    }
}
