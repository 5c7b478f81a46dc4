//! Reads typed values from JSON documents; errors name the JSON path.

use anyhow::anyhow;
use serde::Deserialize;
use serde_json::Value;

/// A short name of a value for a message.
pub fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(b) => b.to_string(),
        Value::Number(n) => format!("the number {n}"),
        Value::String(s) if s.chars().count() > 40 => {
            format!("the string {:?}…", s.chars().take(40).collect::<String>())
        }
        Value::String(s) => format!("the string {s:?}"),
        Value::Array(_) => "an array".into(),
        Value::Object(_) => "an object".into(),
    }
}

/// Reads a type of ours from a document.
///
/// # Errors
/// With the path in the document.
pub fn typed<'de, T: Deserialize<'de>>(value: &'de Value) -> anyhow::Result<T> {
    serde_path_to_error::deserialize(value).map_err(|e| match e.path().to_string().as_str() {
        "." => anyhow!("{}", e.inner()),
        path => anyhow!("{path}: {}", e.inner()),
    })
}
