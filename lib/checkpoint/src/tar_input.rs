//! The tar of a diff or a volume as it comes in: plain or compressed, and of the right kind before anything is written.

use std::io::{self, BufRead, BufReader, Read};

use tartree::{FileKind, Item, Limits, Reader, TarPath};

use crate::compress::{Bound, Compression, Decoder};
use crate::error::{Error, Result};
use crate::stream;
use crate::tar_kind::{Eager, PEEKED, TarKind};
use crate::whiteout::Whiteouts;

/// An input whose first bytes are in its buffer.
pub type Peeked<R> = BufReader<Eager<R>>;

/// An open tar.
pub enum TarInput<R: Read> {
    /// It is not compressed.
    Plain(Peeked<R>),
    /// It is decompressed.
    Compressed(Box<Peeked<Decoder<Peeked<R>>>>),
}

impl<R: Read> TarInput<R> {
    /// Detects the compression of `input` by its first bytes; what it becomes when decompressed is bounded. `is_file` spares a
    /// regular file one read(2).
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

    /// How it is compressed.
    pub fn compression(&mut self) -> Compression {
        match self {
            TarInput::Plain(_) => Compression::None,
            TarInput::Compressed(input) => input.get_mut().get_mut().compression(),
        }
    }

    /// Fails when the first bytes show that this is no tar, and unless `any` when they show another kind of tar.
    ///
    /// # Errors
    /// Returns [`Error::Tar`], [`Error::Twice`] or [`Error::Kind`], [`Error::Producer`] if a member stream begins with the
    /// record of a failure, or an error if the input cannot be read.
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
    /// Fails when the first bytes show that this is no tar or deletes, and unless `any` when they show another kind of tar than
    /// that of a volume.
    ///
    /// # Errors
    /// Returns what [`expect`](TarInput::expect) does, and [`tartree::Error::Removal`] for a deletion.
    pub fn expect_volume(&mut self, expected: &'static str, any: bool) -> Result<()> {
        self.expect(expected, any)?;
        match self.removal().map_err(tartree::Error::Stream)? {
            Some(path) => Err(tartree::Error::Removal { object: path.to_string() }.into()),
            None => Ok(()),
        }
    }

    /// Returns how names `.wh.NAME` of a diff are understood, by its first bytes: removal headers are podman's form. containerd
    /// compresses its layer, which podman and CRI-O never do with their diffs.
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

    /// Returns the first path that the tar deletes by a header of its own, as far as the first bytes show.
    fn removal(&mut self) -> io::Result<Option<TarPath>> {
        let mut reader = Reader::new(self.fill_buf()?, Limits::default());
        // What is wrong with the tar is reported when it is read.
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
