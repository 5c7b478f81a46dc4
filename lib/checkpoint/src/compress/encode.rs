//! Compresses data in any of the formats.

use std::io::{self, Write};

use zstd::zstd_safe::CParameter;

use super::Compression;
use super::members::{Format, Members};

/// The bytes of data that one thread of zstd compresses at a time. zstd uses more if the level's
/// window needs more. With half of this value, memory images take 6 % more time; with twice this
/// value, each thread takes 8 MiB more memory without a benefit.
const ZSTD_JOB: u32 = 4 << 20;
/// The distance in bytes over which zstd finds repeated data, as the exponent of a power of two: 16
/// MiB. Readers accept more: libzstd up to 128 MiB (`ZSTD_WINDOWLOG_LIMIT_DEFAULT` in zstd.h), Go's
/// zstd and therefore podman up to 512 MiB. The memory of a process and files of the same kind
/// repeat over longer distances than a level's default window. With long-distance matching over
/// this window, the output is 5 to 15 % smaller and takes less time.
const ZSTD_WINDOW: u32 = 24;
/// The same distance for streams of which readers open many at the same time: 1 MiB. Each reader
/// needs this memory.
const ZSTD_SMALL_WINDOW: u32 = 20;
/// The interval of the positions that are indexed for long-distance matches, as the exponent of a
/// power of two. This value indexes half as many positions as zstd's default, since the threads do
/// that work one after another.
const ZSTD_REMEMBERED: u32 = 8;
/// The number of positions with the same hash that are compared, as the exponent of a power of two.
/// zstd's default of 16 positions takes 10 % more time for 0.1 % smaller output.
const ZSTD_COMPARED: u32 = 1;
/// The number of entries in the hash table without `--level`, as the exponent of a power of two.
/// The default is the strategy of level 2 with the hash table and the shortest match of level 3.
/// This takes two thirds of the time of level 3, and the output is not larger than podman's output,
/// which is compressed at about level 3. (Longer steps over unmatched data are even faster for
/// noise, but make the compressed memory of real programs larger by half.)
const ZSTD_HASH: u32 = 17;
/// The shortest match without `--level`, in bytes.
const ZSTD_MATCH: u32 = 5;
/// The highest level whose default window is not larger than [`ZSTD_WINDOW`].
const ZSTD_SMALL_WINDOWS: u32 = 19;

/// The settings of an encoder.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The format.
    pub compression: Compression,
    /// One of [`Compression::levels`], or `None` for the default.
    pub level: Option<u32>,
    /// The number of threads that compress, at least one.
    pub threads: usize,
}

/// A writer that compresses. If an encoder is dropped without [`finish`](Encoder::finish), all
/// readers detect that the stream is truncated.
pub struct Encoder<W: Write> {
    state: State<W>,
}

enum State<W: Write> {
    None(W),
    Members(Members<W>),
    Zstd(Box<zstd::stream::write::Encoder<'static, W>>),
    Xz(Xz<W>),
}

/// Returns the number of zstd workers for `threads` threads. For long-distance matching, each
/// worker waits for the previous worker. With one more worker than processors, all processors are
/// busy, which saves 10 % of the time on two processors.
fn workers(threads: usize) -> u32 {
    let waiting = usize::from(threads > 1);
    u32::try_from(threads + waiting).unwrap_or(u32::MAX)
}

impl<W: Write> Encoder<W> {
    /// Starts a stream on `out`.
    ///
    /// # Errors
    /// Returns an error if the codec rejects the settings.
    pub fn new(out: W, settings: &Settings) -> io::Result<Encoder<W>> {
        let usual = settings.compression.levels().map_or(0, |(_, usual)| usual);
        let level = settings.level.unwrap_or(usual);
        let threads = settings.threads.max(1);
        let state = match settings.compression {
            Compression::None => State::None(out),
            Compression::Gzip => State::Members(Members::new(out, Format::Gzip, level, threads)),
            Compression::Bzip2 => State::Members(Members::new(out, Format::Bzip2, level, threads)),
            Compression::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(out, level as i32)?;
                encoder.include_checksum(true)?;
                // The multi-threaded compressor is also used for one thread: its output is the same
                // for any number of workers, but differs from the single-threaded compressor's.
                encoder.multithread(workers(threads))?;
                if level <= ZSTD_SMALL_WINDOWS {
                    encoder.window_log(ZSTD_WINDOW)?;
                    encoder.long_distance_matching(true)?;
                    encoder.set_parameter(CParameter::LdmHashRateLog(ZSTD_REMEMBERED))?;
                    encoder.set_parameter(CParameter::LdmBucketSizeLog(ZSTD_COMPARED))?;
                }
                if settings.level.is_none() {
                    encoder.set_parameter(CParameter::HashLog(ZSTD_HASH))?;
                    encoder.set_parameter(CParameter::MinMatch(ZSTD_MATCH))?;
                }
                // Each worker holds a job and its output. The library's default is 8 MiB or more.
                encoder.set_parameter(CParameter::JobSize(ZSTD_JOB))?;
                State::Zstd(Box::new(encoder))
            }
            Compression::Xz => {
                let stream = liblzma::stream::MtStreamBuilder::new()
                    .threads(u32::try_from(threads).unwrap_or(u32::MAX))
                    .preset(level)
                    .check(liblzma::stream::Check::Crc64)
                    .encoder()?;
                State::Xz(Xz(Some(liblzma::write::XzEncoder::new_stream(Gate(Some(out)), stream))))
            }
        };
        Ok(Encoder { state })
    }

    /// Limits the memory that a reader needs, before the first byte is written. For streams of which
    /// readers open many at the same time.
    ///
    /// # Errors
    /// Returns an error if the codec rejects the settings.
    pub fn limit_window(&mut self) -> io::Result<()> {
        if let State::Zstd(encoder) = &mut self.state {
            encoder.long_distance_matching(false)?;
            encoder.window_log(ZSTD_SMALL_WINDOW)?;
        }
        Ok(())
    }

    /// Returns the output if the data is not compressed.
    pub fn plain(&self) -> Option<&W> {
        match &self.state {
            State::None(out) => Some(out),
            _ => None,
        }
    }

    /// Ends the stream and returns the output.
    ///
    /// # Errors
    /// Returns an error if writing to the output fails.
    pub fn finish(self) -> io::Result<W> {
        match self.state {
            State::None(out) => Ok(out),
            State::Members(members) => members.finish(),
            State::Zstd(encoder) => encoder.finish(),
            State::Xz(encoder) => encoder.finish(),
        }
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match &mut self.state {
            State::None(out) => out.write(buf),
            State::Members(members) => members.write(buf),
            State::Zstd(encoder) => encoder.write(buf),
            State::Xz(encoder) => encoder.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.state {
            State::None(out) => out.flush(),
            State::Members(members) => members.flush(),
            State::Zstd(encoder) => encoder.flush(),
            State::Xz(encoder) => encoder.flush(),
        }
    }
}

/// An xz encoder. When liblzma's encoder is dropped, it ends its stream, so a failed archive would
/// look complete. Therefore the output is closed before the encoder is dropped.
struct Xz<W: Write>(Option<liblzma::write::XzEncoder<Gate<W>>>);

impl<W: Write> Xz<W> {
    fn encoder(&mut self) -> io::Result<&mut liblzma::write::XzEncoder<Gate<W>>> {
        self.0.as_mut().ok_or_else(closed)
    }

    fn finish(mut self) -> io::Result<W> {
        let encoder = self.0.take().ok_or_else(closed)?;
        encoder.finish()?.0.ok_or_else(closed)
    }
}

impl<W: Write> Write for Xz<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.encoder()?.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.encoder()?.flush()
    }
}

impl<W: Write> Drop for Xz<W> {
    fn drop(&mut self) {
        if let Some(encoder) = &mut self.0 {
            encoder.get_mut().0 = None;
        }
    }
}

/// A writer that can be closed.
struct Gate<W>(Option<W>);

impl<W: Write> Write for Gate<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.as_mut().ok_or_else(closed)?.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.as_mut().ok_or_else(closed)?.flush()
    }
}

fn closed() -> io::Error {
    io::Error::other("the compressed stream is closed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_threads_of_zstd_have_one_more_worker() {
        for (threads, expected) in [(0, 0), (1, 1), (2, 3), (8, 9), (usize::MAX - 1, u32::MAX)] {
            assert_eq!(workers(threads), expected, "{threads}");
        }
    }
}
