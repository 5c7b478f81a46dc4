//! A real archive, which tests change.

use std::fs;
use std::io::Read;
use std::path::Path;

use tartree::{END_OF_ARCHIVE, Entry, Kind, RootName};

/// The members of an archive, each with its content.
pub type Members = Vec<(Entry, Vec<u8>)>;

/// Returns a checkpoint archive of podman, decompressed and with `change` applied to its members.
pub fn golden(change: impl Fn(&mut Members)) -> Vec<u8> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/g06-bridge.tar.xz");
    let input = std::io::BufReader::new(fs::File::open(data).unwrap());
    let plain = checkpoint::compress::Decoder::new(input).unwrap();
    let mut reader = tartree::Reader::new(std::io::BufReader::new(plain), tartree::Limits::default());
    let mut members = Vec::new();
    while let Some(item) = reader.next().unwrap() {
        let tartree::Item::Entry(entry) = item else { continue };
        let mut content = Vec::new();
        reader.content().read_to_end(&mut content).unwrap();
        members.push((entry, content));
    }
    change(&mut members);
    for (entry, content) in &mut members {
        if let Kind::File { size, .. } = &mut entry.kind {
            *size = content.len() as u64;
        }
    }
    tar(&members)
}

/// Returns a tar of `entries`.
pub fn tar(entries: &[(Entry, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (entry, content) in entries {
        tartree::encode(&mut bytes, entry, RootName::Dot);
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len() + tartree::padding(content.len() as u64) as usize, 0);
    }
    bytes.extend_from_slice(&END_OF_ARCHIVE);
    bytes
}
