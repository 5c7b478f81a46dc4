//! Writes a member stream.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use tartree::{Destination, END_OF_ARCHIVE, Entry, Files, Notices, Plan, RootName, Sink, TarPath, Timestamp};

use super::failure;
use crate::error::{Error, Result};
use crate::member::{END_RECORD, Member};

/// The most zero bytes with which a producer completes a member after a failure.
const MAX_FILL: u64 = 64 << 20;

/// Writes a member stream.
pub struct StreamWriter<W: Destination> {
    sink: Sink<W>,
    writer: &'static str,
    /// The member that is prepared or written.
    member: Option<Member>,
    /// The end of the content that the last header announced, or `None` once this content is
    /// complete. Before this end, a reader takes any bytes as content.
    announced: Option<u64>,
}

impl<W: Destination> StreamWriter<W> {
    /// Starts a stream on `out`, written by the tool `writer`.
    pub fn new(out: W, writer: &'static str) -> StreamWriter<W> {
        StreamWriter::on(Sink::new(out), writer)
    }

    /// Starts a stream on `sink`, written by the tool `writer`.
    pub fn on(sink: Sink<W>, writer: &'static str) -> StreamWriter<W> {
        failure::set_started();
        StreamWriter { sink, writer, member: None, announced: None }
    }

    /// Sets the member that is prepared next. If the preparation fails, the failure record names
    /// this member.
    pub fn prepare(&mut self, member: &Member) {
        self.member = Some(member.clone());
    }

    /// Writes the complete stream: first the members, by `write`, which returns the number of
    /// changed files, then `.end`. If `write` fails, the stream ends in a failure record.
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

    /// Ends the stream in a failure record. Within a member, a reader would take the record as
    /// content, so the member is first completed with zeros. If too many zeros are missing, the
    /// stream is truncated instead, which readers detect.
    fn fail(mut self, reason: &str) {
        let rest = self.announced.map_or(0, |end| end.saturating_sub(self.sink.position()));
        let written = if rest > MAX_FILL {
            self.sink.flush()
        } else {
            let record = failure::record(self.writer, self.member.as_ref(), reason);
            self.sink
                .zeros(rest)
                .and_then(|()| self.sink.put(&record))
                .and_then(|()| self.sink.put(&END_OF_ARCHIVE))
                .and_then(|()| self.sink.flush())
        };
        // If writing fails, the stream is truncated, which readers detect too.
        let _ = written;
    }

    /// Writes a member with the content `content`.
    ///
    /// # Errors
    /// Returns an error if writing to the output fails.
    pub fn small(&mut self, member: &Member, content: &[u8], mtime: Timestamp) -> Result<()> {
        self.prepare(member);
        self.header(member.path(), member.mode(), content.len() as u64, mtime)?;
        self.sink.put(content)?;
        self.end_of_member(content.len() as u64)
    }

    /// Writes a member with the planned tar of `source` as content. Reports files that changed
    /// since the plan was made.
    ///
    /// # Errors
    /// Returns an error if writing to the output fails, or if a file cannot be read.
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

    /// Writes `.end` and the end-of-archive blocks. A reader rejects a stream without them.
    ///
    /// # Errors
    /// Returns an error if writing to the output fails.
    pub fn finish(mut self, changed: u64) -> Result<W> {
        let bytes = self.sink.position();
        let record = format!("{{\"writer\":\"{}\",\"bytes\":{bytes},\"changed\":{changed}}}\n", self.writer);
        let end = TarPath::root().child(END_RECORD);
        self.header(end, 0o600, record.len() as u64, Timestamp::default())?;
        self.sink.put(record.as_bytes())?;
        self.sink.zeros(tartree::padding(record.len() as u64))?;
        self.sink.put(&END_OF_ARCHIVE)?;
        Ok(self.sink.into_inner()?)
    }

    fn header(&mut self, path: TarPath, mode: u32, size: u64, mtime: Timestamp) -> Result<()> {
        let mut header = Vec::new();
        // With nanoseconds, each member would need a PAX header, and no reader uses nanoseconds.
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

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::stream::{Ending, StreamReader};
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
    fn concatenated_streams_are_read_as_one() {
        let a = stream(&[(Member::RootfsDiff, b"diff"), (Member::DeletedFiles, b"[]")]);
        let b = stream(&[(Member::NetworkStatus, b"null")]);
        let all = [a, vec![0; 10240], b].concat();
        let members = read(&all).unwrap();
        assert_eq!(members.len(), 3);
        assert_eq!(members[2], (Member::NetworkStatus, b"null".to_vec()));
    }

    #[test]
    fn every_truncation_is_detected() {
        let a = stream(&[(Member::RootfsDiff, &[b'x'; 1500]), (Member::DeletedFiles, b"[]")]);
        let b = stream(&[(Member::NetworkStatus, b"null")]);
        let end_of_a = a.len() - END_OF_ARCHIVE.len();
        for cut in (1..a.len()).step_by(7).chain((512..a.len()).step_by(512)) {
            let all = [&a[..cut], &b].concat();
            assert!(read(&all).is_err(), "cut at {cut} of {}, another stream after it", a.len());
            // After the first zero block, only zeros are missing.
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

    /// Returns the bytes of a stream whose producer writes with `write` and then fails.
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
    fn a_failure_within_a_member_is_recorded_after_it() {
        let failing_in = |size| {
            failing(|stream| {
                stream.header(Member::DevShm.path(), 0o600, size, Timestamp::default()).unwrap();
                stream.sink.put(&[1; 5000]).unwrap();
            })
        };
        for size in [5000, 5001, 5120, 100_000] {
            assert!(matches!(read(&failing_in(size)), Err(Error::Producer { .. })), "{size}");
        }
        let bytes = failing_in(MAX_FILL * 2);
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
    fn a_name_that_is_not_a_member_is_rejected() {
        let other = Member::Unknown(TarPath::root().child(b"etc"));
        assert!(read(&stream(&[(other, b"")])).unwrap_err().to_string().starts_with("etc: "));
    }

    #[test]
    fn a_plain_tar_is_read_only_on_request() {
        let mut plain = stream(&[(Member::NetworkStatus, b"null")]);
        let end = plain.len() - END_OF_ARCHIVE.len() - 1024;
        plain.drain(end..end + 1024);
        assert!(read(&plain).is_err());
        let mut reader = StreamReader::new(&plain[..], Ending::Raw);
        assert!(reader.next().unwrap().is_some());
        assert!(reader.next().unwrap().is_none());
    }
}
