//! Opens the tar of a diff or a volume: decompresses it, and checks its kind before anything is
//! extracted.

use std::io::{self, BufRead, BufReader, Read};

use tartree::{FileKind, Item, Limits, Reader, TarPath};

use crate::compress::{Bound, Compression, Decoder};
use crate::error::{Error, Result};
use crate::rootfs::whiteout::Whiteouts;
use crate::stream;
use crate::tar_kind::TarKind;

/// The number of bytes at the start of a tar from which its kind is detected.
const PEEKED: usize = 256 << 10;

/// An input with its first bytes in a buffer.
pub type Peeked<R> = BufReader<Eager<R>>;

/// An open tar.
pub enum TarInput<R: Read> {
    /// A tar that is not compressed.
    Plain(Peeked<R>),
    /// A compressed tar, which is decompressed while it is read.
    Compressed(Box<Peeked<Decoder<Peeked<R>>>>),
}

impl<R: Read> TarInput<R> {
    /// Detects the compression of `input` by its first bytes. `bound` limits the decompressed size.
    /// `is_file` saves one read(2) on a regular file.
    ///
    /// # Errors
    /// Returns an error if the input cannot be read.
    pub fn open(input: R, is_file: bool, bound: Bound) -> io::Result<TarInput<R>> {
        let mut input = BufReader::with_capacity(PEEKED, Eager::new(input, !is_file));
        if Compression::detect(input.fill_buf()?) == Compression::None {
            return Ok(TarInput::Plain(input));
        }
        let decoder = Decoder::bounded(input, bound)?;
        Ok(TarInput::Compressed(Box::new(BufReader::with_capacity(PEEKED, Eager::new(decoder, true)))))
    }

    /// Returns the compression of the input.
    pub fn compression(&mut self) -> Compression {
        match self {
            TarInput::Plain(_) => Compression::None,
            TarInput::Compressed(input) => input.get_mut().get_mut().compression(),
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

    /// Returns how to interpret files `.wh.NAME` in a diff. Removal headers occur only in podman's
    /// diffs, which have no whiteouts. containerd stores a compressed OCI layer; podman and CRI-O
    /// never compress their diffs.
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
        match self {
            TarInput::Plain(input) => input.read(buf),
            TarInput::Compressed(input) => input.read(buf),
        }
    }
}

impl<R: Read> BufRead for TarInput<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match self {
            TarInput::Plain(input) => input.fill_buf(),
            TarInput::Compressed(input) => input.fill_buf(),
        }
    }

    fn consume(&mut self, bytes: usize) {
        match self {
            TarInput::Plain(input) => input.consume(bytes),
            TarInput::Compressed(input) => input.consume(bytes),
        }
    }
}

/// A reader whose first read fills the complete buffer, although a pipe returns fewer bytes per
/// read. The buffer then holds the first [`PEEKED`] bytes.
pub struct Eager<R> {
    input: R,
    /// Whether the next read fills the buffer.
    fill: bool,
    /// The error that ended the first read early.
    failed: Option<io::Error>,
}

impl<R> Eager<R> {
    /// Creates a reader of `input`. If `fill` is not set, the first read is passed on unchanged: a
    /// regular file fills the buffer anyway.
    pub fn new(input: R, fill: bool) -> Eager<R> {
        Eager { input, fill, failed: None }
    }

    /// Returns the inner reader.
    pub fn get_mut(&mut self) -> &mut R {
        &mut self.input
    }
}

impl<R: Read> Read for Eager<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if let Some(e) = self.failed.take() {
            return Err(e);
        }
        if !std::mem::take(&mut self.fill) {
            return self.input.read(buf);
        }
        let mut got = 0;
        while got < buf.len() {
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
