//! Skips bytes without reading them if the input is a file.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Chain, Cursor, Read, Seek, SeekFrom, Take};

/// Buffer size for readers that skip content: bytes that are read ahead of a header are mostly
/// discarded.
pub const SKIPPING_BUFFER: usize = 32 << 10;

/// A reader that can skip bytes of its input.
pub trait Skip: Read {
    /// Skips `n` bytes. Returns the number of bytes skipped, which is less only at the end of the
    /// input.
    ///
    /// # Errors
    /// Returns any errno of lseek(2) or read(2). In a file, skipped bytes can be unreadable without
    /// an error, because they are only seeked over.
    fn skip(&mut self, n: u64) -> io::Result<u64>;
}

/// Skips `n` bytes by reading them.
///
/// # Errors
/// Returns the errors of the input.
pub fn read_over<R: Read + ?Sized>(input: &mut R, n: u64) -> io::Result<u64> {
    io::copy(&mut input.take(n), &mut io::sink())
}

impl<R: Skip + ?Sized> Skip for &mut R {
    fn skip(&mut self, n: u64) -> io::Result<u64> {
        (**self).skip(n)
    }
}

impl Skip for &File {
    fn skip(&mut self, n: u64) -> io::Result<u64> {
        let meta = self.metadata()?;
        // The length of a device and the position of a pipe are unknown.
        if !meta.is_file() {
            return read_over(self, n);
        }
        let there = meta.len().saturating_sub(self.stream_position()?).min(n);
        // The length of a file fits into off_t.
        self.seek(SeekFrom::Current(there as i64))?;
        Ok(there)
    }
}

impl<R: Skip> Skip for BufReader<R> {
    fn skip(&mut self, n: u64) -> io::Result<u64> {
        let buffered = self.buffer().len().min(usize::try_from(n).unwrap_or(usize::MAX));
        self.consume(buffered);
        let buffered = buffered as u64;
        if buffered == n { Ok(n) } else { Ok(buffered + self.get_mut().skip(n - buffered)?) }
    }
}

impl<R: Skip> Skip for Take<R> {
    fn skip(&mut self, n: u64) -> io::Result<u64> {
        let n = n.min(self.limit());
        let skipped = self.get_mut().skip(n)?;
        self.set_limit(self.limit() - skipped);
        Ok(skipped)
    }
}

impl<R: Skip> Skip for Chain<Cursor<Vec<u8>>, R> {
    fn skip(&mut self, n: u64) -> io::Result<u64> {
        let (first, second) = self.get_mut();
        let left = (first.get_ref().len() as u64).saturating_sub(first.position()).min(n);
        first.set_position(first.position() + left);
        if left == n { Ok(n) } else { Ok(left + second.skip(n - left)?) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn stack(file: &File) -> impl Skip {
        BufReader::with_capacity(16, Cursor::new(b"before ".to_vec()).chain(file).take(7 + 90))
    }

    #[test]
    fn skipping_advances_like_reading() {
        let mut file = tempfile::tempfile().unwrap();
        let bytes: Vec<u8> = (0..100).collect();
        file.write_all(&bytes).unwrap();
        let all = [b"before ", &bytes[..90]].concat();
        for read in 0..all.len() {
            for skip in [0, 1, 3, 8, 20, 60, 200] {
                file.seek(SeekFrom::Start(0)).unwrap();
                let mut input = stack(&file);
                input.read_exact(&mut vec![0; read]).unwrap();
                let there = skip.min(all.len() - read);
                assert_eq!(input.skip(skip as u64).unwrap(), there as u64, "{skip} behind {read}");
                let mut rest = Vec::new();
                input.read_to_end(&mut rest).unwrap();
                assert_eq!(rest, all[read + there..], "{skip} behind {read}");
            }
        }
    }

    #[test]
    fn data_of_a_pipe_is_skipped_by_reading() {
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(b"skipped data:read").unwrap();
        drop(writer);
        let file = File::from(std::os::fd::OwnedFd::from(reader));
        assert_eq!((&file).skip(13).unwrap(), 13);
        assert_eq!(io::read_to_string(&file).unwrap(), "read");
        assert_eq!((&file).skip(1).unwrap(), 0);
    }
}
