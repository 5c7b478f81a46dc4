//! Parts of files, which are read without a file position.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// A part of a file.
#[derive(Clone, Debug)]
pub struct FileRange {
    file: Arc<File>,
    start: u64,
    len: u64,
}

impl FileRange {
    /// Returns the complete file.
    ///
    /// # Errors
    /// Returns any errno of fstat(2).
    pub fn whole(file: File) -> io::Result<FileRange> {
        let len = file.metadata()?.len();
        Ok(FileRange { file: Arc::new(file), start: 0, len })
    }

    /// Returns the length in bytes.
    #[expect(clippy::len_without_is_empty, reason = "an empty range is not special")]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Returns a reader from the start of the range.
    pub fn reader(&self) -> BufReader<RangeReader> {
        BufReader::with_capacity(64 << 10, RangeReader { range: self.clone(), at: 0 })
    }

    /// Reads up to `buf.len()` bytes at `offset`.
    ///
    /// # Errors
    /// Returns any errno of pread(2).
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let left = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let len = buf.len().min(left);
        self.file.read_at(&mut buf[..len], self.start.saturating_add(offset))
    }

    /// Fills `buf` from `offset`.
    ///
    /// # Errors
    /// Returns an error if the range is shorter, or any errno of pread(2).
    pub fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        if offset.saturating_add(buf.len() as u64) > self.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.file.read_exact_at(buf, self.start.saturating_add(offset))
    }
}

/// Reads a [`FileRange`] from its start to its end.
pub struct RangeReader {
    range: FileRange,
    at: u64,
}

impl Read for RangeReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let got = self.range.read_at(buf, self.at)?;
        self.at += got as u64;
        Ok(got)
    }
}

/// A temporary file that holds several byte strings, one after another.
pub struct Spool {
    file: Arc<File>,
    end: u64,
}

impl Spool {
    /// Appends to the empty `file`.
    pub fn new(file: File) -> Spool {
        Spool { file: Arc::new(file), end: 0 }
    }

    /// Appends the content of `input` and returns its place. Blocks of zeros become holes.
    ///
    /// # Errors
    /// Returns an error if the input cannot be read or the file cannot be written.
    pub fn append(&mut self, mut input: impl Read) -> io::Result<FileRange> {
        let mut writer = self.writer();
        io::copy(&mut input, &mut writer)?;
        writer.finish()
    }

    /// Returns a writer that appends.
    pub fn writer(&mut self) -> SpoolWriter<'_> {
        SpoolWriter { start: self.end, spool: self, block: Vec::with_capacity(BLOCK) }
    }
}

/// The bytes that are written at a time.
const BLOCK: usize = 256 << 10;

/// Appends to a [`Spool`].
pub struct SpoolWriter<'s> {
    spool: &'s mut Spool,
    start: u64,
    /// Bytes that have not been written.
    block: Vec<u8>,
}

impl SpoolWriter<'_> {
    /// Returns the place of the bytes that were written.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written.
    pub fn finish(mut self) -> io::Result<FileRange> {
        self.flush()?;
        let Spool { file, end } = self.spool;
        if file.metadata()?.len() < *end {
            file.set_len(*end)?;
        }
        Ok(FileRange { file: Arc::clone(file), start: self.start, len: *end - self.start })
    }
}

impl Write for SpoolWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.block.len() >= BLOCK {
            self.flush()?;
        }
        let most = bytes.len().min(BLOCK - self.block.len());
        self.block.extend_from_slice(&bytes[..most]);
        Ok(most)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.block.iter().any(|&byte| byte != 0) {
            // The caller knows the input, but not this file.
            let named = |e: io::Error| io::Error::new(e.kind(), format!("unnamed temporary file: {e}"));
            self.spool.file.write_all_at(&self.block, self.spool.end).map_err(named)?;
        }
        self.spool.end += self.block.len() as u64;
        self.block.clear();
        Ok(())
    }
}
