//! How much a compressed stream may grow to, over all streams of an archive: one in another counts as well.

use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tartree::{Exceeded, Limit, Skip};

use super::Compression;

/// Growth that is always allowed: unpacking so much harms nobody.
const FLOOR: u64 = 1 << 30;
/// Growth above that. gzip cannot do more, zstd makes 30 000 of one and bzip2 a million where all bytes are equal; the memory
/// of processes and the files of databases compress 3 to 50 times.
const RATIO: u64 = 1000;

/// A decompression bomb is a small file that fills a disk. It is stopped here, by what all its streams give.
#[derive(Clone, Debug)]
pub struct Bound {
    bytes: Option<u64>,
    memory: u64,
    counts: Arc<Counts>,
    /// What is read is counted, too: not so in a stream within another.
    outer: bool,
}

#[derive(Debug, Default)]
struct Counts {
    read: AtomicU64,
    given: AtomicU64,
}

impl Default for Bound {
    fn default() -> Bound {
        Bound::new(None, None)
    }
}

impl Bound {
    /// Memory of a decompressor, without another word: the window of `zstd -22` and the most that podman takes.
    pub const MEMORY: u64 = 128 << 20;

    /// At most `bytes` in all, by default 1000 times what is read, and a gibibyte at least; and at most `memory` for a
    /// window of zstd, three quarters of it for xz, whose encoders want less: 65 MiB.
    pub fn new(bytes: Option<u64>, memory: Option<u64>) -> Bound {
        let memory = memory.unwrap_or(Bound::MEMORY);
        Bound { bytes, memory, counts: Arc::default(), outer: true }
    }

    /// The bound for a stream that is the content of a member: it shares the counts.
    #[must_use]
    pub fn within(&self) -> Bound {
        Bound { outer: false, ..self.clone() }
    }

    /// The same bound for another reading: nothing is counted yet.
    #[must_use]
    pub fn anew(&self) -> Bound {
        Bound { counts: Arc::default(), ..self.clone() }
    }

    /// The window of zstd, as a power of two.
    pub(super) fn window_log(&self) -> u32 {
        self.memory.checked_ilog2().unwrap_or(0).clamp(10, 31)
    }

    /// Bytes for xz.
    pub(super) fn xz_memory(&self) -> u64 {
        self.memory / 4 * 3
    }

    /// The error of a decompressor that needs more memory.
    pub(super) fn memory_exceeded(&self, compression: Compression) -> Exceeded {
        let what = format!("{compression}: needs more memory than {} bytes, the most allowed", self.memory);
        Exceeded::new(Limit::Memory, what)
    }

    /// Counts the bytes of `input`, if they are those of the outermost stream.
    pub(super) fn meter<R>(&self, input: R) -> Meter<R> {
        Meter { input, counts: self.outer.then(|| self.counts.clone()) }
    }

    /// Counts `bytes` that a decompressor gave.
    pub(super) fn given(&self, bytes: usize) -> io::Result<()> {
        let given = self.counts.given.fetch_add(bytes as u64, Relaxed).saturating_add(bytes as u64);
        let what = match self.bytes {
            Some(most) if given > most => format!("more than {most} bytes"),
            None if given > FLOOR && given / RATIO > self.counts.read.load(Relaxed) => {
                format!("more than {RATIO} times its size")
            }
            _ => return Ok(()),
        };
        let what = format!("{what} when decompressed, the most allowed");
        Err(io::Error::other(Exceeded::new(Limit::ContentBytes, what)))
    }
}

/// An input whose bytes are counted as they are taken.
pub(super) struct Meter<R> {
    input: R,
    counts: Option<Arc<Counts>>,
}

impl<R> Meter<R> {
    fn took(&self, bytes: u64) {
        if let Some(counts) = &self.counts {
            counts.read.fetch_add(bytes, Relaxed);
        }
    }
}

impl<R: Read> Read for Meter<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let got = self.input.read(buf)?;
        self.took(got as u64);
        Ok(got)
    }
}

impl<R: Skip> Skip for Meter<R> {
    fn skip(&mut self, n: u64) -> io::Result<u64> {
        let skipped = self.input.skip(n)?;
        self.took(skipped);
        Ok(skipped)
    }
}

impl<R: BufRead> BufRead for Meter<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.input.fill_buf()
    }

    fn consume(&mut self, bytes: usize) {
        self.took(bytes as u64);
        self.input.consume(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Compression, Decoder, Encoder, Settings};
    use super::*;
    use std::io::Write;

    const ALL: [Compression; 4] = [Compression::Gzip, Compression::Zstd, Compression::Xz, Compression::Bzip2];

    fn packed(compression: Compression, content: &mut dyn Read) -> Vec<u8> {
        let mut encoder =
            Encoder::new(Vec::new(), &Settings { compression, level: Some(1), threads: 1 }).unwrap();
        io::copy(content, &mut encoder).unwrap();
        encoder.finish().unwrap()
    }

    fn unpack(packed: &[u8], bound: Bound) -> io::Result<u64> {
        io::copy(&mut Decoder::bounded(packed, bound)?, &mut io::sink())
    }

    #[test]
    fn a_bound_in_bytes_is_exact_in_every_format() {
        for compression in ALL {
            let packed = packed(compression, &mut io::repeat(0).take(100_000));
            assert_eq!(unpack(&packed, Bound::new(Some(100_000), None)).unwrap(), 100_000, "{compression}");
            let e = unpack(&packed, Bound::new(Some(99_999), None)).unwrap_err();
            assert_eq!(Exceeded::in_error(&e), Some(Limit::ContentBytes), "{compression}: {e}");
        }
    }

    #[test]
    fn a_bomb_in_a_bomb_counts_as_what_both_give() {
        let inner = packed(Compression::Gzip, &mut io::repeat(0).take(1 << 20));
        let outer = packed(Compression::Zstd, &mut &inner[..]);
        let read = |most| -> io::Result<u64> {
            let bound = Bound::new(Some(most), None);
            let decoder = Decoder::bounded(&outer[..], bound.clone())?;
            let mut nested = Decoder::bounded(io::BufReader::new(decoder), bound.within())?;
            io::copy(&mut nested, &mut io::sink())
        };
        let sum = (1 << 20) + inner.len() as u64;
        assert_eq!(read(sum).unwrap(), 1 << 20);
        for most in [sum - 1, inner.len() as u64 - 1] {
            let e = read(most).unwrap_err();
            assert_eq!(Exceeded::in_error(&e), Some(Limit::ContentBytes), "{most}: {e}");
        }
    }

    /// A gibibyte of zeros in some 50 kilobytes.
    #[test]
    fn what_grows_a_thousandfold_is_refused_above_a_gibibyte() {
        let mib = packed(Compression::Zstd, &mut io::repeat(0).take(1 << 20));
        let mut decoder = Decoder::new(io::Cursor::new(mib.repeat(1025))).unwrap();
        let mut gibibyte = (&mut decoder).take(FLOOR);
        assert_eq!(io::copy(&mut gibibyte, &mut io::sink()).unwrap(), FLOOR);
        let e = io::copy(&mut decoder, &mut io::sink()).unwrap_err().to_string();
        assert!(e.contains("more than 1000 times its size"), "{e}");
    }

    #[test]
    fn memory_is_bounded_for_what_needs_a_window() {
        let small = Bound::new(None, Some(1 << 20));
        let packed = packed(Compression::Xz, &mut io::repeat(0).take(1 << 20));
        let memory = |e: io::Error| tartree::Exceeded::in_error(&e) == Some(Limit::Memory);
        assert!(unpack(&packed, small.clone()).is_err_and(memory));
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(21).unwrap();
        // Streamed without a known size, so that the frame asks for the whole window.
        encoder.write_all(b"x").unwrap();
        encoder.flush().unwrap();
        let packed = encoder.finish().unwrap();
        assert!(unpack(&packed, small).is_err_and(memory));
        assert!(unpack(&packed, Bound::default()).is_ok());
    }
}
