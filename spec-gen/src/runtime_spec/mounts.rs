//! The mounts in a spec: reads, adds and removes them.

use anyhow::bail;
use serde_json::{Value, json};

use crate::path;
use crate::runtime_spec::Spec;

/// A mount that a flag or a rule adds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mount {
    pub destination: String,
    pub kind: String,
    pub source: String,
    pub options: Vec<String>,
}

impl Mount {
    /// Returns a bind mount.
    pub fn bind(source: &str, destination: &str, options: &[&str]) -> Mount {
        Mount {
            destination: destination.to_owned(),
            kind: "bind".to_owned(),
            source: source.to_owned(),
            options: options.iter().map(|o| (*o).to_owned()).collect(),
        }
    }

    /// Returns a read-only bind mount of a file that belongs to the host.
    pub fn host_file(source: &str, destination: &str) -> Mount {
        Mount::bind(source, destination, &["bind", "rprivate", "ro", "nosuid", "noexec", "nodev"])
    }

    /// Returns the mount in the format of the runtime-spec, without empty fields.
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

/// Returns the destination as written in the spec.
pub fn destination(mount: &Value) -> &str {
    mount.get("destination").and_then(Value::as_str).unwrap_or_default()
}

/// Returns the source.
pub fn source(mount: &Value) -> &str {
    mount.get("source").and_then(Value::as_str).unwrap_or_default()
}

/// Returns the filesystem type as written in the spec. Runtimes treat a mount of any type with the
/// option `bind` or `rbind` as a bind mount.
pub fn kind(mount: &Value) -> &str {
    mount.get("type").and_then(Value::as_str).unwrap_or_default()
}

/// Returns the options.
pub fn options(mount: &Value) -> impl Iterator<Item = &str> {
    mount.get("options").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// Reports whether the mount is a bind mount, whose source is a path of the host.
pub fn is_bind(mount: &Value) -> bool {
    kind(mount) == "bind" || options(mount).any(|o| o == "bind" || o == "rbind")
}

/// Replaces the options. An empty list removes the key, as Go's `omitempty` does.
pub fn set_options(mount: &mut Value, options: Vec<String>) {
    let Some(map) = mount.as_object_mut() else { return };
    if options.is_empty() {
        map.shift_remove("options");
    } else {
        map.insert("options".to_owned(), json!(options));
    }
}

/// Returns the mount at `destination`. Compares cleaned paths; podman compares the strings and
/// therefore adds a second mount for `/etc/hosts/`.
pub fn find<'a>(spec: &'a Spec, destination: &str) -> Option<&'a Value> {
    let wanted = path::clean(destination);
    spec.mounts().iter().find(|m| path::clean(self::destination(m)) == wanted)
}

/// Adds a mount, and replaces one at the same destination.
pub fn put(spec: &mut Spec, mount: &Mount) {
    put_value(spec, mount.to_value());
}

/// Like [`put`], for a mount in the format of the runtime-spec.
pub fn put_value(spec: &mut Spec, value: Value) {
    let wanted = path::clean(destination(&value));
    match spec.mounts_mut().iter_mut().find(|m| path::clean(destination(m)) == wanted) {
        Some(there) => *there = value,
        None => spec.mounts_mut().push(value),
    }
}

/// Removes every mount at `destination`. Returns whether there was such a mount.
pub fn remove(spec: &mut Spec, destination: &str) -> bool {
    let wanted = path::clean(destination);
    let before = spec.mounts().len();
    if before > 0 {
        spec.mounts_mut().retain(|m| path::clean(self::destination(m)) != wanted);
    }
    spec.mounts().len() < before
}

/// Checks that a destination is absolute, as runtimes require. runc only warns and joins it to `/`.
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
    fn paths_are_normalised_before_they_are_compared() {
        let spec = spec(&["/etc//hosts/"]);
        assert!(find(&spec, "/etc/hosts").is_some());
        assert!(path::is_below("/data/../data/x", "/data/") && !path::is_below("/database", "/data"));
    }
}
