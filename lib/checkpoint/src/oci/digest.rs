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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_digests_of_known_algorithms_are_accepted() {
        let (short, long) = ("0a".repeat(32), "0f".repeat(64));
        for (text, algorithm) in [
            (format!("sha256:{short}"), Some("SHA-256")),
            (format!("sha512:{long}"), Some("SHA-512")),
            (format!("sha256:{long}"), None),
            (format!("sha512:{short}"), None),
            (format!("sha384:{short}"), None),
            (format!("sha256:{}", short.to_ascii_uppercase()), None),
            (format!("sha256:{}", "../".repeat(21) + "x"), None),
            (format!("sha256:{}g", &short[1..]), None),
            (format!("sha256:{}", &short[1..]), None),
            (short.clone(), None),
        ] {
            let digest = Digest::read(&Value::from(text.as_str()));
            assert_eq!(digest.ok().map(|digest| digest.algorithm()), algorithm, "{text}");
        }
        assert!(Digest::read(&Value::Null).is_err());
    }

    #[test]
    fn content_is_compared_with_its_digest() {
        let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let sha512 = "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
                      2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";
        for text in [format!("sha256:{sha256}"), format!("sha512:{sha512}")] {
            let digest = Digest::read(&Value::from(text)).unwrap();
            assert!(digest.is_of(&b"abc"[..]).unwrap());
            assert!(!digest.is_of(&b"abd"[..]).unwrap());
            assert!(!digest.is_of(&b""[..]).unwrap());
        }
    }

    #[test]
    fn a_blob_has_a_path_for_each_format() {
        let hex = "0a".repeat(32);
        let digest = Digest::read(&Value::from(format!("sha256:{hex}"))).unwrap();
        assert_eq!(digest.in_layout(), format!("blobs/sha256/{hex}"));
        let names = [hex.clone(), format!("{hex}.manifest.json")].into_iter();
        let names = names.chain([format!("sha256-{hex}.manifest.json"), format!("sha256-{hex}")]);
        assert!(names.eq(digest.in_directory()));
    }
}
