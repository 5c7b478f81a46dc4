//! JSON without surprises: one document, every key once.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::Malformed;

/// Reads one JSON document in which no object has the same key twice.
///
/// Of two equal keys Go and serde take the last, other readers the first: two programs would configure two addresses
/// from the same file. Nesting ends at 128 levels, which is serde_json's own limit.
///
/// # Errors
/// With the line and column of what is not JSON.
pub fn document(bytes: &[u8]) -> Result<Value, Malformed> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(Malformed::new("is empty, JSON is wanted"));
    }
    serde_json::from_slice::<Unique>(bytes)
        .map(|unique| unique.0)
        .map_err(|e| Malformed::new(format!("not valid JSON: {e}")))
}

struct Unique(Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Unique, D::Error> {
        deserializer.deserialize_any(Build).map(Unique)
    }
}

struct Build;

impl<'de> Visitor<'de> for Build {
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
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number that is not finite"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Unique(value)) = seq.next_element()? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((key, Unique(value))) = access.next_entry::<String, Unique>()? {
            if map.contains_key(&key) {
                return Err(de::Error::custom(format!("duplicate key {key:?}")));
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
    fn a_key_may_stand_only_once_at_any_depth() {
        assert!(document(br#"{"a":1,"b":{"a":1}}"#).is_ok());
        for twice in [&br#"{"a":1,"a":2}"#[..], br#"[{"b":{"a":1,"\u0061":2}}]"#] {
            assert!(document(twice).unwrap_err().to_string().contains(r#"duplicate key "a""#));
        }
    }

    #[test]
    fn values_are_what_serde_json_makes_of_them() {
        let text = r#"{"z":[1,-2,3.5,18446744073709551615,null,true,"é\n"],"a":{}}"#;
        assert_eq!(document(text.as_bytes()).unwrap().to_string(), text);
    }

    #[test]
    fn depth_is_limited_and_rubbish_refused() {
        let deep = [b"[".repeat(200), b"]".repeat(200)].concat();
        for bad in [
            &deep[..],
            b"",
            b" \n",
            b"{",
            b"{} x",
            b"NaN",
            b"\xff\xfe{\x00}\x00",
            b"\"\xff\"",
            b"'a'",
            b"1e999",
        ] {
            assert!(document(bad).is_err(), "{bad:?}");
        }
    }
}
