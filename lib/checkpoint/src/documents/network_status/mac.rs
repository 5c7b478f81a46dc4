//! Hardware addresses, in every form that Go's reader accepts.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;
use strict_json::FieldError;
use strict_json::field::unexpected;
use tartree::base64;

/// A hardware address of 6 bytes (Ethernet), 8 (EUI-64) or 20 (IP over InfiniBand).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mac(Vec<u8>);

const LENGTHS: [usize; 3] = [6, 8, 20];

impl Mac {
    /// Returns the address with these bytes, or `None` if no hardware address has that length.
    pub fn from_bytes(bytes: &[u8]) -> Option<Mac> {
        LENGTHS.contains(&bytes.len()).then(|| Mac(bytes.to_vec()))
    }

    /// Returns the six bytes of an Ethernet address, or `None` for another length.
    pub fn ethernet(&self) -> Option<[u8; 6]> {
        self.0.as_slice().try_into().ok()
    }

    /// Returns the bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Reads the JSON forms of Go's `HardwareAddr`: a string, or an array of numbers, which older
    /// podman wrote. Returns `None` for `""` and null.
    pub(super) fn from_value(value: &Value) -> Result<Option<Mac>, FieldError> {
        match value {
            Value::Null => Ok(None),
            Value::String(text) if text.is_empty() => Ok(None),
            Value::String(text) => text.parse().map(Some),
            Value::Array(list) => {
                let byte = |v: &Value| v.as_u64().and_then(|n| u8::try_from(n).ok());
                let bytes = list.iter().map(byte).collect::<Option<Vec<u8>>>();
                let mac = bytes.and_then(|bytes| Mac::from_bytes(&bytes));
                mac.map(Some).ok_or_else(|| FieldError::new("the array is not the bytes of a MAC address"))
            }
            other => Err(unexpected("a string", other)),
        }
    }
}

impl FromStr for Mac {
    type Err = FieldError;

    /// Parses `aa:bb:..`, `aa-bb-..`, `aabb.ccdd.eeff`, or the base64 of the bytes (Go's form of a
    /// byte slice).
    fn from_str(text: &str) -> Result<Mac, FieldError> {
        let bytes = groups(text, ':', 2)
            .or_else(|| groups(text, '-', 2))
            .or_else(|| groups(text, '.', 4))
            .or_else(|| base64::decode_canonical(text));
        bytes
            .and_then(|bytes| Mac::from_bytes(&bytes))
            .ok_or_else(|| FieldError::new(format!("{text:?}: not a MAC address")))
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(":")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// Decodes bytes that are written as groups of `digits` hexadecimal digits with `separator` between
/// the groups.
fn groups(text: &str, separator: char, digits: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for group in text.split(separator) {
        if group.len() != digits || !group.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        for pair in group.as_bytes().chunks(2) {
            bytes.push(u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_of_go_are_read_as_the_same_address() {
        for text in ["02:00:00:00:00:05", "02-00-00-00-00-05", "0200.0000.0005", "AgAAAAAF"] {
            assert_eq!(text.parse::<Mac>().unwrap().to_string(), "02:00:00:00:00:05", "{text}");
        }
        assert_eq!("02:AB:cd:00:00:01".parse::<Mac>().unwrap().to_string(), "02:ab:cd:00:00:01");
        let array = serde_json::json!([2, 0, 0, 0, 0, 5]);
        assert_eq!(Mac::from_value(&array).unwrap().unwrap().to_string(), "02:00:00:00:00:05");
        assert_eq!("AgAAAAAFAAA=".parse::<Mac>().unwrap().bytes().len(), 8);
        assert_eq!(
            "00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff:00:11:22:33"
                .parse::<Mac>()
                .unwrap()
                .bytes()
                .len(),
            20
        );
    }

    #[test]
    fn an_empty_string_means_no_address() {
        assert_eq!(Mac::from_value(&"".into()), Ok(None));
        assert_eq!(Mac::from_value(&Value::Null), Ok(None));
    }

    #[test]
    fn other_texts_and_values_are_rejected() {
        for text in [
            "zz:00:00:00:00:01",
            "02:00:00:00:01",
            "02:00:00:00:00:0",
            "02:00-00:00:00:05",
            "2:0:0:0:0:5",
            "020000000005",
            "02:00:00:00:00:05:",
            "AgAAAAA",
            "AgAAAA==",
            "AgAAAAAF====",
            "02:00:00:00:00:+5",
            " 02:00:00:00:00:05",
            "é",
        ] {
            assert!(text.parse::<Mac>().is_err(), "{text}");
        }
        for value in
            [serde_json::json!([256, 0, 0, 0, 0, 5]), serde_json::json!([1, 2]), 5.into(), true.into()]
        {
            assert!(Mac::from_value(&value).is_err(), "{value}");
        }
    }
}
