//! Reads the content of an entry, the bytes between its header and the next header.

use std::io::{self, BufReader, Read};
use std::os::fd::{AsFd, BorrowedFd};

use super::items::Reader;
use crate::create::sink::{Destination, Sink};
use crate::error::Result;
use crate::format::skip::Skip;

/// The content of the current entry.
pub struct Content<'a, R> {
    reader: &'a mut Reader<R>,
}

impl<R: Read> Reader<R> {
    /// Returns the content of the entry that [`next`](Reader::next) returned. For a sparse file,
    /// this is only the data between the holes.
    pub fn content(&mut self) -> Content<'_, R> {
        Content { reader: self }
    }
}

impl<R> Content<'_, R> {
    /// Returns the number of bytes that have not been read.
    pub fn remaining(&self) -> u64 {
        self.reader.remaining
    }

    /// Moves at most `n` bytes inside the kernel from the input to `output`, if the input supports
    /// it; see [`Direct`](super::Direct).
    pub fn move_to(&mut self, output: BorrowedFd<'_>, n: u64) -> Option<u64> {
        let reader = &mut *self.reader;
        let moved = (reader.direct)(&mut reader.input, output, n.min(reader.remaining))?;
        reader.remaining -= moved;
        reader.position += moved;
        Some(moved)
    }
}

impl<R: Read + AsFd> Content<'_, BufReader<R>> {
    /// Writes the rest of the content to `sink`, inside the kernel where possible, and returns its
    /// length. The inner result holds read errors, so that the caller can name the input.
    ///
    /// # Errors
    /// Returns an error if writing to the output fails.
    pub fn put_into<W: Destination>(&mut self, sink: &mut Sink<W>) -> Result<io::Result<u64>> {
        let buffered = self.remaining().min(self.reader.input.buffer().len() as u64);
        let mut put = match sink.fill(self, buffered)? {
            Ok(filled) => filled,
            failed => return Ok(failed),
        };
        // The buffer is empty now, so the position of the input is the next byte of the content.
        if put == buffered && self.reader.input.buffer().is_empty() {
            let moved = sink.moved(self.reader.input.get_ref().as_fd(), self.remaining())?;
            self.reader.remaining -= moved;
            self.reader.position += moved;
            put += moved;
        }
        let rest = self.remaining();
        Ok(sink.fill(self, rest)?.map(|filled| put + filled))
    }
}

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let reader = &mut *self.reader;
        let want = usize::try_from(reader.remaining).unwrap_or(usize::MAX).min(buf.len());
        if want == 0 {
            return Ok(0);
        }
        let got = reader.input.read(&mut buf[..want])?;
        if got == 0 {
            let text = format!("{}: the tar stream ends too early", reader.current);
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
        }
        reader.remaining -= got as u64;
        reader.position += got as u64;
        Ok(got)
    }
}

impl<R: Read> Skip for Content<'_, R> {
    fn skip(&mut self, n: u64) -> io::Result<u64> {
        let reader = &mut *self.reader;
        let skipped = (reader.skipper)(&mut reader.input, n.min(reader.remaining))?;
        reader.remaining -= skipped;
        reader.position += skipped;
        Ok(skipped)
    }
}
