//! The failure record, which a producer writes instead of `.end` when it fails.
//!
//! The last record of such a member stream is `.failed`, which contains one line of JSON:
//!
//! ```json
//! {"writer":"vol-archive","member":"volumes/data.tar","error":"/srv/db: Permission denied"}
//! ```
//!
//! A reader that does not know the record (version 0.1.0) rejects it as a member with an unknown
//! name.

use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tartree::{END_OF_ARCHIVE, Entry, Kind, RootName, TarPath, Timestamp};

use crate::error::{Error, Result};
use crate::member::{FAILURE_RECORD, Member};

/// The largest record that is read, in bytes. JSON may need six bytes for each byte of a string.
const RECORD_BYTES: u64 = 16 << 10;
/// The longest name, in bytes, that is written and shown.
const NAME_BYTES: usize = 300;
/// The longest reason, in bytes, that is written and shown.
const REASON_BYTES: usize = 1024;

/// Whether this process has started a member stream.
static STARTED: AtomicBool = AtomicBool::new(false);

/// Records that this process has started a member stream.
pub(super) fn set_started() {
    STARTED.store(true, Relaxed);
}

/// The content of a failure record.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
struct Failure {
    writer: String,
    member: Option<String>,
    error: String,
}

/// Returns a complete member stream that consists of one failure record, for a producer that fails
/// before its first byte.
///
/// Returns `None` if this process has started a stream: if that stream is truncated, a reader would
/// take the record as its content.
pub fn failed_stream(writer: &str, member: Option<&Member>, reason: &str) -> Option<Vec<u8>> {
    if STARTED.load(Relaxed) {
        return None;
    }
    let mut stream = record(writer, member, reason);
    stream.extend_from_slice(&END_OF_ARCHIVE);
    Some(stream)
}

/// Returns the record as a member: header, content and padding.
pub(super) fn record(writer: &str, member: Option<&Member>, reason: &str) -> Vec<u8> {
    let failure = Failure {
        writer: writer.into(),
        member: member.map(ToString::to_string),
        error: shortened(reason, REASON_BYTES),
    };
    // Serializing strings cannot fail.
    let mut text = serde_json::to_vec(&failure).unwrap_or_default();
    text.push(b'\n');
    let size = text.len() as u64;
    let mut record = Vec::new();
    let entry = Entry::file(TarPath::root().child(FAILURE_RECORD), size, 0o600, Timestamp::default());
    tartree::encode(&mut record, &entry, RootName::Dot);
    record.append(&mut text);
    record.resize(record.len() + usize::try_from(tartree::padding(size)).unwrap_or_default(), 0);
    record
}

/// Converts a failure record to the error that it reports. The record may come from another
/// machine, so its strings are shortened, and a record that cannot be read is a failure too.
pub(super) fn error(entry: &Entry, content: impl Read) -> Error {
    read(entry, content).unwrap_or_else(|e| e)
}

fn read(entry: &Entry, content: impl Read) -> Result<Error> {
    if !matches!(entry.kind, Kind::File { size, map: None } if size <= RECORD_BYTES) {
        return Err(Error::stream("a producer failed; its record .failed is not a short file"));
    }
    let mut text = Vec::new();
    content.take(RECORD_BYTES).read_to_end(&mut text).map_err(tartree::Error::Stream)?;
    let failure: Failure = serde_json::from_slice(&text)
        .map_err(|e| Error::stream(format!("a producer failed; its record .failed: {e}")))?;
    let or = |text: &str, instead: &str| if text.is_empty() { instead.into() } else { text.to_owned() };
    Ok(Error::Producer {
        writer: shortened(&or(&failure.writer, "a producer"), NAME_BYTES),
        member: failure.member.map(|member| shortened(&member, NAME_BYTES)),
        reason: shortened(&or(&failure.error, "no reason given"), REASON_BYTES),
    })
}

/// Returns the text, or its first `limit` bytes and an ellipsis.
fn shortened(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.into();
    }
    let mut end = limit;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}
