//! Opens the tar of a diff or a volume: decompresses it, and checks its kind before anything is
//! extracted.

use std::io::{self, BufRead, BufReader, Read};

use tartree::{FileKind, Item, Limits, Reader, SKIPPING_BUFFER, Skip, TarPath, read_over};

use crate::compress::{Bound, Compression, Decoder, Meter};
use crate::error::{Error, Result};
use crate::rootfs::whiteout::Whiteouts;
use crate::stream;
use crate::tar_kind::TarKind;

/// The number of bytes at the start of a tar from which its kind is detected.
const PEEKED: usize = 256 << 10;

/// A buffer that holds the first bytes of its input from the start.
type Peeked<R> = BufReader<Eager<R>>;

/// An open tar. An uncompressed tar is read through one buffer, without a decoder.
pub struct TarInput<R: Read> {
    bytes: Bytes<R>,
    compression: Compression,
}

enum Bytes<R: Read> {
    Plain(Meter<Peeked<R>>),
    Decompressed(Box<Peeked<Decoder<Peeked<R>>>>),
}

impl<R: Read> TarInput<R> {
    /// Detects the compression of `input` by its first bytes. `bound` limits the decompressed size.
    /// `is_file` saves one read(2) on a regular file.
    ///
    /// # Errors
    /// Returns an error if the input cannot be read.
    pub fn open(input: R, is_file: bool, bound: Bound) -> io::Result<TarInput<R>> {
        let at_least = if is_file { 0 } else { PEEKED };
        TarInput::with_buffer(PEEKED, [at_least, PEEKED], input, bound)
    }

    /// Opens a checkpoint archive. Waits only for the bytes that show the compression, so that an
    /// archive in a pipe is read while it is written.
    #[cfg(feature = "archive")]
    pub(crate) fn archive(input: R, bound: Bound) -> io::Result<TarInput<R>> {
        TarInput::with_buffer(PEEKED, [Compression::MAGIC, 0], input, bound)
    }

    /// Opens a tar for a reader that skips content. The buffer is small, and too small for
    /// [`expect`](TarInput::expect).
    ///
    /// # Errors
    /// Returns an error if the input cannot be read.
    pub fn skipping(input: R, bound: Bound) -> io::Result<TarInput<R>> {
        TarInput::with_buffer(SKIPPING_BUFFER, [Compression::MAGIC, 0], input, bound)
    }

    /// Opens `input` with buffers of `capacity` bytes. `at_least` has the numbers of bytes that the
    /// first read waits for: of `input`, and of its decompressed content.
    fn with_buffer(capacity: usize, at_least: [usize; 2], input: R, bound: Bound) -> io::Result<TarInput<R>> {
        let mut input = BufReader::with_capacity(capacity, Eager::new(input, at_least[0]));
        let compression = Compression::detect(input.fill_buf()?);
        let bytes = if compression == Compression::None {
            Bytes::Plain(bound.meter(input))
        } else {
            let decoder = Eager::new(Decoder::bounded(input, bound)?, at_least[1]);
            Bytes::Decompressed(Box::new(BufReader::with_capacity(capacity, decoder)))
        };
        Ok(TarInput { bytes, compression })
    }

    /// Returns the compression of the input.
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// Returns whether the input has no bytes at all.
    ///
    /// # Errors
    /// Returns an error if the input cannot be read.
    #[cfg(feature = "archive")]
    pub(crate) fn is_empty(&mut self) -> io::Result<bool> {
        match &mut self.bytes {
            Bytes::Plain(input) => Ok(input.fill_buf()?.is_empty()),
            Bytes::Decompressed(_) => Ok(false),
        }
    }

    /// Calls `move_on` with the input below the buffer; `move_on` moves the next bytes elsewhere
    /// and returns their number. Returns `None` while bytes are in the buffer, and 0 without a call
    /// if the tar is compressed.
    pub fn past_buffer(&mut self, move_on: impl FnOnce(&mut R) -> Option<u64>) -> Option<u64> {
        match &mut self.bytes {
            Bytes::Plain(input) => input.past(|input| match input.buffer() {
                [] => input.get_mut().past(move_on),
                _ => None,
            }),
            Bytes::Decompressed(_) => Some(0),
        }
    }

    /// Checks the first bytes: the input must be a tar and, unless `any` is set, not a tar of
    /// another kind.
    ///
    /// # Errors
    /// Returns [`Error::Tar`], [`Error::Twice`] or [`Error::Kind`] if the check fails,
    /// [`Error::Producer`] if the input is a member stream with a failure record, and an error if
    /// the input cannot be read.
    pub fn expect(&mut self, expected: &'static str, any: bool) -> Result<()> {
        let outer = self.compression();
        let first = self.fill_buf().map_err(tartree::Error::Stream)?;
        match FileKind::in_bytes(first) {
            Some(found) if found.is_compressed() && outer != Compression::None => {
                return Err(Error::Twice { outer: outer.name(), found });
            }
            Some(found) if !found.is_tar() => return Err(tartree::Error::NotATar { found }.into()),
            _ => {}
        }
        match TarKind::of(first) {
            Some(found) if !any => {
                let failure = stream::failure_in(first).filter(|_| found == TarKind::MemberStream);
                Err(failure.unwrap_or(Error::Kind { found, expected }))
            }
            _ => Ok(()),
        }
    }
}

impl<R: Read> TarInput<R> {
    /// Checks the first bytes as [`expect`](TarInput::expect) does; in addition, the tar must not
    /// delete files.
    ///
    /// # Errors
    /// Returns the errors of [`expect`](TarInput::expect), and [`tartree::Error::Removal`] for a
    /// removal header.
    pub fn expect_volume(&mut self, expected: &'static str, any: bool) -> Result<()> {
        self.expect(expected, any)?;
        match self.removal().map_err(tartree::Error::Stream)? {
            Some(path) => Err(tartree::Error::Removal { object: path.to_string() }.into()),
            None => Ok(()),
        }
    }

    /// Returns the interpretation of `.wh.NAME` files in a diff. A diff with removal headers is
    /// podman's and has no whiteouts. A compressed diff is containerd's and is an OCI layer,
    /// because podman and CRI-O never compress their diffs.
    ///
    /// # Errors
    /// Returns an error if the input cannot be read.
    pub fn whiteouts(&mut self) -> io::Result<Whiteouts> {
        Ok(match self.removal()? {
            Some(_) => Whiteouts::Literal,
            None if self.compression() != Compression::None => Whiteouts::Named,
            None => Whiteouts::Guessed,
        })
    }

    /// Returns the path of the first removal header in the first bytes.
    fn removal(&mut self) -> io::Result<Option<TarPath>> {
        let mut reader = Reader::new(self.fill_buf()?, Limits::default());
        // Errors in the tar are reported when it is extracted.
        while let Ok(Some(item)) = reader.next() {
            if let Item::Removal(path) = item {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }
}

impl<R: Read> Read for TarInput<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match &mut self.bytes {
            Bytes::Plain(input) => input.read(buf),
            Bytes::Decompressed(input) => input.read(buf),
        }
    }
}

impl<R: Read> BufRead for TarInput<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match &mut self.bytes {
            Bytes::Plain(input) => input.fill_buf(),
            Bytes::Decompressed(input) => input.fill_buf(),
        }
    }

    fn consume(&mut self, bytes: usize) {
        match &mut self.bytes {
            Bytes::Plain(input) => input.consume(bytes),
            Bytes::Decompressed(input) => input.consume(bytes),
        }
    }
}

/// Skips bytes. To skip compressed data, the decoder must decompress it.
impl<R: Skip> Skip for TarInput<R> {
    fn skip(&mut self, n: u64) -> io::Result<u64> {
        match &mut self.bytes {
            Bytes::Plain(input) => input.skip(n),
            Bytes::Decompressed(input) => read_over(input, n),
        }
    }
}

/// A reader whose first read waits for a number of bytes, although a pipe returns fewer bytes per
/// read. The buffer then holds them.
struct Eager<R> {
    input: R,
    /// The number of bytes for which the next read waits.
    at_least: usize,
    /// The error that ended the first read early.
    failed: Option<io::Error>,
}

impl<R> Eager<R> {
    /// Creates a reader of `input`. If `at_least` is 0, the first read is passed on unchanged: a
    /// regular file fills the buffer anyway.
    fn new(input: R, at_least: usize) -> Eager<R> {
        Eager { input, at_least, failed: None }
    }

    /// Calls `move_on` with the inner reader, as [`TarInput::past_buffer`] does. Returns 0 if the
    /// next read returns an error.
    fn past(&mut self, move_on: impl FnOnce(&mut R) -> Option<u64>) -> Option<u64> {
        if self.failed.is_some() { Some(0) } else { move_on(&mut self.input) }
    }
}

impl<R: Read> Read for Eager<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if let Some(e) = self.failed.take() {
            return Err(e);
        }
        let at_least = std::mem::take(&mut self.at_least).min(buf.len());
        if at_least == 0 {
            return self.input.read(buf);
        }
        let mut got = 0;
        while got < at_least {
            match self.input.read(&mut buf[got..]) {
                Ok(0) => break,
                Ok(n) => got += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if got > 0 => {
                    self.failed = Some(e);
                    break;
                }
                Err(e) => return Err(e),
            }
        }
        Ok(got)
    }
}

impl<R: Skip> Skip for Eager<R> {
    fn skip(&mut self, n: u64) -> io::Result<u64> {
        match self.failed.take() {
            Some(e) => Err(e),
            None => self.input.skip(n),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns each part by one read, and then the error.
    struct Parts(Vec<&'static [u8]>, Option<io::ErrorKind>);

    impl Read for Parts {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                return self.1.map_or(Ok(0), |kind| Err(kind.into()));
            }
            (&mut self.0.remove(0)).read(buf)
        }
    }

    #[test]
    fn the_first_read_waits_for_enough_bytes() {
        let parts = || Parts(vec![b"ab", b"c", b"de", b"f"], None);
        let mut buf = [0; 9];
        for (at_least, first) in [(0, 2), (1, 2), (2, 2), (3, 3), (4, 5), (6, 6), (7, 6), (99, 6)] {
            let mut input = Eager::new(parts(), at_least);
            assert_eq!(input.read(&mut buf).unwrap(), first, "{at_least}");
            assert_eq!(buf[..first], b"abcdef"[..first]);
        }
    }

    #[test]
    fn an_error_after_some_bytes_is_returned_by_the_next_read() {
        let mut buf = [0; 9];
        let mut input = Eager::new(Parts(vec![b"ab"], Some(io::ErrorKind::BrokenPipe)), 4);
        assert_eq!(input.past(|_| Some(7)), Some(7));
        assert_eq!(input.read(&mut buf).unwrap(), 2);
        assert_eq!(input.past(|_| Some(7)), Some(0));
        assert_eq!(input.read(&mut buf).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(input.past(|_| None), None);
        let mut input = Eager::new(Parts(vec![], Some(io::ErrorKind::BrokenPipe)), 4);
        assert!(input.read(&mut buf).is_err());
    }
}
