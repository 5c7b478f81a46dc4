//! Limits the decompressed size of all streams of an archive together, including nested streams,
//! against decompression bombs.

use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tartree::{Exceeded, Limit, Skip};

use super::Compression;

/// The decompressed size in bytes that is always allowed.
const ALWAYS_ALLOWED: u64 = 1 << 30;
/// The largest ratio of decompressed to compressed size above [`ALWAYS_ALLOWED`]. gzip cannot
/// exceed this ratio; if all bytes are equal, zstd reaches 30 000 and bzip2 a million. The memory
/// of processes and the files of databases compress 3 to 50 times.
const MAX_RATIO: u64 = 1000;

/// A limit on the decompressed size and on the memory of decompressors, against decompression
/// bombs: small files that fill a disk or the memory. Clones share the count.
#[derive(Clone, Debug)]
pub struct Bound {
    bytes: Option<u64>,
    memory: u64,
    counts: Arc<Counts>,
    /// Whether the compressed bytes are counted. They are not counted for a stream within another
    /// stream.
    outer: bool,
}

#[derive(Debug, Default)]
struct Counts {
    read: AtomicU64,
    decompressed: AtomicU64,
}

impl Default for Bound {
    fn default() -> Bound {
        Bound::new(None, None)
    }
}

impl Bound {
    /// The default memory limit of a decompressor in bytes: the window of `zstd -22`, and the limit
    /// of podman.
    pub const MEMORY: u64 = 128 << 20;

    /// Limits the decompressed size to `bytes`, by default to 1000 times the compressed size, but
    /// at least to one gibibyte. Limits the window of zstd to `memory` bytes, and the memory of xz
    /// to three quarters of `memory`, since decompressing the output of xz encoders needs at most
    /// 65 MiB.
    pub fn new(bytes: Option<u64>, memory: Option<u64>) -> Bound {
        let memory = memory.unwrap_or(Bound::MEMORY);
        Bound { bytes, memory, counts: Arc::default(), outer: true }
    }

    /// Returns the bound for a stream within a member. The new bound shares the counts of this
    /// bound.
    #[must_use]
    pub fn within(&self) -> Bound {
        Bound { outer: false, ..self.clone() }
    }

    /// Returns the same limits with new counts, to read an input again.
    #[must_use]
    pub fn anew(&self) -> Bound {
        Bound { counts: Arc::default(), ..self.clone() }
    }

    /// Returns the largest window of zstd in bytes, as the exponent of a power of two.
    pub(super) fn window_log(&self) -> u32 {
        self.memory.checked_ilog2().unwrap_or(0).clamp(10, 31)
    }

    /// Returns the memory limit for xz in bytes.
    pub(super) fn xz_memory(&self) -> u64 {
        self.memory / 4 * 3
    }

    /// Returns the error of a decompressor that needs more memory.
    pub(super) fn memory_exceeded(&self, compression: Compression) -> Exceeded {
        let what = format!("{compression}: needs more memory than {} bytes, the most allowed", self.memory);
        Exceeded::new(Limit::Memory, what)
    }

    /// Counts the bytes of `input`, if `input` is the outermost stream.
    pub(crate) fn meter<R>(&self, input: R) -> Meter<R> {
        Meter { input, counts: self.outer.then(|| self.counts.clone()) }
    }

    /// Counts `bytes` that a decompressor returned, or that the holes of a sparse file became.
    ///
    /// # Errors
    /// Returns an error if the limit is exceeded.
    pub fn count_decompressed(&self, bytes: usize) -> io::Result<()> {
        let total = self.counts.decompressed.fetch_add(bytes as u64, Relaxed).saturating_add(bytes as u64);
        let what = match self.bytes {
            Some(most) if total > most => format!("more than {most} bytes"),
            None if total > ALWAYS_ALLOWED && total / MAX_RATIO > self.counts.read.load(Relaxed) => {
                format!("more than {MAX_RATIO} times its size")
            }
            _ => return Ok(()),
        };
        let what = format!("{what} when decompressed, the most allowed");
        Err(io::Error::other(Exceeded::new(Limit::ContentBytes, what)))
    }
}

/// Counts the bytes that are read from an input.
pub(crate) struct Meter<R> {
    input: R,
    counts: Option<Arc<Counts>>,
}

impl<R> Meter<R> {
    fn count(&self, bytes: u64) {
        if let Some(counts) = &self.counts {
            counts.read.fetch_add(bytes, Relaxed);
        }
    }

    /// Calls `move_on` with the input and counts the bytes that `move_on` returns.
    pub(crate) fn past(&mut self, move_on: impl FnOnce(&mut R) -> Option<u64>) -> Option<u64> {
        let moved = move_on(&mut self.input)?;
        self.count(moved);
        Some(moved)
    }
}

impl<R: Read> Read for Meter<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let got = self.input.read(buf)?;
        self.count(got as u64);
        Ok(got)
    }
}

impl<R: Skip> Skip for Meter<R> {
    fn skip(&mut self, n: u64) -> io::Result<u64> {
        let skipped = self.input.skip(n)?;
        self.count(skipped);
        Ok(skipped)
    }
}

impl<R: BufRead> BufRead for Meter<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.input.fill_buf()
    }

    fn consume(&mut self, bytes: usize) {
        self.count(bytes as u64);
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
    fn a_limit_in_bytes_is_exact_in_all_formats() {
        for compression in ALL {
            let packed = packed(compression, &mut io::repeat(0).take(100_000));
            assert_eq!(unpack(&packed, Bound::new(Some(100_000), None)).unwrap(), 100_000, "{compression}");
            let e = unpack(&packed, Bound::new(Some(99_999), None)).unwrap_err();
            assert_eq!(Exceeded::in_error(&e), Some(Limit::ContentBytes), "{compression}: {e}");
        }
    }

    #[test]
    fn nested_streams_count_together() {
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

    /// Decompresses an input of about 50 kilobytes to more than a gibibyte of zeros.
    #[test]
    fn a_ratio_of_1000_is_rejected_above_a_gibibyte() {
        let mib = packed(Compression::Zstd, &mut io::repeat(0).take(1 << 20));
        let mut decoder = Decoder::new(io::Cursor::new(mib.repeat(1025))).unwrap();
        let mut gibibyte = (&mut decoder).take(ALWAYS_ALLOWED);
        assert_eq!(io::copy(&mut gibibyte, &mut io::sink()).unwrap(), ALWAYS_ALLOWED);
        let e = io::copy(&mut decoder, &mut io::sink()).unwrap_err().to_string();
        assert!(e.contains("more than 1000 times its size"), "{e}");
    }

    #[test]
    fn the_memory_of_a_window_is_limited() {
        let small = Bound::new(None, Some(1 << 20));
        let packed = packed(Compression::Xz, &mut io::repeat(0).take(1 << 20));
        let memory = |e: io::Error| tartree::Exceeded::in_error(&e) == Some(Limit::Memory);
        assert!(unpack(&packed, small.clone()).is_err_and(memory));
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(21).unwrap();
        // The encoder is flushed before the size is known, so that the frame declares the full
        // window.
        encoder.write_all(b"x").unwrap();
        encoder.flush().unwrap();
        let packed = encoder.finish().unwrap();
        assert!(unpack(&packed, small).is_err_and(memory));
        assert!(unpack(&packed, Bound::default()).is_ok());
    }

    #[test]
    fn the_memory_of_decompressors_is_limited() {
        for (memory, window_log, xz_memory) in [
            (Bound::MEMORY, 27, 96 << 20),
            (Bound::MEMORY - 1, 26, 100_663_293),
            (0, 10, 0),
            (u64::MAX, 31, u64::MAX / 4 * 3),
        ] {
            let bound = Bound::new(None, Some(memory));
            assert_eq!((bound.window_log(), bound.xz_memory()), (window_log, xz_memory), "{memory}");
        }
    }

    #[test]
    fn only_bytes_above_the_limit_are_rejected() {
        let bound = Bound::new(Some(10), None);
        bound.count_decompressed(10).unwrap();
        assert!(bound.count_decompressed(1).is_err());
        bound.anew().count_decompressed(10).unwrap();
        assert!(bound.within().count_decompressed(0).is_err());
    }

    #[test]
    fn only_the_outermost_stream_is_counted_as_read() {
        let bound = Bound::default();
        for (bound, read) in [(bound.clone(), 35), (bound.within(), 0)] {
            bound.counts.read.store(0, Relaxed);
            let mut meter = bound.meter(&[0u8; 50][..]);
            meter.read_exact(&mut [0; 10]).unwrap();
            meter.consume(5);
            assert_eq!(meter.past(|_| Some(20)), Some(20));
            assert_eq!(meter.past(|_| None), None);
            assert_eq!(bound.counts.read.load(Relaxed), read);
        }
    }
}
