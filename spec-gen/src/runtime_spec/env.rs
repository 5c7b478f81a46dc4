//! The environment of the process: one value for each name.
//!
//! runtime-tools looks up a name in a cache whose keys are `NAME=VALUE`, so the lookup never
//! succeeds. podman's containers therefore get the name twice, and the shell determines which value
//! is used (opencontainers/runtime-tools#798).

use serde_json::{Value, json};

use crate::runtime_spec::Spec;
use crate::runtime_spec::key::{self, Key};

const ENV: Key = key::PROCESS_ENV;

/// Returns the name of an entry: the part before the first `=`.
pub fn name_of(entry: &str) -> &str {
    entry.split_once('=').map_or(entry, |(name, _)| name)
}

/// Reports whether the variable is set. `NAME=` counts as set.
pub fn is_set(spec: &Spec, name: &str) -> bool {
    spec.list(ENV).iter().filter_map(Value::as_str).any(|e| e.contains('=') && name_of(e) == name)
}

/// Returns the value of a variable.
pub fn value<'a>(spec: &'a Spec, name: &str) -> Option<&'a str> {
    let pairs = spec.list(ENV).iter().filter_map(|e| e.as_str()?.split_once('='));
    pairs.into_iter().find(|(n, _)| *n == name).map(|(_, value)| value)
}

/// Sets a variable at its current position, or at the end if it is not set. Removes further entries
/// with the same name.
pub fn set(spec: &mut Spec, name: &str, value: &str) {
    let entry = json!(format!("{name}={value}"));
    let list = spec.list_mut(ENV);
    let is_name = |v: &Value| v.as_str().is_some_and(|e| name_of(e) == name);
    match list.iter().position(is_name) {
        Some(first) => {
            let mut at = 0;
            list.retain(|v| {
                at += 1;
                at - 1 <= first || !is_name(v)
            });
            list[first] = entry;
        }
        None => list.push(entry),
    }
}

/// Sets a variable unless it is already set.
pub fn set_default(spec: &mut Spec, name: &str, value: &str) {
    if !is_set(spec, name) {
        set(spec, name, value);
    }
}

/// Removes a variable.
pub fn unset(spec: &mut Spec, name: &str) {
    if !spec.list(ENV).is_empty() {
        spec.list_mut(ENV).retain(|v| v.as_str().is_none_or(|e| name_of(e) != name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(env: &[&str]) -> Spec {
        Spec::new(json!({ "process": { "env": env } }))
    }

    #[test]
    fn a_variable_is_replaced_in_place_and_duplicates_removed() {
        let mut spec = spec(&["A=1", "B=2", "A=3", "AB=4"]);
        set(&mut spec, "A", "x");
        set(&mut spec, "C", "");
        assert_eq!(spec.texts(ENV), ["A=x", "B=2", "AB=4", "C="]);
    }

    #[test]
    fn an_empty_value_counts_as_set_and_names_match_exactly() {
        let spec = spec(&["HOME=", "HOMEX=1"]);
        assert!(is_set(&spec, "HOME") && is_set(&spec, "HOMEX") && !is_set(&spec, "HOM"));
    }
}
