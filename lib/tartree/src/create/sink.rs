//! The buffer in front of an output: headers and small files are gathered, so that one write carries many entries.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use crate::error::{Error, Result};
use crate::fs::kernel_copy::Passage;
use crate::parallel::stage::{Work, Worker, processors};

/// What was read is then still in the processor's own cache when it is written: with a mebibyte it takes a quarter more time.
const CAPACITY: usize = 256 << 10;
/// Buffers that are written before another thread does that, while this one reads on: with fewer it is not worth starting one.
const ALONE: usize = 4;

/// What takes a tar: another thread may write it.
pub trait Destination: Write + Send + 'static {}

impl<W: Write + Send + 'static> Destination for W {}

/// A counting, buffering writer into which files are read without a second copy.
pub struct Sink<W: Destination> {
    buffer: Buffer,
    writer: Worker<Writer<W>>,
    passage: Option<Passage>,
    written: u64,
    /// Headers are made here.
    scratch: Vec<u8>,
}

/// What is written at once.
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
    /// Tells what became of what it held.
    fn tell(&mut self) -> Result<()> {
        self.failed.take().map_or(Ok(()), |e| Err(Error::Stream(e)))
    }
}

struct Writer<W> {
    out: W,
    /// After an error nothing more is written.
    failed: bool,
}

impl<W: Destination> Work for Writer<W> {
    type Batch = Buffer;

    fn work(&mut self, buffer: &mut Buffer) {
        if !self.failed {
            buffer.failed = self.out.write_all(&buffer.data[..buffer.used]).err();
            self.failed = buffer.failed.is_some();
        }
        buffer.used = 0;
    }
}

impl<W: Destination> Sink<W> {
    /// A sink in front of `out`.
    pub fn new(out: W) -> Sink<W> {
        Sink {
            buffer: Buffer::default(),
            writer: Worker::new("writer", Writer { out, failed: false }, ALONE),
            passage: None,
            written: 0,
            scratch: Vec::new(),
        }
    }

    /// As [`new`](Sink::new), where large files can go to the same place by `passage`, should there be one.
    pub fn direct(out: W, passage: Option<Passage>) -> Sink<W> {
        Sink { passage, ..Sink::new(out) }
    }

    /// How many bytes went in so far.
    pub fn position(&self) -> u64 {
        self.written + self.buffer.used as u64
    }

    /// Where the next bytes go. It is never empty.
    fn room(&mut self) -> Result<&mut [u8]> {
        if self.buffer.used == self.buffer.data.len() {
            self.hand_over()?;
        }
        Ok(&mut self.buffer.data[self.buffer.used..])
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// When the output does not take them, or did not take earlier ones.
    pub fn put(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let room = self.room()?;
            let (now, later) = bytes.split_at(bytes.len().min(room.len()));
            room[..now.len()].copy_from_slice(now);
            self.buffer.used += now.len();
            bytes = later;
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
    /// As [`put`](Sink::put).
    pub fn zeros(&mut self, mut n: u64) -> Result<()> {
        while n > 0 {
            let room = self.room()?;
            let step = up_to(room, n);
            step.fill(0);
            let step = step.len();
            self.buffer.used += step;
            n -= step as u64;
        }
        Ok(())
    }

    /// Reads up to `n` bytes from `input` straight into the buffer; gives how many there were.
    /// Read errors are the inner result, so that the caller can name the file.
    ///
    /// # Errors
    /// As [`put`](Sink::put).
    pub fn fill(&mut self, input: &mut impl Read, n: u64) -> Result<io::Result<u64>> {
        let mut done = 0;
        while done < n {
            match input.read(up_to(self.room()?, n - done)) {
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

    /// As [`fill`](Sink::fill), from an open file.
    ///
    /// # Errors
    /// As [`put`](Sink::put).
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
        let Some(mut passage) = self.passage.take() else { return Ok(0) };
        let moved = passage.transfer(input, n, &mut || self.flush())?;
        self.passage = Some(passage);
        self.written += moved;
        Ok(moved)
    }

    /// Waits until the output has everything.
    ///
    /// # Errors
    /// When it does not take it.
    pub fn flush(&mut self) -> Result<()> {
        self.hand_over()?;
        self.writer.wait(&mut Buffer::tell)
    }

    fn hand_over(&mut self) -> Result<()> {
        if self.buffer.used == 0 {
            return Ok(());
        }
        self.written += self.buffer.used as u64;
        self.writer.take(&mut self.buffer, processors);
        self.buffer.tell()
    }

    /// Flushes and gives the output back.
    ///
    /// # Errors
    /// When the output does not take the rest.
    pub fn into_inner(mut self) -> Result<W> {
        self.flush()?;
        Ok(self.writer.finish().out)
    }
}

/// The first `n` bytes of `room`, or all of it.
fn up_to(room: &mut [u8], n: u64) -> &mut [u8] {
    let len = usize::try_from(n).unwrap_or(usize::MAX).min(room.len());
    &mut room[..len]
}
