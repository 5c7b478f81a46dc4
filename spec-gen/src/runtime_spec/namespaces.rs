//! The list of namespaces in a spec.

use serde_json::{Value, json};

use crate::runtime_spec::Spec;
use crate::runtime_spec::key::{self, Key};

const NAMESPACES: Key = key::LINUX_NAMESPACES;

/// The namespace types of the runtime-spec, and their names in `/proc/PID/ns`.
pub const TYPES: [(&str, &str); 8] = [
    ("pid", "pid"),
    ("network", "net"),
    ("ipc", "ipc"),
    ("uts", "uts"),
    ("mount", "mnt"),
    ("user", "user"),
    ("cgroup", "cgroup"),
    ("time", "time"),
];

/// Returns the path of a process's namespace.
pub fn of_process(pid: u64, kind: &str) -> String {
    let file = TYPES.iter().find(|(name, _)| *name == kind).map_or(kind, |(_, file)| file);
    format!("/proc/{pid}/ns/{file}")
}

/// Returns the entry of one type.
pub fn find<'a>(spec: &'a Spec, kind: &str) -> Option<&'a Value> {
    spec.list(NAMESPACES).iter().find(|n| n.get("type").and_then(Value::as_str) == Some(kind))
}

/// Returns the path of an entry, or `None` if it is a new namespace.
pub fn path(namespace: &Value) -> Option<&str> {
    namespace.get("path").and_then(Value::as_str).filter(|p| !p.is_empty())
}

/// Sets the namespace of a type. An existing entry keeps its position and its other keys.
pub fn set(spec: &mut Spec, kind: &str, path: Option<&str>) {
    let list = spec.list_mut(NAMESPACES);
    let at = match list.iter().position(|n| n.get("type").and_then(Value::as_str) == Some(kind)) {
        Some(at) => at,
        None => {
            list.push(json!({ "type": kind }));
            list.len() - 1
        }
    };
    match (path, list[at].as_object_mut()) {
        (Some(path), Some(entry)) => {
            entry.insert("path".into(), json!(path));
        }
        (None, Some(entry)) => {
            entry.shift_remove("path");
        }
        (_, None) => {}
    }
}

/// Removes the namespace of a type, so that the container uses the host's.
pub fn remove(spec: &mut Spec, kind: &str) {
    if find(spec, kind).is_some() {
        spec.list_mut(NAMESPACES).retain(|n| n.get("type").and_then(Value::as_str) != Some(kind));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_replaced_in_place_and_keeps_unknown_keys() {
        let mut spec = Spec::new(json!({"linux": {"namespaces": [
            {"type": "pid"}, {"type": "network", "path": "/old", "x": 1}, {"type": "uts"}]}}));
        set(&mut spec, "network", Some("/run/netns/web"));
        set(&mut spec, "cgroup", None);
        assert_eq!(
            spec.value()["linux"]["namespaces"],
            json!([{"type": "pid"}, {"type": "network", "path": "/run/netns/web", "x": 1}, {"type": "uts"}, {"type": "cgroup"}])
        );
        set(&mut spec, "network", None);
        assert_eq!(find(&spec, "network"), Some(&json!({"type": "network", "x": 1})));
    }
}
