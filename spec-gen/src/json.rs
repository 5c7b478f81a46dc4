//! JSON as it is written: order and 64-bit integers kept, a key given twice refused.
//!
//! Two readers may each believe another one of two equal keys (a checker the first, the runtime the
//! last); serde_json's own `Value` silently keeps the last.

use std::fmt;

use anyhow::anyhow;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Parses one JSON document; nothing but blanks may follow it. Nesting deeper than 128 is refused.
///
/// # Errors
/// With line and column.
pub fn parse(text: &[u8]) -> anyhow::Result<Value> {
    if text.iter().all(u8::is_ascii_whitespace) {
        return Err(anyhow!("empty, a JSON document is wanted"));
    }
    let Strict(value) = serde_json::from_slice(text).map_err(|e| anyhow!("not valid JSON: {e}"))?;
    Ok(value)
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Strict, D::Error> {
        AnyValue.deserialize(deserializer).map(Strict)
    }
}

struct AnyValue;

impl<'de> DeserializeSeed<'de> for AnyValue {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = seq.next_element_seed(AnyValue)? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            let value = access.next_value_seed(AnyValue)?;
            if map.contains_key(&key) {
                return Err(A::Error::custom(format!("the key {key:?} is given twice")));
            }
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_what_was_written() {
        let text = r#"{"b":[18446744073709551615,-9223372036854775808,1.5],"a":{"x":null,"y":true}}"#;
        assert_eq!(parse(text.as_bytes()).unwrap().to_string(), text);
    }

    #[test]
    fn what_is_not_one_document_is_refused_with_its_place() {
        #[rustfmt::skip]
        let cases = [
            ("", "empty, a JSON document is wanted"),
            ("{\"a\":1,\"a\":2}", "the key \"a\" is given twice at line 1"),
            ("{\"a\":1}\n{}", "trailing characters at line 2 column 1"),
            ("{\"a\":", "EOF while parsing a value at line 1"),
            ("[1e999]", "number out of range at line 1"),
        ];
        for (text, message) in cases {
            let error = parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(message), "{text}: {error}");
        }
        let deep = "[".repeat(100_000);
        assert!(parse(deep.as_bytes()).unwrap_err().to_string().contains("recursion limit"));
    }
}
