//! Reads one JSON document. Preserves the order of keys and 64-bit integers, and rejects duplicate
//! keys.

use std::cell::Cell;
use std::fmt;

use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use tartree::FileKind;

/// The maximum number of values in one document: arrays, objects and their members, strings and
/// numbers. A pod with a thousand volumes has twenty thousand values.
///
/// A limit on the length of the text is not enough: each value takes about 100 bytes of memory, but
/// may take only two bytes of the text.
const MAX_VALUES: u32 = 1 << 18;

/// A text that is not a JSON document.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// The text is empty or only white space.
    #[error("is empty, expected JSON")]
    Empty,
    /// The text is another kind of file.
    #[error("{}", .0.instead_of("JSON"))]
    Kind(FileKind),
    /// The text is not valid JSON, or has duplicate keys or too many values. The error has the line
    /// and column.
    #[error("not valid JSON: {0}")]
    Syntax(serde_json::Error),
}

/// Reads one JSON document in which no object has the same key twice. Only white space may follow
/// the document.
///
/// Readers disagree about duplicate keys: Go and serde use the last value, other readers the first
/// value. A checker and the program that it protects would then read two different documents.
/// Nesting is limited to 128 levels, the limit of serde_json.
///
/// # Errors
/// Returns an error with the line and column if `bytes` is not such a document.
pub fn document(bytes: &[u8]) -> Result<Value, DocumentError> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(DocumentError::Empty);
    }
    let left = Cell::new(MAX_VALUES);
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Build(&left).deserialize(&mut deserializer).map_err(|e| match FileKind::in_bytes(bytes) {
        Some(found) if !found.is_any_text() && !found.is_json() => DocumentError::Kind(found),
        _ => DocumentError::Syntax(e),
    })?;
    deserializer.end().map_err(DocumentError::Syntax)?;
    Ok(value)
}

/// A value that follows the rules of [`document`], for deserializers of other formats.
pub struct Unique(Value);

impl From<Unique> for Value {
    fn from(unique: Unique) -> Value {
        unique.0
    }
}

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Unique, D::Error> {
        let left = Cell::new(MAX_VALUES);
        Build(&left).deserialize(deserializer).map(Unique)
    }
}

/// Builds a value. The counter holds the number of values that the document may still contain.
#[derive(Clone, Copy)]
struct Build<'a>(&'a Cell<u32>);

impl<'de> DeserializeSeed<'de> for Build<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self.0.get().checked_sub(1) {
            Some(left) => self.0.set(left),
            None => return Err(de::Error::custom(format!("more than {MAX_VALUES} values"))),
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Build<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("expected a finite number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = seq.next_element_seed(self)? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            if map.contains_key(&key) {
                return Err(de::Error::custom(format!("duplicate key {key:?}")));
            }
            map.insert(key, access.next_value_seed(self)?);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicate_keys_are_rejected_at_any_depth() {
        assert!(document(br#"{"a":1,"b":{"a":1}}"#).is_ok());
        for twice in [&br#"{"a":1,"a":2}"#[..], br#"[{"b":{"a":1,"\u0061":2}}]"#] {
            assert!(document(twice).unwrap_err().to_string().contains(r#"duplicate key "a" at line 1"#));
        }
    }

    #[test]
    fn order_and_large_numbers_are_preserved() {
        let text =
            r#"{"z":[1,-2,3.5,18446744073709551615,-9223372036854775808,null,true,"é\n"],"a":{"y":{}}}"#;
        assert_eq!(document(text.as_bytes()).unwrap().to_string(), text);
    }

    #[test]
    fn invalid_documents_are_rejected_with_line_and_column() {
        let deep = "[".repeat(100_000);
        let many = format!("[0{}]", ",0".repeat(262_143));
        #[rustfmt::skip]
        let cases: &[(&[u8], &str)] = &[
            (b"", "is empty, expected JSON"),
            (b" \n", "is empty, expected JSON"),
            (b"{\"a\":1}\n{}", "trailing characters at line 2 column 1"),
            (b"{} x", "trailing characters at line 1 column 4"),
            (b"{\"a\":", "EOF while parsing a value at line 1"),
            (b"[1e999]", "number out of range at line 1"),
            (b"NaN", "not valid JSON: expected value at line 1 column 1"),
            (b"'a'", "expected value at line 1 column 1"),
            (b"\xff\xfe{\x00}\x00", "expected JSON, found text in UTF-16"),
            (b"\"\xff\"", "invalid unicode code point at line 1"),
            (deep.as_bytes(), "recursion limit"),
            (many.as_bytes(), "more than 262144 values at line 1"),
        ];
        for (text, message) in cases {
            let error = document(text).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
