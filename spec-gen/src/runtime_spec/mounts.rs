//! The list of mounts in a spec: reading, adding and removing one.

use anyhow::bail;
use serde_json::{Value, json};

use crate::path;
use crate::runtime_spec::Spec;

/// A mount as flags and rules make one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mount {
    pub destination: String,
    pub kind: String,
    pub source: String,
    pub options: Vec<String>,
}

impl Mount {
    /// A bind mount.
    pub fn bind(source: &str, destination: &str, options: &[&str]) -> Mount {
        Mount {
            destination: destination.to_owned(),
            kind: "bind".to_owned(),
            source: source.to_owned(),
            options: options.iter().map(|o| (*o).to_owned()).collect(),
        }
    }

    /// A file of the host itself, and not a copy of the container's own: it may read it.
    pub fn host_file(source: &str, destination: &str) -> Mount {
        Mount::bind(source, destination, &["bind", "rprivate", "ro", "nosuid", "noexec", "nodev"])
    }

    /// The mount as the runtime-spec writes it; what is empty is left out.
    pub fn to_value(&self) -> Value {
        let mut mount = json!({ "destination": self.destination });
        if !self.kind.is_empty() {
            mount["type"] = json!(self.kind);
        }
        if !self.source.is_empty() {
            mount["source"] = json!(self.source);
        }
        if !self.options.is_empty() {
            mount["options"] = json!(self.options);
        }
        mount
    }
}

/// Where a mount goes, as it is written.
pub fn destination(mount: &Value) -> &str {
    mount.get("destination").and_then(Value::as_str).unwrap_or_default()
}

/// What is mounted.
pub fn source(mount: &Value) -> &str {
    mount.get("source").and_then(Value::as_str).unwrap_or_default()
}

/// The file system type as it is written; runtimes take a mount with `bind` or `rbind` for a bind mount whatever it is.
pub fn kind(mount: &Value) -> &str {
    mount.get("type").and_then(Value::as_str).unwrap_or_default()
}

/// The options.
pub fn options(mount: &Value) -> impl Iterator<Item = &str> {
    mount.get("options").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// Whether a host path stands behind the mount.
pub fn is_bind(mount: &Value) -> bool {
    kind(mount) == "bind" || options(mount).any(|o| o == "bind" || o == "rbind")
}

/// Replaces the options; an empty list removes the key, as Go's `omitempty` does.
pub fn set_options(mount: &mut Value, options: Vec<String>) {
    let Some(map) = mount.as_object_mut() else { return };
    if options.is_empty() {
        map.shift_remove("options");
    } else {
        map.insert("options".to_owned(), json!(options));
    }
}

/// The mount at `destination`, both sides cleaned: podman compares the strings and so mounts twice on `/etc/hosts/`.
pub fn find<'a>(spec: &'a Spec, destination: &str) -> Option<&'a Value> {
    let wanted = path::clean(destination);
    spec.mounts().iter().find(|m| path::clean(self::destination(m)) == wanted)
}

/// Adds a mount, or puts it in the place of the one at the same destination.
pub fn put(spec: &mut Spec, mount: &Mount) {
    put_value(spec, mount.to_value());
}

/// The same with a mount as the runtime-spec writes it.
pub fn put_value(spec: &mut Spec, value: Value) {
    let wanted = path::clean(destination(&value));
    match spec.mounts_mut().iter_mut().find(|m| path::clean(destination(m)) == wanted) {
        Some(there) => *there = value,
        None => spec.mounts_mut().push(value),
    }
}

/// Removes every mount at `destination`; whether there was one.
pub fn remove(spec: &mut Spec, destination: &str) -> bool {
    let wanted = path::clean(destination);
    let before = spec.mounts().len();
    if before > 0 {
        spec.mounts_mut().retain(|m| path::clean(self::destination(m)) != wanted);
    }
    spec.mounts().len() < before
}

/// A destination must be absolute for every runtime; runc only warns and joins it to `/`.
pub fn check_destination(destination: &str) -> anyhow::Result<()> {
    if !destination.starts_with('/') {
        bail!("{destination}: a mount's destination must be an absolute path");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(destinations: &[&str]) -> Spec {
        let mounts: Vec<Value> =
            destinations.iter().map(|d| json!({ "destination": d, "type": "tmpfs" })).collect();
        Spec::new(json!({ "mounts": mounts }))
    }

    #[test]
    fn paths_are_cleaned_before_they_are_compared() {
        let spec = spec(&["/etc//hosts/"]);
        assert!(find(&spec, "/etc/hosts").is_some());
        assert!(path::is_below("/data/../data/x", "/data/") && !path::is_below("/database", "/data"));
    }
}
