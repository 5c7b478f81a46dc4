//! `--explain`: prints one line per change, with its reason.
//!
//! After each rule, [`Trace::because`] compares the spec with its previous state and records the
//! differences with the name of that rule. Rules write no lines themselves, so no rule can omit a
//! change or report a change that it did not make.

use serde_json::Value;

use crate::runtime_spec::Spec;

/// The changes so far. If `--explain` is not given, the trace stays empty and costs nothing.
pub struct Trace {
    before: Option<Value>,
    lines: Vec<String>,
}

impl Trace {
    /// Starts a trace at `spec`, the spec as it was read. If `wanted` is false, nothing is
    /// recorded.
    pub fn new(wanted: bool, spec: &Spec) -> Trace {
        Trace { before: wanted.then(|| spec.value().clone()), lines: Vec::new() }
    }

    /// Records the changes since the last call, with `reason`.
    pub fn because(&mut self, spec: &Spec, reason: impl FnOnce() -> String) {
        let Some(before) = &mut self.before else { return };
        if before == spec.value() {
            return;
        }
        let reason = reason();
        let mut changes = Vec::new();
        compare(before, spec.value(), "", &mut changes);
        self.lines.extend(changes.into_iter().map(|change| format!("{change} ({reason})")));
        *before = spec.value().clone();
    }

    /// Returns the lines, in the order of the rules.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }
}

/// Appends each difference with its JSON path.
fn compare(before: &Value, after: &Value, path: &str, changes: &mut Vec<String>) {
    match (before, after) {
        (Value::Object(old), Value::Object(new)) => {
            let at = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
            for (key, value) in old {
                match new.get(key) {
                    Some(now) => compare(value, now, &at(key), changes),
                    None => changes.push(format!("{}: removed {}", at(key), short(value))),
                }
            }
            for (key, value) in new.iter().filter(|(key, _)| !old.contains_key(*key)) {
                changes.push(format!("{}: {}", at(key), short(value)));
            }
        }
        (Value::Array(old), Value::Array(new)) if path.ends_with(".args") => {
            compare_arguments(old, new, path, changes);
        }
        (Value::Array(old), Value::Array(new)) => compare_lists(old, new, path, changes),
        _ if before != after => changes.push(format!("{path}: {} -> {}", short(before), short(after))),
        _ => {}
    }
}

/// Compares two lists of arguments by position, since an argument such as `--name=web` is not a
/// variable, and the same argument may appear twice.
fn compare_arguments(old: &[Value], new: &[Value], path: &str, changes: &mut Vec<String>) {
    for at in 0..old.len().max(new.len()) {
        let label = format!("{path}[{at}]");
        match (old.get(at), new.get(at)) {
            (Some(old), Some(new)) => compare(old, new, &label, changes),
            (Some(old), None) => changes.push(format!("{label}: removed {}", short(old))),
            (None, Some(new)) => changes.push(format!("{label}: added {}", short(new))),
            (None, None) => {}
        }
    }
}

/// Compares two lists. Elements are identified by their content, so that an element inserted at the
/// front counts as one change.
fn compare_lists(old: &[Value], new: &[Value], path: &str, changes: &mut Vec<String>) {
    let same = |a: &Value, b: &Value| match (key_of(path, a), key_of(path, b)) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    };
    let label = |v: &Value| match key_of(path, v) {
        Some(key) => format!("{path}[{key}]"),
        None => path.to_owned(),
    };
    for value in old.iter().filter(|v| !new.iter().any(|n| same(v, n))) {
        changes.push(format!("{}: removed {}", label(value), short(value)));
    }
    for value in new {
        match old.iter().find(|o| same(o, value)) {
            Some(there) => compare(there, value, &label(value), changes),
            None => changes.push(format!("{}: added {}", label(value), short(value))),
        }
    }
    let order = |list: &[Value], other: &[Value]| -> Vec<String> {
        list.iter()
            .filter(|v| other.iter().any(|o| same(v, o)))
            .map(|v| key_of(path, v).unwrap_or_else(|| v.to_string()))
            .collect()
    };
    if order(old, new) != order(new, old) {
        changes.push(format!("{path}: new order"));
    }
}

/// Returns the key that identifies an element of a list: the destination of a mount, the name of a
/// variable.
fn key_of(path: &str, value: &Value) -> Option<String> {
    let key = match path {
        "mounts" => "destination",
        "linux.namespaces" | "process.rlimits" => "type",
        _ => "path",
    };
    match value {
        Value::Object(map) => map.get(key).and_then(Value::as_str).map(str::to_owned),
        Value::String(s) => s.split_once('=').map(|(name, _)| name.to_owned()),
        _ => None,
    }
}

fn short(value: &Value) -> String {
    const MAX: usize = 160;
    let text = value.to_string();
    if text.chars().count() <= MAX { text } else { text.chars().take(MAX).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_change_is_one_line_with_path_and_reason() {
        let before = Spec::new(json!({
            "process": {"user": {"uid": 0}, "env": ["A=1", "B=2"]}, "mounts": [{"destination": "/a"}], "hooks": {}
        }));
        let after = Spec::new(json!({
            "process": {"user": {"uid": 1000}, "env": ["A=x", "B=2"]},
            "mounts": [{"destination": "/b"}, {"destination": "/a", "type": "bind"}]
        }));
        let mut trace = Trace::new(true, &before);
        trace.because(&after, || "flag".into());
        assert_eq!(
            trace.lines(),
            [
                "process.user.uid: 0 -> 1000 (flag)",
                "process.env[A]: \"A=1\" -> \"A=x\" (flag)",
                "mounts[/b]: added {\"destination\":\"/b\"} (flag)",
                "mounts[/a].type: \"bind\" (flag)",
                "hooks: removed {} (flag)",
            ]
        );
    }

    #[test]
    fn arguments_are_labelled_by_their_position() {
        let spec = |args: &[&str]| Spec::new(json!({"process": {"args": args}}));
        let mut trace = Trace::new(true, &spec(&["sh"]));
        trace.because(&spec(&["web", "--name=a", "--name=a"]), || "ARGS".into());
        trace.because(&spec(&["web"]), || "--args".into());
        assert_eq!(
            trace.lines(),
            [
                "process.args[0]: \"sh\" -> \"web\" (ARGS)",
                "process.args[1]: added \"--name=a\" (ARGS)",
                "process.args[2]: added \"--name=a\" (ARGS)",
                "process.args[1]: removed \"--name=a\" (--args)",
                "process.args[2]: removed \"--name=a\" (--args)",
            ]
        );
    }

    #[test]
    fn a_changed_order_is_reported() {
        let spec = |list: [&str; 2]| Spec::new(json!({"mounts": list.map(|d| json!({"destination": d}))}));
        let mut trace = Trace::new(true, &spec(["/a", "/b"]));
        trace.because(&spec(["/b", "/a"]), || "sort".into());
        assert_eq!(trace.lines(), ["mounts: new order (sort)"]);
    }
}
