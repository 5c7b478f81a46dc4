//! Buffers the output, so that one write carries the headers and contents of many small files.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use crate::error::{Error, Result};
use crate::fs::kernel_copy::Passage;
use crate::parallel::policy::TAR_WRITER;
use crate::parallel::stage::{Process, Stage};

/// The size of a buffer. It is so small that its data is still in the processor's cache when it is
/// written: with a buffer of one mebibyte, writing takes a quarter more time.
const CAPACITY: usize = 256 << 10;

/// An output for a tar. Another thread may write to it.
pub trait Destination: Write + Send + 'static {}

impl<W: Write + Send + 'static> Destination for W {}

/// A buffered writer that counts bytes and reads files directly into its buffer.
pub struct Sink<W: Destination> {
    buffer: Buffer,
    writer: Stage<Writer<W>>,
    passage: Option<Passage>,
    /// The number of bytes that have left the buffer.
    written: u64,
    /// Reused memory for headers.
    scratch: Vec<u8>,
}

/// A buffer, whose bytes are written by one call.
struct Buffer {
    data: Box<[u8]>,
    used: usize,
    failed: Option<io::Error>,
}

impl Default for Buffer {
    fn default() -> Buffer {
        Buffer { data: vec![0; CAPACITY].into_boxed_slice(), used: 0, failed: None }
    }
}

impl Buffer {
    /// Returns the error of writing the bytes that the buffer held before, if writing failed.
    fn report(&mut self) -> Result<()> {
        self.failed.take().map_or(Ok(()), |e| Err(Error::Stream(e)))
    }
}

struct Writer<W> {
    out: W,
    /// Whether a write has failed. Nothing is written after an error.
    failed: bool,
}

impl<W: Destination> Process for Writer<W> {
    type Batch = Buffer;

    fn process(&mut self, buffer: &mut Buffer) {
        if !self.failed {
            buffer.failed = self.out.write_all(&buffer.data[..buffer.used]).err();
            self.failed = buffer.failed.is_some();
        }
        buffer.used = 0;
    }
}

impl<W: Destination> Sink<W> {
    /// Makes a sink that writes to `out`.
    pub fn new(out: W) -> Sink<W> {
        Sink {
            buffer: Buffer::default(),
            writer: Stage::new(&TAR_WRITER, Writer { out, failed: false }),
            passage: None,
            written: 0,
            scratch: Vec::new(),
        }
    }

    /// Makes a sink that writes to `out`. If there is a `passage` to the same output, large files
    /// are copied to it inside the kernel.
    pub fn direct(out: W, passage: Option<Passage>) -> Sink<W> {
        Sink { passage, ..Sink::new(out) }
    }

    /// Returns the number of bytes appended so far.
    pub fn position(&self) -> u64 {
        self.written + self.buffer.used as u64
    }

    /// Returns the free part of the buffer, which is never empty.
    fn free(&mut self) -> Result<&mut [u8]> {
        if self.buffer.used == self.buffer.data.len() {
            self.submit()?;
        }
        Ok(&mut self.buffer.data[self.buffer.used..])
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// Returns an error if writing to the output fails now, or failed for earlier bytes.
    pub fn put(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let free = self.free()?;
            let (now, later) = bytes.split_at(bytes.len().min(free.len()));
            free[..now.len()].copy_from_slice(now);
            self.buffer.used += now.len();
            bytes = later;
        }
        Ok(())
    }

    /// Appends the bytes that `encode` writes into an empty vector.
    ///
    /// # Errors
    /// Returns the errors of [`put`](Sink::put).
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
    /// Returns the errors of [`put`](Sink::put).
    pub fn zeros(&mut self, mut n: u64) -> Result<()> {
        while n > 0 {
            let step = up_to(self.free()?, n);
            step.fill(0);
            let step = step.len();
            self.buffer.used += step;
            n -= step as u64;
        }
        Ok(())
    }

    /// Reads up to `n` bytes from `input` directly into the buffer, and returns the number of bytes
    /// read. A read error is the inner result, so that the caller can name the file.
    ///
    /// # Errors
    /// Returns the errors of [`put`](Sink::put).
    pub fn fill(&mut self, input: &mut impl Read, n: u64) -> Result<io::Result<u64>> {
        let mut done = 0;
        while done < n {
            match input.read(up_to(self.free()?, n - done)) {
                Ok(0) => break,
                Ok(got) => {
                    self.buffer.used += got;
                    done += got as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Ok(Err(e)),
            }
        }
        Ok(Ok(done))
    }

    /// Appends up to `n` bytes of an open file, either like [`fill`](Sink::fill) or inside the
    /// kernel.
    ///
    /// # Errors
    /// Returns the errors of [`put`](Sink::put).
    pub fn fill_from(&mut self, file: &mut File, n: u64) -> Result<io::Result<u64>> {
        let moved = self.moved(file.as_fd(), n)?;
        let filled = self.fill(file, n - moved)?;
        if moved > 0 {
            // Until the remaining bytes are written, a pipe may hold references to pages of the
            // file, so a change of the file still changes the output. The caller checks for changes
            // after this call and must not miss such a change.
            self.flush()?;
        }
        Ok(filled.map(|filled| moved + filled))
    }

    /// Moves up to `n` bytes of `input` to the output inside the kernel, if that is possible and
    /// faster. Returns the number of bytes moved.
    ///
    /// # Errors
    /// Returns an error if writing the buffered bytes that precede them fails.
    pub(crate) fn moved(&mut self, input: BorrowedFd<'_>, n: u64) -> Result<u64> {
        let Some(mut passage) = self.passage.take() else { return Ok(0) };
        let moved = passage.transfer(input, n, &mut || self.flush())?;
        self.passage = Some(passage);
        self.written += moved;
        Ok(moved)
    }

    /// Waits until everything is written to the output.
    ///
    /// # Errors
    /// Returns an error if writing fails.
    pub fn flush(&mut self) -> Result<()> {
        self.submit()?;
        self.writer.wait(&mut Buffer::report)
    }

    fn submit(&mut self) -> Result<()> {
        if self.buffer.used == 0 {
            return Ok(());
        }
        self.written += self.buffer.used as u64;
        self.writer.submit(&mut self.buffer);
        self.buffer.report()
    }

    /// Writes the buffered bytes and returns the output.
    ///
    /// # Errors
    /// Returns an error if writing fails.
    pub fn into_inner(mut self) -> Result<W> {
        self.flush()?;
        Ok(self.writer.finish().out)
    }
}

/// Returns the first `n` bytes of `free`, or all of `free` if it is shorter.
fn up_to(free: &mut [u8], n: u64) -> &mut [u8] {
    let len = usize::try_from(n).unwrap_or(usize::MAX).min(free.len());
    &mut free[..len]
}
