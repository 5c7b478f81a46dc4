//! `--image-config`: the defaults of an image for the process, in the format of OCI or Docker.

use anyhow::bail;
use serde_json::Value;

use crate::input::container::Container;
use crate::json_fields::{Fields, text_at};
use crate::path;
use crate::runtime_spec::key;
use crate::runtime_spec::{Spec, env};

/// The values of an image config.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageConfig {
    pub env: Vec<String>,
    pub entrypoint: Vec<String>,
    pub cmd: Vec<String>,
    pub workdir: String,
    pub user: String,
    pub stop_signal: String,
    pub volumes: Vec<String>,
    pub labels: Vec<(String, String)>,
    /// The annotations that the image-spec derives from other keys.
    pub facts: Vec<(&'static str, String)>,
}

/// Keys next to `config` and their annotations (image-spec, conversion.md). Docker capitalizes the
/// same keys.
const FACTS: [(&str, &str, &str); 6] = [
    ("os", "Os", "org.opencontainers.image.os"),
    ("architecture", "Architecture", "org.opencontainers.image.architecture"),
    ("variant", "Variant", "org.opencontainers.image.variant"),
    ("os.version", "OsVersion", "org.opencontainers.image.os.version"),
    ("author", "Author", "org.opencontainers.image.author"),
    ("created", "Created", "org.opencontainers.image.created"),
];

impl ImageConfig {
    /// Reads an image config (keys in `config`), the output of `docker inspect` (keys in `Config`),
    /// or an object that contains only the keys.
    ///
    /// # Errors
    /// Returns an error that names the path of the key whose type is wrong.
    pub fn parse(document: &Value) -> anyhow::Result<ImageConfig> {
        let is_set = |key: &&&str| document.get(**key).is_some_and(|value| !value.is_null());
        let inner = ["config", "Config"].iter().find(is_set).map(|key| (*key, &document[*key]));
        let known = [
            "Env",
            "Cmd",
            "Entrypoint",
            "WorkingDir",
            "User",
            "Volumes",
            "Labels",
            "StopSignal",
            "ExposedPorts",
        ];
        // image-spec: "config" is optional and may be null. architecture, os and rootfs are
        // required.
        let required = ["config", "Config", "architecture", "Architecture", "os", "Os", "rootfs", "RootFS"];
        if inner.is_none() && !known.iter().chain(&required).any(|key| document.get(*key).is_some()) {
            bail!("not an image config: the key config is missing");
        }
        let (path, value) = inner.unwrap_or(("", document));
        let keys = Fields::at(path.to_owned(), value)?;
        // Old images have a string instead of a list.
        let words = |name: &str| match keys.get(name) {
            Some(Value::String(word)) => Ok(vec![word.clone()]),
            _ => keys.texts(name),
        };
        let mut labels = Vec::new();
        if let Some(fields) = keys.object("Labels")? {
            for (name, value) in fields.iter() {
                labels.push((name.clone(), text_at(&fields.path_of(name), value)?));
            }
        }
        let mut facts = Vec::new();
        for (oci, docker, annotation) in FACTS {
            match [oci, docker].iter().find_map(|key| document.get(*key)) {
                Some(Value::Null) | None => {}
                Some(value) => {
                    let text = text_at(oci, value)?;
                    if !text.is_empty() {
                        facts.push((annotation, text));
                    }
                }
            }
        }
        let ports = keys.object("ExposedPorts")?;
        let mut ports: Vec<&str> =
            ports.iter().flat_map(Fields::iter).map(|(port, _)| port.as_str()).collect();
        ports.sort_unstable();
        if !ports.is_empty() {
            facts.push(("org.opencontainers.image.exposedPorts", ports.join(",")));
        }
        let volumes = keys.object("Volumes")?;
        Ok(ImageConfig {
            facts,
            env: keys.texts("Env")?,
            entrypoint: without_empty_word(words("Entrypoint")?),
            cmd: words("Cmd")?,
            workdir: keys.text("WorkingDir")?,
            user: keys.text("User")?,
            stop_signal: keys.text("StopSignal")?,
            // A relative path starts at the root of the container. Runtimes reject relative paths.
            volumes: volumes.iter().flat_map(Fields::iter).map(|(path, _)| path::clean(path)).collect(),
            labels,
        })
    }

    /// Applies the image's defaults to a spec. Does not set values that the image does not state,
    /// and does not add the image's volumes.
    ///
    /// # Errors
    /// Returns an error if a variable has no name or a path is not absolute.
    pub fn apply(&self, spec: &mut Spec, container: &mut Container) -> anyhow::Result<()> {
        for entry in &self.env {
            let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
            if name.is_empty() {
                bail!("Env: {entry:?}: no name before the '='");
            }
            env::set(spec, name, value);
            container.home_is_given |= name == "HOME";
        }
        container.entrypoint.clone_from(&self.entrypoint);
        let args: Vec<&String> = self.entrypoint.iter().chain(&self.cmd).collect();
        if !args.is_empty() {
            spec.set(key::PROCESS_ARGS, args.into_iter().cloned().collect::<Vec<_>>());
        }
        if !self.workdir.is_empty() {
            // Docker resolves a relative directory from the root.
            spec.set(key::PROCESS_CWD, path::clean(&self.workdir));
            container.create_workdir = true;
        }
        if !self.user.is_empty() {
            container.user = Some(self.user.clone());
        }
        if !self.stop_signal.is_empty() {
            spec.annotate("org.opencontainers.image.stopSignal", self.stop_signal.as_str());
        }
        for (key, value) in &self.facts {
            spec.annotate(key, value.as_str());
        }
        // image-spec: labels take precedence over values from other keys.
        for (key, value) in &self.labels {
            spec.annotate(key, value.as_str());
        }
        Ok(())
    }
}

/// Returns the words of an entrypoint. podman and docker treat a single empty word as no
/// entrypoint.
pub fn without_empty_word(words: Vec<String>) -> Vec<String> {
    if words == [""] { Vec::new() } else { words }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn oci_and_docker_formats_are_equivalent() {
        let keys = json!({"Env": ["A=1"], "Entrypoint": ["/e"], "Cmd": ["c"], "WorkingDir": "w", "User": "alice",
            "Volumes": {"/v": {}}, "StopSignal": "SIGTERM", "Labels": {"k": "v"}});
        let oci = ImageConfig::parse(&json!({"architecture": "amd64", "config": keys})).unwrap();
        assert_eq!(oci, ImageConfig::parse(&json!({"Architecture": "amd64", "Config": keys})).unwrap());
        let bare = ImageConfig::parse(&keys).unwrap();
        assert_eq!(ImageConfig { facts: Vec::new(), ..oci.clone() }, bare);
        let (mut spec, mut container) =
            (Spec::new(json!({"process": {"env": ["A=0"], "args": ["sh"]}})), Container::default());
        oci.apply(&mut spec, &mut container).unwrap();
        assert_eq!(spec.args(), ["/e", "c"]);
        assert_eq!((spec.cwd(), spec.texts(key::PROCESS_ENV)), ("/w", vec!["A=1".to_owned()]));
        assert_eq!(container.user.as_deref(), Some("alice"));
        assert_eq!(oci.volumes, ["/v"]);
    }

    #[test]
    fn wrong_types_are_reported_with_their_path() {
        #[rustfmt::skip]
        let cases = [
            (json!({"config": {"Env": "A=1"}}), "config.Env: expected an array, found the string \"A=1\""),
            (json!({"config": {"Cmd": [1]}}), "config.Cmd[0]: expected a string, found the number 1"),
            (json!({"config": {"Volumes": []}}), "config.Volumes: expected an object, found an array"),
            (json!({"config": 5}), "config: expected an object, found the number 5"),
            (json!({"layers": []}), "not an image config"),
        ];
        for (document, message) in cases {
            let error = ImageConfig::parse(&document).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
        assert_eq!(ImageConfig::parse(&json!({"config": null})).unwrap(), ImageConfig::default());
        assert!(
            ImageConfig::parse(&json!({"rootfs": {}})).is_ok() && ImageConfig::parse(&json!({})).is_err()
        );
    }
}
