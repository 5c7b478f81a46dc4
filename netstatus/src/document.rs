//! Reading a JSON document from standard input or a file.

use std::path::Path;

use anyhow::Context;
use checkpoint::json;
use checkpoint::network_status::NetworkStatus;
use cli::{Input, read_document};
use serde_json::Value;

use crate::validate;

/// The largest document that is read: a status with a thousand networks has 300 kB.
const LIMIT: u64 = 1 << 20;

/// A document and the name it has in messages.
pub struct Document {
    pub name: String,
    pub value: Value,
}

/// Reads the document at `path`; `None` and `-` are standard input.
///
/// # Errors
/// When it cannot be read, is longer than 1 MiB, or is not JSON with unique keys.
pub fn read(path: Option<&Path>, what: &str) -> anyhow::Result<Document> {
    let input = Input::open(path, what)?;
    let name = input.name().to_owned();
    let bytes = read_document(input, &name, LIMIT)?;
    let value = json::document(&bytes).with_context(|| name.clone())?;
    Ok(Document { name, value })
}

/// Reads and validates a `network.status`.
///
/// # Errors
/// When it is none, or holds a value no container can have.
pub fn read_status(path: Option<&Path>) -> anyhow::Result<(String, Option<NetworkStatus>)> {
    let Document { name, value } = read(path, "a network.status")?;
    let status = NetworkStatus::from_value(value).with_context(|| name.clone())?;
    if let Some(status) = &status {
        validate::validate(status).with_context(|| name.clone())?;
    }
    Ok((name, status))
}
