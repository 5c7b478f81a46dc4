//! `delta.json` in an image directory: binds the directory to the archive that holds the rest of its
//! memory pages.
//!
//! ```json
//! {
//!   "schema": 1,
//!   "base": {
//!     "id": "sha256:…",
//!     "container": "4f0c…",
//!     "checkpointed": "2026-11-30T22:00:00Z"
//!   }
//! }
//! ```
//!
//! Pages that a pagemap marks as `in parent` are in the base. A wrong base would restore wrong
//! memory, so every reader compares the ID of the base before it uses the base. The ID is the digest
//! of the base's memory images, or a random number that a round of a migration got when it was
//! written.
//!
//! With `"encoding": "xor"`, the pagemaps are those of the dump, and each `pages` image is stored as
//! XOR with the pages of the base ([`xor`](crate::xor)). `id` is then the digest of the decoded
//! images, which proves that they were decoded correctly. It is also the ID of the same dump in a
//! complete archive, which can therefore replace this archive as a base.

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value, json};
use tartree::TarPath;

use crate::error::{Error, Result};
use crate::member::{DELTA, DELTA_LIMIT, Member};

/// The largest document that is read, in bytes.
pub const LIMIT: u64 = DELTA_LIMIT;

/// The name of the document in messages.
const NAME: &str = "delta.json";

/// The kinds of IDs, with the number of their hexadecimal digits.
const KINDS: [(&str, usize); 2] = [("sha256", 64), ("random", 32)];

/// The ID of the memory images in an archive: `sha256:` and the digest of the images, or `random:`
/// and 128 random bits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImagesId(String);

impl ImagesId {
    /// Returns the ID for 128 random bits.
    pub fn random(bits: [u8; 16]) -> ImagesId {
        let hex: String = bits.iter().map(|byte| format!("{byte:02x}")).collect();
        ImagesId(format!("random:{hex}"))
    }

    /// Returns the ID for a SHA-256 digest in hexadecimal digits.
    #[cfg(feature = "archive")]
    pub(crate) fn sha256(hex: &str) -> ImagesId {
        ImagesId(format!("sha256:{hex}"))
    }

    /// Returns whether the ID is the digest of the memory images.
    pub fn is_digest(&self) -> bool {
        self.0.starts_with("sha256:")
    }

    /// Returns the ID as in the document.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ImagesId {
    type Err = &'static str;

    fn from_str(text: &str) -> std::result::Result<ImagesId, &'static str> {
        let is_hex = |hex: &str| hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let (kind, hex) = text.split_once(':').unwrap_or_default();
        match KINDS.iter().any(|(known, digits)| *known == kind && hex.len() == *digits && is_hex(hex)) {
            true => Ok(ImagesId(text.to_owned())),
            false => Err("expected sha256: and 64, or random: and 32 hexadecimal digits"),
        }
    }
}

impl fmt::Display for ImagesId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The archive that holds pages of another archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// The ID of its memory images.
    pub id: ImagesId,
    /// The ID of its container, for messages.
    pub container: Option<String>,
    /// The time of its checkpoint, for messages.
    pub checkpointed: Option<String>,
}

/// How memory pages are stored, other than as CRIU stores them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// As XOR with the pages at the same addresses in the base.
    Xor,
}

impl Encoding {
    /// Returns the name in the document.
    pub fn as_str(self) -> &'static str {
        match self {
            Encoding::Xor => "xor",
        }
    }
}

/// The document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// How the pages are stored, if CRIU cannot read them.
    pub encoding: Option<Encoding>,
    /// The ID of these images, if the ID is not the digest of the memory images in the archive. With
    /// an encoding, the digest of the decoded images.
    pub id: Option<ImagesId>,
    /// The archive that holds the other pages. The first round of a migration has none.
    pub base: Option<Base>,
}

impl Delta {
    /// Returns the member that contains the document: `checkpoint/delta.json`. It comes first in an
    /// archive, so that a reader rejects a wrong base before it has read anything else.
    pub fn member() -> Member {
        Member::Images(TarPath::root().child(DELTA))
    }

    /// Parses the document.
    ///
    /// # Errors
    /// Returns an error if `text` is not a document of schema 1, if it has neither an ID nor a base,
    /// or if it has an encoding but not both a digest and a base.
    pub fn read(text: &[u8]) -> Result<Delta> {
        let document = match strict_json::document(text) {
            Ok(Value::Object(keys)) => keys,
            Ok(_) => return Err(Error::member(NAME, "not a JSON object")),
            Err(e) => return Err(Error::member(NAME, e)),
        };
        match document.get("schema") {
            Some(Value::Number(number)) if number.as_u64() == Some(1) => {}
            Some(other) => {
                return Err(Error::member(
                    NAME,
                    format!("schema: expected 1, found {other}; update ckpt-tools"),
                ));
            }
            None => return Err(Error::member(NAME, "schema: missing")),
        }
        let base = match document.get("base") {
            None | Some(Value::Null) => None,
            Some(Value::Object(base)) => Some(Base {
                id: id(base, "base.")?.ok_or_else(|| Error::member(NAME, "base.id: missing"))?,
                container: text_at(base, "container", "base.")?,
                checkpointed: text_at(base, "checkpointed", "base.")?,
            }),
            Some(_) => return Err(Error::member(NAME, "base: expected an object")),
        };
        let encoding = match text_at(&document, "encoding", "")?.as_deref() {
            None => None,
            Some("xor") => Some(Encoding::Xor),
            Some(other) => {
                return Err(Error::member(
                    NAME,
                    format!("encoding: expected xor, found {other:?}; update ckpt-tools"),
                ));
            }
        };
        let delta = Delta { encoding, id: id(&document, "")?, base };
        match &delta {
            Delta { encoding: Some(_), id, base }
                if base.is_none() || !id.as_ref().is_some_and(ImagesId::is_digest) =>
            {
                Err(Error::member(NAME, "encoding: expected also a digest as id, and a base"))
            }
            Delta { id: None, base: None, .. } => Err(Error::member(NAME, "has neither id nor base")),
            _ => Ok(delta),
        }
    }

    /// Returns whether the pages are stored as XOR with those of the base.
    pub fn is_xor(&self) -> bool {
        self.encoding == Some(Encoding::Xor)
    }

    /// Returns the document.
    pub fn write(&self) -> Vec<u8> {
        let mut document = Map::new();
        document.insert("schema".into(), json!(1));
        if let Some(encoding) = self.encoding {
            document.insert("encoding".into(), json!(encoding.as_str()));
        }
        if let Some(id) = &self.id {
            document.insert("id".into(), json!(id.as_str()));
        }
        if let Some(base) = &self.base {
            let mut object = Map::new();
            object.insert("id".into(), json!(base.id.as_str()));
            for (key, value) in [("container", &base.container), ("checkpointed", &base.checkpointed)] {
                if let Some(value) = value {
                    object.insert(key.into(), json!(value));
                }
            }
            document.insert("base".into(), Value::Object(object));
        }
        // Serializing a map of JSON values cannot fail.
        serde_json::to_vec_pretty(&document).unwrap_or_default()
    }
}

fn id(object: &Map<String, Value>, place: &str) -> Result<Option<ImagesId>> {
    let text = text_at(object, "id", place)?;
    text.map(|text| text.parse())
        .transpose()
        .map_err(|e: &str| Error::member(NAME, format!("{place}id: {e}")))
}

fn text_at(object: &Map<String, Value>, key: &str, place: &str) -> Result<Option<String>> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(other) => Err(Error::member(NAME, format!("{place}{key}: expected a string, found {other}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sha() -> ImagesId {
        format!("sha256:{}", "0a".repeat(32)).parse().unwrap()
    }

    #[test]
    fn a_written_document_is_read_again() {
        let base = Base { id: sha(), container: Some("c".into()), checkpointed: None };
        let round = ImagesId::random([0xf0; 16]);
        for delta in [
            Delta { encoding: None, id: None, base: Some(base.clone()) },
            Delta { encoding: None, id: Some(round.clone()), base: None },
            Delta { encoding: None, id: Some(round), base: Some(base.clone()) },
            Delta { encoding: Some(Encoding::Xor), id: Some(sha()), base: Some(base) },
        ] {
            assert_eq!(Delta::read(&delta.write()).unwrap(), delta);
        }
    }

    #[test]
    fn faulty_documents_are_errors_that_name_the_key() {
        for (text, fault) in [
            ("[]", "not a JSON object"),
            ("{}", "schema: missing"),
            (r#"{"schema":2}"#, "schema: expected 1, found 2"),
            (r#"{"schema":1}"#, "neither id nor base"),
            (r#"{"schema":1,"id":"sha256:00"}"#, "id: expected sha256:"),
            (r#"{"schema":1,"id":7}"#, "id: expected a string, found 7"),
            (r#"{"schema":1,"encoding":"vcdiff"}"#, "encoding: expected xor, found \"vcdiff\""),
            (r#"{"schema":1,"encoding":"xor"}"#, "expected also a digest as id, and a base"),
            (r#"{"schema":1,"base":{}}"#, "base.id: missing"),
            (r#"{"schema":1,"base":"x"}"#, "base: expected an object"),
            (r#"{"schema":1,"schema":1}"#, "schema"),
        ] {
            let e = Delta::read(text.as_bytes()).unwrap_err().to_string();
            assert!(e.contains(fault), "{text}: {e}");
        }
        for id in ["", "sha256", "md5:00", "random:0", &format!("random:{}", "G".repeat(32))] {
            assert!(id.parse::<ImagesId>().is_err(), "{id}");
        }
    }
}
