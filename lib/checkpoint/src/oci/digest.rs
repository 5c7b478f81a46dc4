//! Digests of blobs: SHA-256 and SHA-512 (image-spec, descriptor.md: "Registered algorithms").

use std::io::Read;

use serde_json::Value;
use sha2::{Digest as _, Sha256, Sha512};

use super::error::image_error;
use super::hashing::hex;
use crate::error::Result;

/// A digest of a known algorithm with the correct length, and thus safe as a file name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    algorithm: &'static str,
    hex: String,
}

/// The algorithms, with the number of their hexadecimal digits.
const ALGORITHMS: [(&str, usize); 2] = [("sha256", 64), ("sha512", 128)];

impl Digest {
    /// Parses `ALGORITHM:HEX`. Other values are rejected, since they could be paths.
    pub(super) fn read(value: &Value) -> Result<Digest> {
        let parts = value.as_str().and_then(|text| text.split_once(':'));
        let known = parts.and_then(|(algorithm, hex)| {
            let (algorithm, digits) = ALGORITHMS.into_iter().find(|(known, _)| *known == algorithm)?;
            let is_hex = hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            (hex.len() == digits && is_hex).then(|| Digest { algorithm, hex: hex.to_owned() })
        });
        known.ok_or_else(|| image_error(format!("{value} is not a SHA-256 or SHA-512 digest")))
    }

    /// Returns the path of the blob in an image layout.
    pub(super) fn in_layout(&self) -> String {
        format!("blobs/{}/{}", self.algorithm, self.hex)
    }

    /// Returns the possible names of the blob in skopeo's `dir:` format, in which manifests of an
    /// index have a suffix.
    pub(super) fn in_directory(&self) -> [String; 4] {
        let Digest { algorithm, hex } = self;
        let long = format!("{algorithm}-{hex}");
        [hex.clone(), format!("{hex}.manifest.json"), format!("{long}.manifest.json"), long]
    }

    /// Reads `input` to its end and returns whether its content has this digest.
    pub(super) fn is_of(&self, input: impl Read) -> std::io::Result<bool> {
        match self.algorithm {
            "sha512" => Ok(hash(Sha512::new(), input)? == self.hex),
            _ => Ok(hash(Sha256::new(), input)? == self.hex),
        }
    }

    /// Returns the name of the algorithm for messages.
    pub(super) fn algorithm(&self) -> &'static str {
        if self.algorithm == "sha512" { "SHA-512" } else { "SHA-256" }
    }
}

fn hash<D: sha2::Digest>(mut hash: D, mut input: impl Read) -> std::io::Result<String> {
    let mut buffer = vec![0; 256 << 10];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => return Ok(hex(&hash.finalize())),
            Ok(got) => hash.update(&buffer[..got]),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}
