//! The buffer in front of an output: headers and small files are gathered, so that one write carries many entries.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use crate::error::{Error, Result};
use crate::transfer::WORTH_IT;

/// What was read is then still in the processor's own cache when it is written: with a mebibyte it takes a quarter more time.
const CAPACITY: usize = 256 << 10;

/// Moves bytes of a file or pipe to an output past this program's memory, as [`transfer`](crate::transfer) does; gives how many.
pub type Mover<W> = fn(&mut W, BorrowedFd<'_>, u64) -> u64;

/// A counting, buffering writer into which files are read without a second copy.
pub struct Sink<W> {
    out: W,
    mover: Option<Mover<W>>,
    buffer: Box<[u8]>,
    used: usize,
    written: u64,
    /// Headers are made here.
    scratch: Vec<u8>,
}

impl<W: Write> Sink<W> {
    /// A sink in front of `out`.
    pub fn new(out: W) -> Sink<W> {
        Sink {
            out,
            mover: None,
            buffer: vec![0; CAPACITY].into_boxed_slice(),
            used: 0,
            written: 0,
            scratch: Vec::new(),
        }
    }

    /// As [`new`](Sink::new), where large files can go to `out` by `mover`.
    pub fn direct(out: W, mover: Mover<W>) -> Sink<W> {
        Sink { mover: Some(mover), ..Sink::new(out) }
    }

    /// How many bytes went in so far.
    pub fn position(&self) -> u64 {
        self.written + self.used as u64
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// When the output does not take them.
    pub fn put(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            if self.used == self.buffer.len() {
                self.flush()?;
            }
            let n = bytes.len().min(self.buffer.len() - self.used);
            self.buffer[self.used..self.used + n].copy_from_slice(&bytes[..n]);
            self.used += n;
            bytes = &bytes[n..];
        }
        Ok(())
    }

    /// Appends what `encode` appends to an empty buffer.
    ///
    /// # Errors
    /// When the output does not take it.
    pub fn encoded(&mut self, encode: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        encode(&mut scratch);
        let put = self.put(&scratch);
        self.scratch = scratch;
        put
    }

    /// Appends `n` zero bytes.
    ///
    /// # Errors
    /// When the output does not take them.
    pub fn zeros(&mut self, mut n: u64) -> Result<()> {
        while n > 0 {
            if self.used == self.buffer.len() {
                self.flush()?;
            }
            let step = usize::try_from(n).unwrap_or(usize::MAX).min(self.buffer.len() - self.used);
            self.buffer[self.used..self.used + step].fill(0);
            self.used += step;
            n -= step as u64;
        }
        Ok(())
    }

    /// Reads up to `n` bytes from `input` straight into the buffer; gives how many there were.
    /// Read errors are the inner result, so that the caller can name the file.
    ///
    /// # Errors
    /// When the output does not take them.
    pub fn fill(&mut self, input: &mut impl Read, n: u64) -> Result<io::Result<u64>> {
        let mut done = 0;
        while done < n {
            if self.used == self.buffer.len() {
                self.flush()?;
            }
            let room = usize::try_from(n - done).unwrap_or(usize::MAX).min(self.buffer.len() - self.used);
            match input.read(&mut self.buffer[self.used..self.used + room]) {
                Ok(0) => break,
                Ok(got) => {
                    self.used += got;
                    done += got as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Ok(Err(e)),
            }
        }
        Ok(Ok(done))
    }

    /// As [`fill`](Sink::fill), from an open file.
    ///
    /// # Errors
    /// When the output does not take them.
    pub fn fill_from(&mut self, file: &mut File, n: u64) -> Result<io::Result<u64>> {
        let moved = self.moved(file.as_fd(), n)?;
        let filled = self.fill(file, n - moved)?;
        if moved > 0 {
            // Only then no page of the file is in a pipe any more, and a look for changes is a look back.
            self.flush()?;
        }
        Ok(filled.map(|filled| moved + filled))
    }

    /// Moves up to `n` bytes of `input` to the output past the buffer, where that is worth it and can be; gives how many.
    ///
    /// # Errors
    /// When the output does not take what comes before them.
    pub(crate) fn moved(&mut self, input: BorrowedFd<'_>, n: u64) -> Result<u64> {
        let Some(mover) = self.mover.filter(|_| n >= WORTH_IT) else { return Ok(0) };
        self.flush()?;
        let moved = mover(&mut self.out, input, n);
        self.written += moved;
        Ok(moved)
    }

    /// Hands everything on to the output.
    ///
    /// # Errors
    /// When the output does not take it.
    pub fn flush(&mut self) -> Result<()> {
        self.out.write_all(&self.buffer[..self.used]).map_err(Error::Stream)?;
        self.written += self.used as u64;
        self.used = 0;
        Ok(())
    }

    /// Flushes and gives the output back.
    ///
    /// # Errors
    /// When the output does not take the rest.
    pub fn into_inner(mut self) -> Result<W> {
        self.flush()?;
        Ok(self.out)
    }
}
