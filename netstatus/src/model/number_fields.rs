//! Numbers in JSON objects.

use checkpoint::network_status::Malformed;
use serde_json::{Map, Value};

/// Returns the number under `key`, or `None` if the key is absent or null.
///
/// # Errors
/// Returns an error if the value is not an integer from 0 to 2^32 - 1.
pub fn u32_field(keys: &Map<String, Value>, key: &str) -> Result<Option<u32>, Malformed> {
    field(keys, key, "2^32")
}

/// Returns the number under `key`, or `None` if the key is absent or null.
///
/// # Errors
/// Returns an error if the value is not an integer from 0 to 255.
pub fn u8_field(keys: &Map<String, Value>, key: &str) -> Result<Option<u8>, Malformed> {
    field(keys, key, "256")
}

fn field<T: TryFrom<u64>>(keys: &Map<String, Value>, key: &str, limit: &str) -> Result<Option<T>, Malformed> {
    match keys.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_u64().and_then(|n| T::try_from(n).ok()) {
            Some(n) => Ok(Some(n)),
            None => {
                Err(Malformed::new(format!("expected a number below {limit}, found {value}")).within(key))
            }
        },
    }
}
