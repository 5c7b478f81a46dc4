//! The JSON documents that the commands read from standard input and from files.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use checkpoint::network_status::NetworkStatus;
use cli::{Input, display_path, read_document};
use serde_json::Value;

use crate::model::network_info::{self, NetworkInfos};
use crate::model::status::ValidStatus;

/// The largest document that is read, in bytes. A status with a thousand networks has 300 kB.
const LIMIT: u64 = 1 << 20;

/// A document and its name in messages.
pub struct Document {
    pub name: String,
    pub value: Value,
}

/// Reads the document at `path`; `None` and `-` mean standard input.
///
/// # Errors
/// Returns an error if the document cannot be read, is longer than 1 MiB, or is not JSON with
/// unique keys.
pub fn read(path: Option<&Path>, what: &str) -> anyhow::Result<Document> {
    let input = Input::open(path, what)?;
    let name = input.name().to_owned();
    let bytes = read_document(input, &name, LIMIT)?;
    let value = strict_json::document(&bytes).with_context(|| name.clone())?;
    Ok(Document { name, value })
}

/// Reads and validates a `network.status`. Also returns the name of the document in messages.
///
/// # Errors
/// Returns an error if the document is not a status, or contains a value that no container can
/// have.
pub fn read_status(path: Option<&Path>) -> anyhow::Result<(String, Option<ValidStatus>)> {
    let Document { name, value } = read(path, "a network.status")?;
    let status = NetworkStatus::from_value(value).with_context(|| name.clone())?;
    let status = status.map(ValidStatus::new).transpose().with_context(|| name.clone())?;
    Ok((name, status))
}

/// Reads the networks of the host from files, and from the `*.json` files of directories.
///
/// # Errors
/// Returns an error if a file cannot be read, is not a network, or describes a known network
/// differently.
pub fn read_network_infos(paths: &[PathBuf]) -> anyhow::Result<NetworkInfos> {
    let mut infos = NetworkInfos::new();
    for path in paths {
        for file in network_files(path)? {
            let Document { name, value } = read(Some(&file), "a network")?;
            network_info::add(&mut infos, value).with_context(|| name.clone())?;
        }
    }
    Ok(infos)
}

fn network_files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).with_context(|| display_path(path))? {
        let file = entry.with_context(|| display_path(path))?.path();
        if file.extension().is_some_and(|e| e == "json") {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}
