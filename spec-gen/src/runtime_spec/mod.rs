//! The runtime spec as a JSON document, with typed accessors for the parts that the rules change.
//!
//! The document stays a [`Value`], because a struct with one field for each key of the runtime-spec
//! would lose unknown keys, the order of the keys and 64-bit integers. [`schema::check`] checks the
//! types before a [`Spec`] is created. So if an accessor finds a type that the runtime-spec does
//! not allow, the value is `null`, which Go's encoder writes for an empty slice, and the accessor
//! treats the value as absent.

pub(crate) mod cpu_list;
pub(crate) mod env;
pub(crate) mod explain;
pub(crate) mod hooks;
pub(crate) mod id_map;
pub(crate) mod key;
pub(crate) mod mounts;
pub(crate) mod names;
pub(crate) mod namespaces;
pub(crate) mod schema;
pub(crate) mod sysctl;
pub(crate) mod validate;

use serde_json::{Map, Value, json};

use key::Key;

/// A runtime spec. The parts that spec-gen reads have the types that the runtime-spec requires.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec(Value);

impl Spec {
    /// Wraps a document that [`schema::check`] has accepted.
    pub fn new(value: Value) -> Spec {
        Spec(value)
    }

    /// Sorts the keys of every object.
    pub fn sort_keys(&mut self) {
        self.0.sort_all_objects();
    }

    /// Returns the document.
    pub fn value(&self) -> &Value {
        &self.0
    }

    /// Returns the value of a key. A `null` value counts as absent.
    pub fn get(&self, key: Key) -> Option<&Value> {
        key.path().split('.').try_fold(&self.0, |at, key| at.get(key)).filter(|v| !v.is_null())
    }

    /// Returns the string of a key. An empty string counts as absent, because Go's `omitempty`
    /// omits it.
    pub fn text(&self, key: Key) -> Option<&str> {
        self.get(key)?.as_str().filter(|s| !s.is_empty())
    }

    /// Returns whether a key holds `true`.
    pub fn is_true(&self, key: Key) -> bool {
        self.get(key).and_then(Value::as_bool).unwrap_or(false)
    }

    /// Sets the value of a key. Creates the objects above the key; an existing key keeps its
    /// position.
    pub fn set(&mut self, key: Key, value: impl Into<Value>) {
        let (parent, key) = split(key);
        self.object_at(parent).insert(key.to_owned(), value.into());
    }

    /// Removes a key and returns its value; the other keys keep their order.
    pub fn remove(&mut self, key: Key) -> Option<Value> {
        let (parent, key) = split(key);
        let parent = if parent.is_empty() {
            Some(&mut self.0)
        } else {
            parent.split('.').try_fold(&mut self.0, |at, key| at.get_mut(key))
        };
        parent?.as_object_mut()?.shift_remove(key)
    }

    /// Returns the document as an object.
    pub fn root_mut(&mut self) -> &mut Map<String, Value> {
        as_object(&mut self.0)
    }

    /// Returns the object of a key. Creates the object if it is absent.
    pub fn object(&mut self, key: Key) -> &mut Map<String, Value> {
        self.object_at(key.path())
    }

    fn object_at(&mut self, path: &str) -> &mut Map<String, Value> {
        let keys = path.split('.').filter(|key| !key.is_empty());
        keys.fold(as_object(&mut self.0), |at, key| as_object(at.entry(key).or_insert(Value::Null)))
    }

    /// Returns the array of a key, or an empty one if the key is absent.
    pub fn list(&self, key: Key) -> &[Value] {
        self.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// Returns the array of a key for changes. Creates the array if it is absent.
    pub fn list_mut(&mut self, key: Key) -> &mut Vec<Value> {
        let (parent, key) = split(key);
        as_list(self.object_at(parent).entry(key).or_insert(Value::Null))
    }

    /// Returns the hooks of a stage for changes. Creates the array if it is absent.
    pub fn hooks_mut(&mut self, stage: &str) -> &mut Vec<Value> {
        as_list(self.object(key::HOOKS).entry(stage).or_insert(Value::Null))
    }

    /// Returns the strings in the array of a key.
    pub fn texts(&self, key: Key) -> Vec<String> {
        self.list(key).iter().filter_map(|v| v.as_str().map(str::to_owned)).collect()
    }

    /// Returns the arguments of the process.
    pub fn args(&self) -> Vec<String> {
        self.texts(key::PROCESS_ARGS)
    }

    /// Returns the working directory of the process, or `/` if the spec has none.
    pub fn cwd(&self) -> &str {
        self.text(key::PROCESS_CWD).unwrap_or("/")
    }

    /// Returns the user ID and group ID of the process. An absent ID counts as 0.
    pub fn process_ids(&self) -> (u32, u32) {
        let id = |key: Key| {
            self.get(key).and_then(Value::as_u64).and_then(|id| u32::try_from(id).ok()).unwrap_or(0)
        };
        (id(key::PROCESS_USER_UID), id(key::PROCESS_USER_GID))
    }

    /// Adds a supplementary group unless the process already has it.
    pub fn add_gid(&mut self, gid: u32) {
        let gids = self.list_mut(key::PROCESS_USER_ADDITIONAL_GIDS);
        if !gids.iter().any(|g| g.as_u64() == Some(u64::from(gid))) {
            gids.push(json!(gid));
        }
    }

    /// Returns the mounts, in order.
    pub fn mounts(&self) -> &[Value] {
        self.list(key::MOUNTS)
    }

    /// Returns the mounts for changes.
    pub fn mounts_mut(&mut self) -> &mut Vec<Value> {
        self.list_mut(key::MOUNTS)
    }

    /// Returns the value of an annotation.
    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.get(key::ANNOTATIONS)?.get(name)?.as_str()
    }

    /// Removes an annotation.
    pub fn remove_annotation(&mut self, name: &str) {
        if self.annotation(name).is_some() {
            self.object(key::ANNOTATIONS).shift_remove(name);
        }
    }

    /// Sets an annotation.
    pub fn annotate(&mut self, name: &str, value: impl Into<String>) {
        self.object(key::ANNOTATIONS).insert(name.to_owned(), Value::String(value.into()));
    }
}

/// Splits the path of a key into the path of its object and its name in that object.
fn split(key: Key) -> (&'static str, &'static str) {
    key.path().rsplit_once('.').unwrap_or(("", key.path()))
}

fn as_list(value: &mut Value) -> &mut Vec<Value> {
    if !value.is_array() {
        *value = json!([]);
    }
    match value {
        Value::Array(list) => list,
        _ => unreachable!("made an array above"),
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
        spec.set(key::PROCESS_CWD, "/data");
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
        spec.set(key::PROCESS_USER_UID, 5);
        assert_eq!(
            spec.value(),
            &json!({"mounts": [{"destination": "/x"}], "process": {"user": {"uid": 5}}})
        );
    }

    #[test]
    fn removing_an_absent_key_changes_nothing() {
        let mut spec = Spec::new(json!({"a": 1}));
        assert_eq!(spec.remove(key::LINUX_CGROUPS_PATH), None);
        assert_eq!(spec.value(), &json!({"a": 1}));
    }
}
