//! The runtime spec as the JSON it came as, with a thin typed view on the parts the rules touch.
//!
//! The document stays a [`Value`]: unknown keys, key order and 64-bit integers survive, which they do
//! not in a struct with one field for each key of the runtime-spec. [`schema::check`] checks the types
//! before a [`Spec`] is created, so an accessor that finds another type than the runtime-spec's has
//! found `null`, which Go's encoder writes for an empty slice. It treats `null` as absent.

pub(crate) mod cpu_list;
pub(crate) mod env;
pub(crate) mod explain;
pub(crate) mod hooks;
pub(crate) mod id_map;
pub(crate) mod mounts;
pub(crate) mod namespaces;
pub(crate) mod schema;
pub(crate) mod sysctl;
pub(crate) mod validate;

use serde_json::{Map, Value, json};

/// A runtime spec whose touched parts have the types the runtime-spec demands.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec(Value);

impl Spec {
    /// Wraps a document that [`schema::check`] has accepted.
    pub fn new(value: Value) -> Spec {
        Spec(value)
    }

    /// Puts the keys of every object in order.
    pub fn sort_keys(&mut self) {
        self.0.sort_all_objects();
    }

    /// The document itself.
    pub fn value(&self) -> &Value {
        &self.0
    }

    /// The value at a dotted path of object keys (`process.user.uid`); `null` counts as absent.
    pub fn get(&self, path: &str) -> Option<&Value> {
        path.split('.').try_fold(&self.0, |at, key| at.get(key)).filter(|v| !v.is_null())
    }

    /// The string at `path`; an empty one counts as absent, as Go's `omitempty` writes it.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.get(path)?.as_str().filter(|s| !s.is_empty())
    }

    /// Whether `path` holds `true`.
    pub fn is_true(&self, path: &str) -> bool {
        self.get(path).and_then(Value::as_bool).unwrap_or(false)
    }

    /// Puts `value` at `path`; objects on the way are made, a key that exists keeps its position.
    pub fn set(&mut self, path: &str, value: impl Into<Value>) {
        let (parent, key) = path.rsplit_once('.').unwrap_or(("", path));
        self.object(parent).insert(key.to_owned(), value.into());
    }

    /// Removes `path`; the order of the other keys stays.
    pub fn remove(&mut self, path: &str) -> Option<Value> {
        let (parent, key) = path.rsplit_once('.').unwrap_or(("", path));
        let parent = if parent.is_empty() {
            Some(&mut self.0)
        } else {
            parent.split('.').try_fold(&mut self.0, |at, key| at.get_mut(key))
        };
        parent?.as_object_mut()?.shift_remove(key)
    }

    /// The object at `path`, made where it is absent.
    pub fn object(&mut self, path: &str) -> &mut Map<String, Value> {
        let keys = path.split('.').filter(|key| !key.is_empty());
        keys.fold(as_object(&mut self.0), |at, key| as_object(at.entry(key).or_insert(Value::Null)))
    }

    /// The array at `path`; empty where absent.
    pub fn list(&self, path: &str) -> &[Value] {
        self.get(path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// The array at `path` for changing, made where it is absent.
    pub fn list_mut(&mut self, path: &str) -> &mut Vec<Value> {
        let (parent, key) = path.rsplit_once('.').unwrap_or(("", path));
        let value = self.object(parent).entry(key).or_insert(Value::Null);
        if !value.is_array() {
            *value = json!([]);
        }
        match value {
            Value::Array(list) => list,
            _ => unreachable!("made an array above"),
        }
    }

    /// The strings of the array at `path`.
    pub fn texts(&self, path: &str) -> Vec<String> {
        self.list(path).iter().filter_map(|v| v.as_str().map(str::to_owned)).collect()
    }

    /// The process's arguments.
    pub fn args(&self) -> Vec<String> {
        self.texts("process.args")
    }

    /// The process's working directory, `/` where none is given.
    pub fn cwd(&self) -> &str {
        self.text("process.cwd").unwrap_or("/")
    }

    /// Returns the user ID and group ID of the process, 0 where they are absent.
    pub fn process_ids(&self) -> (u32, u32) {
        let id = |key: &str| {
            self.get(key).and_then(Value::as_u64).and_then(|id| u32::try_from(id).ok()).unwrap_or(0)
        };
        (id("process.user.uid"), id("process.user.gid"))
    }

    /// Adds a supplementary group unless it is there.
    pub fn add_gid(&mut self, gid: u32) {
        let gids = self.list_mut("process.user.additionalGids");
        if !gids.iter().any(|g| g.as_u64() == Some(u64::from(gid))) {
            gids.push(json!(gid));
        }
    }

    /// The mounts, in order.
    pub fn mounts(&self) -> &[Value] {
        self.list("mounts")
    }

    /// The mounts for changing.
    pub fn mounts_mut(&mut self) -> &mut Vec<Value> {
        self.list_mut("mounts")
    }

    /// The value of one annotation.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.get("annotations")?.get(key)?.as_str()
    }

    /// Removes one annotation.
    pub fn remove_annotation(&mut self, key: &str) {
        if self.annotation(key).is_some() {
            self.object("annotations").shift_remove(key);
        }
    }

    /// Sets one annotation.
    pub fn annotate(&mut self, key: &str, value: impl Into<String>) {
        self.object("annotations").insert(key.to_owned(), Value::String(value.into()));
    }
}

fn as_object(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = json!({});
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("made an object above"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_unknown_keys_survive_a_change() {
        let text = r#"{"z":1,"process":{"cwd":"/","x-vendor":18446744073709551615},"a":null}"#;
        let mut spec = Spec::new(serde_json::from_str(text).unwrap());
        spec.set("process.cwd", "/data");
        assert_eq!(
            spec.value().to_string(),
            r#"{"z":1,"process":{"cwd":"/data","x-vendor":18446744073709551615},"a":null}"#
        );
    }

    #[test]
    fn null_counts_as_absent_and_can_be_replaced() {
        let mut spec = Spec::new(json!({"mounts": null, "process": null}));
        assert_eq!(spec.mounts().len(), 0);
        spec.mounts_mut().push(json!({"destination": "/x"}));
        spec.set("process.user.uid", 5);
        assert_eq!(
            spec.value(),
            &json!({"mounts": [{"destination": "/x"}], "process": {"user": {"uid": 5}}})
        );
    }

    #[test]
    fn removing_an_absent_key_changes_nothing() {
        let mut spec = Spec::new(json!({"a": 1}));
        assert_eq!(spec.remove("linux.cgroupsPath"), None);
        assert_eq!(spec.value(), &json!({"a": 1}));
    }
}
