//! Reads member streams.

use std::io::Read;

use tartree::{Entry, Item, Kind, Limits, Reader};

use super::failure;
use crate::error::{Error, Result};
use crate::member::{END_RECORD, FAILURE_RECORD, Member};

/// The largest `.end` record in bytes. A valid record is one short line.
const END_BYTES: u64 = 4096;

/// The content of `.end`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
pub struct End {
    /// The tool that wrote the stream.
    pub writer: String,
    /// The number of bytes of the stream before `.end`.
    pub bytes: u64,
    /// The number of files that changed while they were read.
    pub changed: u64,
}

/// How a stream must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The stream must end with `.end`, which all tools write. A missing or wrong `.end` is an
    /// error.
    Proved,
    /// The stream may end like any tar, for a hand-made tar of members. Only the end-of-archive
    /// blocks show that such a tar is complete.
    Raw,
}

/// Returns the failure that a producer recorded within the first bytes of a member stream.
#[cfg(feature = "compress")]
pub(crate) fn failure_in(first: &[u8]) -> Option<Error> {
    let mut reader = StreamReader::new(first, Ending::Proved);
    loop {
        match reader.next() {
            Ok(Some(_)) => {}
            Err(e @ Error::Producer { .. }) => return Some(e),
            // The bytes may end within a member.
            Ok(None) | Err(_) => return None,
        }
    }
}

/// Reads concatenated member streams.
pub struct StreamReader<R> {
    reader: Reader<R>,
    ending: Ending,
    /// The start of the current stream; `None` between two streams.
    start: Option<u64>,
    ends: Vec<End>,
    streams: u64,
}

impl<R: Read> StreamReader<R> {
    /// Reads from `input`, which should be buffered.
    pub fn new(input: R, ending: Ending) -> StreamReader<R> {
        StreamReader {
            reader: Reader::new(input, Limits::default()),
            ending,
            start: None,
            ends: Vec::new(),
            streams: 0,
        }
    }

    /// Sets the limits for all streams together.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> StreamReader<R> {
        self.reader.set_limits(limits);
        self
    }

    /// Returns the next member and its entry. [`content`](StreamReader::content) then reads its
    /// bytes.
    ///
    /// # Errors
    /// Returns an error if a stream is truncated, does not end in a valid `.end`, or holds a file
    /// that is not a regular file. Returns [`Error::Producer`] if a producer recorded that it
    /// failed.
    #[expect(clippy::should_implement_trait, reason = "content borrows the reader between two calls")]
    pub fn next(&mut self) -> Result<Option<(Member, Entry)>> {
        loop {
            if self.start.is_none() {
                self.start = self.reader.next_archive()?;
                if self.start.is_none() {
                    return Ok(None);
                }
                self.streams += 1;
            }
            let Some(item) = self.reader.next()? else {
                if self.ending == Ending::Proved {
                    return Err(Error::stream(
                        "it ends without .end: the program that wrote it did not finish",
                    ));
                }
                self.start = None;
                continue;
            };
            let Item::Entry(entry) = item else {
                return Err(Error::stream("a removal header between members"));
            };
            if entry.path.as_bytes() == FAILURE_RECORD {
                return Err(failure::error(&entry, self.reader.content()));
            }
            if entry.path.as_bytes() == END_RECORD {
                if self.ending == Ending::Proved {
                    self.check_end(&entry)?;
                }
                if self.reader.next()?.is_some() {
                    return Err(Error::stream("members after .end"));
                }
                self.start = None;
                continue;
            }
            return self.member(entry).map(Some);
        }
    }

    /// Returns a reader of the member that [`next`](StreamReader::next) returned.
    pub fn content(&mut self) -> tartree::Content<'_, R> {
        self.reader.content()
    }

    /// Returns the `.end` records that were read so far.
    pub fn ends(&self) -> &[End] {
        &self.ends
    }

    /// Returns the number of streams that were read so far.
    pub fn streams(&self) -> u64 {
        self.streams
    }

    fn member(&self, entry: Entry) -> Result<(Member, Entry)> {
        let member = Member::of(&entry.path);
        match (&entry.kind, &member) {
            (_, Member::Unknown(_)) => Err(Error::unknown_member(&entry.path)),
            (Kind::File { map: None, .. }, _) => Ok((member, entry)),
            (Kind::Dir, Member::Images(_) | Member::PreImages(_) | Member::Artifacts(_)) => {
                Ok((member, entry))
            }
            _ => Err(Error::member(&entry.path, "not a regular file")),
        }
    }

    fn check_end(&mut self, entry: &Entry) -> Result<()> {
        let header = self.reader.position().saturating_sub(512);
        let before = header.saturating_sub(self.start.unwrap_or(0));
        if !matches!(entry.kind, Kind::File { size, map: None } if size <= END_BYTES) {
            return Err(Error::stream(".end is not a short file"));
        }
        let mut text = Vec::new();
        self.reader.content().read_to_end(&mut text).map_err(tartree::Error::Stream)?;
        let end: End = serde_json::from_slice(&text).map_err(|e| Error::stream(format!(".end: {e}")))?;
        if end.bytes != before {
            let what = format!(
                "{} wrote {} bytes, {before} arrived: it was truncated or mixed with another stream",
                end.writer, end.bytes
            );
            return Err(Error::stream(what));
        }
        self.ends.push(end);
        Ok(())
    }
}
