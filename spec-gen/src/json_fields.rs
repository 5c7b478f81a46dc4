//! Reads typed values from JSON documents; each error names the path of the value.

use anyhow::anyhow;
use serde::Deserialize;
use serde_json::{Map, Value};

/// The fields of a JSON object. Absent fields and `null` have the zero value of their type, as in Go.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    object: &'a Map<String, Value>,
    /// The path of the object in its document, for errors.
    path: String,
}

impl<'a> Fields<'a> {
    /// Wraps the top-level object of a document.
    pub fn new(object: &'a Map<String, Value>) -> Fields<'a> {
        Fields { object, path: String::new() }
    }

    /// Wraps the object at `path` in a document.
    ///
    /// # Errors
    /// Returns an error if the value is not an object.
    pub fn at(path: String, value: &'a Value) -> anyhow::Result<Fields<'a>> {
        match value {
            Value::Object(object) => Ok(Fields { object, path }),
            other => Err(mismatch(&path, "an object", other)),
        }
    }

    /// Returns the path of a field in the document.
    pub fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// Returns the value of a field, unless it is absent or `null`.
    pub fn get(&self, name: &str) -> Option<&'a Value> {
        self.object.get(name).filter(|value| !value.is_null())
    }

    /// Returns the names and values of all fields.
    pub fn iter(&self) -> impl Iterator<Item = (&'a String, &'a Value)> + use<'a> {
        self.object.iter()
    }

    /// Returns a string.
    ///
    /// # Errors
    /// Returns an error if the field has another type.
    pub fn text(&self, name: &str) -> anyhow::Result<String> {
        self.get(name).map_or(Ok(String::new()), |value| text_at(&self.path_of(name), value))
    }

    /// Returns an array of strings.
    ///
    /// # Errors
    /// Returns an error if the field or an element has another type.
    pub fn texts(&self, name: &str) -> anyhow::Result<Vec<String>> {
        self.array(name)?.into_iter().map(|(path, value)| text_at(&path, value)).collect()
    }

    /// Returns a Boolean.
    ///
    /// # Errors
    /// Returns an error if the field has another type.
    pub fn flag(&self, name: &str) -> anyhow::Result<Option<bool>> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(other) => Err(mismatch(&self.path_of(name), "true or false", other)),
        }
    }

    /// Returns a number.
    ///
    /// # Errors
    /// Returns an error if the field has another type or is negative.
    pub fn number(&self, name: &str) -> anyhow::Result<u64> {
        let Some(value) = self.get(name) else { return Ok(0) };
        value.as_u64().ok_or_else(|| mismatch(&self.path_of(name), "a number from 0 on", value))
    }

    /// Returns the fields of an object.
    ///
    /// # Errors
    /// Returns an error if the field has another type.
    pub fn object(&self, name: &str) -> anyhow::Result<Option<Fields<'a>>> {
        self.get(name).map(|value| Fields::at(self.path_of(name), value)).transpose()
    }

    /// Returns the fields of each object in an array.
    ///
    /// # Errors
    /// Returns an error if the field or an element has another type.
    pub fn objects(&self, name: &str) -> anyhow::Result<Vec<Fields<'a>>> {
        self.array(name)?.into_iter().map(|(path, value)| Fields::at(path, value)).collect()
    }

    fn array(&self, name: &str) -> anyhow::Result<Vec<(String, &'a Value)>> {
        let path = self.path_of(name);
        match self.get(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(list)) => {
                Ok(list.iter().enumerate().map(|(i, value)| (format!("{path}[{i}]"), value)).collect())
            }
            Some(other) => Err(mismatch(&path, "an array", other)),
        }
    }
}

/// Returns the string at `path`.
///
/// # Errors
/// Returns an error if the value is not a string.
pub fn text_at(path: &str, value: &Value) -> anyhow::Result<String> {
    value.as_str().map(str::to_owned).ok_or_else(|| mismatch(path, "a string", value))
}

fn mismatch(path: &str, expected: &str, found: &Value) -> anyhow::Error {
    anyhow!("{path}: expected {expected}, found {}", describe(found))
}

/// Describes a value for a message.
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

/// Deserializes a value of a document.
///
/// # Errors
/// Returns an error that names the path in the document.
pub fn typed<'de, T: Deserialize<'de>>(value: &'de Value) -> anyhow::Result<T> {
    serde_path_to_error::deserialize(value).map_err(|e| match e.path().to_string().as_str() {
        "." => anyhow!("{}", e.inner()),
        path => anyhow!("{path}: {}", e.inner()),
    })
}
