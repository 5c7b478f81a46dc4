//! Reads the fields of a JSON document by type.

use std::fmt;

use serde_json::{Map, Value};

/// A field that has the wrong type or value, and its place in the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    place: Vec<String>,
    cause: String,
}

impl FieldError {
    /// Returns an error about a value. The callers add the place of the value with
    /// [`within`](FieldError::within), innermost first.
    pub fn new(cause: impl Into<String>) -> FieldError {
        FieldError { place: Vec::new(), cause: cause.into() }
    }

    /// Puts `place`, the field or object that contains the value, before the places added so far.
    #[must_use]
    pub fn within(mut self, place: impl Into<String>) -> FieldError {
        self.place.insert(0, place.into());
        self
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for place in &self.place {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.cause)
    }
}

impl std::error::Error for FieldError {}

/// Returns `value` as a string.
///
/// # Errors
/// Returns an error if `value` is not a string.
pub fn string(value: &Value) -> Result<&str, FieldError> {
    value.as_str().ok_or_else(|| unexpected("a string", value))
}

/// Returns `value` as an object.
///
/// # Errors
/// Returns an error if `value` is not an object.
pub fn object(value: Value) -> Result<Map<String, Value>, FieldError> {
    match value {
        Value::Object(map) => Ok(map),
        other => Err(unexpected("an object", &other)),
    }
}

/// Removes `key` from `keys` and returns its value, which must be an object. Returns an empty
/// object if the key is absent or null.
///
/// # Errors
/// Returns an error if the value is not an object.
pub fn take_object(keys: &mut Map<String, Value>, key: &str) -> Result<Map<String, Value>, FieldError> {
    match keys.shift_remove(key) {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(value) => object(value).map_err(|e| e.within(key)),
    }
}

/// Removes `key` from `keys` and returns its value, which must be an array. Returns an empty array
/// if the key is absent or null.
///
/// # Errors
/// Returns an error if the value is not an array.
pub fn take_array(keys: &mut Map<String, Value>, key: &str) -> Result<Vec<Value>, FieldError> {
    match keys.shift_remove(key) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(list)) => Ok(list),
        Some(other) => Err(unexpected("an array", &other).within(key)),
    }
}

/// Returns an error that says which type was expected and which was found.
pub fn unexpected(expected: &str, found: &Value) -> FieldError {
    FieldError::new(format!("expected {expected}, found {}", kind(found)))
}

/// Returns the type of a JSON value with its article, for messages.
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_error_names_the_place_from_the_outside_in() {
        let mut keys = object(json!({ "a": 5, "b": null, "c": [1] })).unwrap();
        let error = take_object(&mut keys, "a").unwrap_err().within("outer");
        assert_eq!(error.to_string(), "outer: a: expected an object, found a number");
        assert!(take_object(&mut keys, "b").unwrap().is_empty());
        assert_eq!(take_array(&mut keys, "c").unwrap(), [json!(1)]);
        assert!(take_array(&mut keys, "absent").unwrap().is_empty());
        assert!(keys.is_empty());
    }
}
