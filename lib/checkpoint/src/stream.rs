//! Member streams: the record format of the pipe between the tools.
//!
//! A member stream is a plain tar whose entries are members of a checkpoint archive. Any number may
//! follow one another, as the outputs of `{ a; b; c; }` do. A producer that dies must not go unnoticed,
//! and a pipe tells nobody its exit status: so the last member of every stream is `.end`, one JSON line
//!
//! ```json
//! {"writer":"rootfs-diff","bytes":10240,"changed":0}
//! ```
//!
//! with the number of bytes of this stream before it, and how many objects changed while they were read.
//! Of 397 possible cuts of a model stream two go unnoticed with it, both behind the last byte of data.
//!
//! A producer that fails writes the record `.failed` instead ([`failed_stream`], [`StreamWriter::produce`]).

mod failure;

use std::fmt;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use tartree::{
    Destination, END_OF_ARCHIVE, Entry, Files, Item, Kind, Limits, Notices, Plan, Reader, RootName, Sink,
    TarPath, Timestamp,
};

use crate::error::{Error, Result};
use crate::member::Member;

pub(crate) use failure::FAILED;
pub use failure::failed_stream;

const END: &[u8] = b".end";
/// Bytes of a member that a producer fills up with zeros after a failure.
const FILLED_UP: u64 = 64 << 20;
/// A record of `.end` is one short line.
const END_BYTES: u64 = 4096;

/// Writes a member stream.
pub struct StreamWriter<W: Destination> {
    sink: Sink<W>,
    writer: &'static str,
    /// The member that is being prepared or written.
    member: Option<Member>,
    /// Where the content ends that the last header announced, until it is complete: what follows would be read as that content.
    announced: Option<u64>,
}

impl<W: Destination> StreamWriter<W> {
    /// A stream on `out`, written by the tool `writer`.
    pub fn new(out: W, writer: &'static str) -> StreamWriter<W> {
        StreamWriter::on(Sink::new(out), writer)
    }

    /// A stream into `sink`, written by the tool `writer`.
    pub fn on(sink: Sink<W>, writer: &'static str) -> StreamWriter<W> {
        failure::begun();
        StreamWriter { sink, writer, member: None, announced: None }
    }

    /// Names the member that is prepared next, which is then named if that fails.
    pub fn prepare(&mut self, member: &Member) {
        self.member = Some(member.clone());
    }

    /// Writes the complete stream: its members by `write`, which returns how many objects changed, then `.end`. If `write` fails,
    /// the stream ends in a failure record.
    ///
    /// # Errors
    /// Returns the error of `write`, or an error if writing to the output fails.
    pub fn produce<E: From<Error> + fmt::Display>(
        mut self,
        write: impl FnOnce(&mut StreamWriter<W>) -> std::result::Result<u64, E>,
    ) -> std::result::Result<(W, u64), E> {
        match catch_unwind(AssertUnwindSafe(|| write(&mut self))) {
            Ok(Ok(changed)) => Ok((self.finish(changed)?, changed)),
            Ok(Err(e)) => {
                self.fail(&format!("{e:#}"));
                Err(e)
            }
            Err(panic) => {
                self.fail("internal error");
                resume_unwind(panic)
            }
        }
    }

    /// Ends the stream in a failure record. Inside a member, whose size was announced, no record can be told from content, so
    /// that the member is filled up with zeros first. If that would take long, the stream is truncated, which readers detect.
    fn fail(mut self, reason: &str) {
        let rest = self.announced.map_or(0, |end| end.saturating_sub(self.sink.position()));
        let written = if rest > FILLED_UP {
            self.sink.flush()
        } else {
            let record = failure::record(self.writer, self.member.as_ref(), reason);
            self.sink
                .zeros(rest)
                .and_then(|()| self.sink.put(&record))
                .and_then(|()| self.sink.put(&END_OF_ARCHIVE))
                .and_then(|()| self.sink.flush())
        };
        // If the output takes no more, the stream is truncated too.
        let _ = written;
    }

    /// Writes a member whose content is `content`.
    ///
    /// # Errors
    /// When the output does not take it.
    pub fn small(&mut self, member: &Member, content: &[u8], mtime: Timestamp) -> Result<()> {
        self.prepare(member);
        self.header(member.path(), member.mode(), content.len() as u64, mtime)?;
        self.sink.put(content)?;
        self.end_of_member(content.len() as u64)
    }

    /// Writes a member whose content is the planned tar of `source`. Objects that changed since the plan was made are noticed.
    ///
    /// # Errors
    /// When the output does not take it or an object cannot be read.
    pub fn tar(
        &mut self,
        member: &Member,
        plan: &Plan,
        source: &mut dyn Files,
        mtime: Timestamp,
        notices: &mut dyn Notices,
    ) -> Result<()> {
        self.prepare(member);
        self.header(member.path(), member.mode(), plan.tar_size(), mtime)?;
        plan.write(source, &mut self.sink, notices)
            .map_err(|source| Error::Nested { member: member.to_string(), source })?;
        self.end_of_member(plan.tar_size())
    }

    /// Writes `.end` and the end-of-archive blocks. Without it a reader refuses the stream.
    ///
    /// # Errors
    /// When the output does not take it.
    pub fn finish(mut self, changed: u64) -> Result<W> {
        let bytes = self.sink.position();
        let record = format!("{{\"writer\":\"{}\",\"bytes\":{bytes},\"changed\":{changed}}}\n", self.writer);
        let end = TarPath::root().child(END);
        self.header(end, 0o600, record.len() as u64, Timestamp::default())?;
        self.sink.put(record.as_bytes())?;
        self.sink.zeros(tartree::padding(record.len() as u64))?;
        self.sink.put(&END_OF_ARCHIVE)?;
        Ok(self.sink.into_inner()?)
    }

    fn header(&mut self, path: TarPath, mode: u32, size: u64, mtime: Timestamp) -> Result<()> {
        let mut header = Vec::new();
        // Whole seconds: no reader needs more of a member, and no PAX header is needed for them.
        let mtime = Timestamp { nsec: 0, ..mtime };
        tartree::encode(&mut header, &Entry::file(path, size, mode, mtime), RootName::Dot);
        let start = self.sink.position() + header.len() as u64;
        self.announced = Some(start + size + tartree::padding(size));
        Ok(self.sink.put(&header)?)
    }

    fn end_of_member(&mut self, size: u64) -> Result<()> {
        self.sink.zeros(tartree::padding(size))?;
        self.announced = None;
        Ok(())
    }
}

/// What the `.end` of a stream says.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
pub struct End {
    /// The tool that wrote the stream.
    pub writer: String,
    /// Bytes of the stream before `.end`.
    pub bytes: u64,
    /// Objects that changed while they were read.
    pub changed: u64,
}

/// Whether a stream must end in `.end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Streams of the tools: a missing or wrong `.end` is an error.
    Proved,
    /// A hand-made tar of members, whose completeness only its end-of-archive blocks show.
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
            // The bytes may end in the middle of a member.
            Ok(None) | Err(_) => return None,
        }
    }
}

/// Reads any number of member streams, one after another.
pub struct StreamReader<R> {
    reader: Reader<R>,
    ending: Ending,
    /// Where the current stream starts; `None` between two.
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

    /// The same with other limits, over all streams together.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> StreamReader<R> {
        self.reader.set_limits(limits);
        self
    }

    /// The next member's entry; its bytes are then [`content`](StreamReader::content).
    ///
    /// # Errors
    /// When a stream is cut, does not end in a right `.end`, or holds something that is not a regular file;
    /// [`Error::Producer`] when a producer recorded that it failed.
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
            if entry.path.as_bytes() == failure::FAILED {
                return Err(failure::error(&entry, self.reader.content()));
            }
            if entry.path.as_bytes() == END {
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

    /// The bytes of the member that [`next`](StreamReader::next) gave.
    pub fn content(&mut self) -> tartree::Content<'_, R> {
        self.reader.content()
    }

    /// What the streams read so far say of themselves.
    pub fn ends(&self) -> &[End] {
        &self.ends
    }

    /// How many streams were begun.
    pub fn streams(&self) -> u64 {
        self.streams
    }

    fn member(&self, entry: Entry) -> Result<(Member, Entry)> {
        let member = Member::of(&entry.path);
        match (&entry.kind, &member) {
            (_, Member::Unknown(_)) => {
                Err(Error::member(&entry.path, "not a member of a checkpoint archive"))
            }
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
                "{} wrote {} bytes, {before} arrived: it was cut or mixed with another",
                end.writer, end.bytes
            );
            return Err(Error::stream(what));
        }
        self.ends.push(end);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tar_kind::TarKind;

    fn stream(members: &[(Member, &[u8])]) -> Vec<u8> {
        let mut writer = StreamWriter::new(Vec::new(), "test");
        for (member, content) in members {
            writer.small(member, content, Timestamp::default()).unwrap();
        }
        writer.finish(0).unwrap()
    }

    fn read(bytes: &[u8]) -> Result<Vec<(Member, Vec<u8>)>> {
        let mut reader = StreamReader::new(bytes, Ending::Proved);
        let mut all = Vec::new();
        while let Some((member, _)) = reader.next()? {
            let mut content = Vec::new();
            reader.content().read_to_end(&mut content).map_err(tartree::Error::Stream)?;
            all.push((member, content));
        }
        Ok(all)
    }

    #[test]
    fn streams_one_after_another_are_one() {
        let a = stream(&[(Member::RootfsDiff, b"diff"), (Member::DeletedFiles, b"[]")]);
        let b = stream(&[(Member::NetworkStatus, b"null")]);
        let all = [a, vec![0; 10240], b].concat();
        let members = read(&all).unwrap();
        assert_eq!(members.len(), 3);
        assert_eq!(members[2], (Member::NetworkStatus, b"null".to_vec()));
    }

    #[test]
    fn every_cut_is_noticed() {
        let a = stream(&[(Member::RootfsDiff, &[b'x'; 1500]), (Member::DeletedFiles, b"[]")]);
        let b = stream(&[(Member::NetworkStatus, b"null")]);
        let end_of_a = a.len() - END_OF_ARCHIVE.len();
        for cut in (1..a.len()).step_by(7).chain((512..a.len()).step_by(512)) {
            let all = [&a[..cut], &b].concat();
            assert!(read(&all).is_err(), "cut at {cut} of {}, another stream behind it", a.len());
            // Cut behind the first block of zeros, only zeros are missing.
            let harmless = cut >= end_of_a + 512;
            assert_eq!(read(&a[..cut]).is_ok(), harmless, "cut at {cut} of {}, alone", a.len());
        }
    }

    #[derive(Clone, Default)]
    struct Shared(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

    impl std::io::Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// Returns what a stream holds whose producer writes with `write` and then fails.
    fn failing(write: impl FnOnce(&mut StreamWriter<Shared>)) -> Vec<u8> {
        let shared = Shared::default();
        let produced = StreamWriter::new(shared.clone(), "vol-archive").produce(|stream| -> Result<u64> {
            write(stream);
            Err(Error::stream("no\nway"))
        });
        assert!(produced.is_err());
        std::mem::take(&mut *shared.0.lock().unwrap())
    }

    #[test]
    fn a_failure_between_members_is_recorded() {
        let bytes = failing(|stream| {
            stream.small(&Member::DevShm, b"content", Timestamp::default()).unwrap();
            stream.prepare(&Member::NetworkStatus);
        });
        let all = [bytes, stream(&[(Member::RootfsDiff, b"diff")])].concat();
        let e = read(&all).unwrap_err();
        assert!(matches!(&e, Error::Producer { member: Some(member), .. } if member == "network.status"));
        assert_eq!(e.to_string(), "vol-archive failed: network.status: member stream: no\nway");
        assert_eq!(TarKind::of(&failing(|_| ())), Some(TarKind::MemberStream));
    }

    #[test]
    fn a_failure_inside_a_member_is_recorded_behind_it_or_truncates() {
        let failing_in = |size| {
            failing(|stream| {
                stream.header(Member::DevShm.path(), 0o600, size, Timestamp::default()).unwrap();
                stream.sink.put(&[1; 5000]).unwrap();
            })
        };
        for size in [5000, 5001, 5120, 100_000] {
            assert!(matches!(read(&failing_in(size)), Err(Error::Producer { .. })), "{size}");
        }
        let bytes = failing_in(FILLED_UP * 2);
        assert_eq!(bytes.len(), 512 + 5000);
        assert!(!matches!(read(&bytes), Ok(_) | Err(Error::Producer { .. })));
    }

    #[test]
    fn texts_of_a_failure_are_bounded() {
        let long = "ü".repeat(100_000);
        let mut bytes = failure::record("x", Some(&Member::DevShm), &long);
        assert!(bytes.len() < 4096);
        bytes.extend_from_slice(&END_OF_ARCHIVE);
        assert!(read(&bytes).unwrap_err().to_string().starts_with("x failed: devshm-checkpoint.tar: üü"));
    }

    #[test]
    fn what_is_no_member_is_refused() {
        let other = Member::Unknown(TarPath::root().child(b"etc"));
        assert!(read(&stream(&[(other, b"")])).unwrap_err().to_string().starts_with("etc: "));
    }

    #[test]
    fn a_plain_tar_needs_to_be_asked_for() {
        let mut plain = stream(&[(Member::NetworkStatus, b"null")]);
        let end = plain.len() - END_OF_ARCHIVE.len() - 1024;
        plain.drain(end..end + 1024);
        assert!(read(&plain).is_err());
        let mut reader = StreamReader::new(&plain[..], Ending::Raw);
        assert!(reader.next().unwrap().is_some());
        assert!(reader.next().unwrap().is_none());
    }
}
