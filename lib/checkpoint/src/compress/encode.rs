//! Plain bytes to one of the formats.

use std::io::{self, Write};

use zstd::zstd_safe::CParameter;

use super::Compression;
use super::members::{Format, Members};

/// Data that one thread compresses at a time. Zstandard raises it where a level's window needs more. With half of it memory images
/// take 6 % longer, with twice as much each thread takes 8 MiB more memory for nothing.
const ZSTD_JOB: u32 = 4 << 20;
/// How far back zstd looks for what repeats, as a power of two: 16 MiB. libzstd and its users take up to 128 MiB when they
/// read (`ZSTD_WINDOWLOG_LIMIT_DEFAULT` in zstd.h), Go's zstd, and so podman, up to 512 MiB. The memory of a process, and files of
/// the same kind, repeat over longer distances than a level's own window: with matches looked for by hash over all of it
/// the result is 5 to 15 % smaller, in less time.
const ZSTD_WINDOW: u32 = 24;
/// One position in so many, as a power of two, is remembered for matches over such distances: half of what zstd chooses,
/// since one thread after another does that work.
const ZSTD_REMEMBERED: u32 = 8;
/// How many positions of the same hash are compared, as a power of two: zstd's 16 take a tenth more time for 0.1 % less.
const ZSTD_COMPARED: u32 = 1;
/// Where no level is given: the strategy of level 2 with the hash table and the shortest match of level 3. In two thirds of the
/// time of level 3 the result is no larger than podman's, whose zstd is about level 3. (Longer steps over what does not
/// match are faster still with noise, but make memory of real programs larger by half.)
const ZSTD_HASH: u32 = 17;
const ZSTD_MATCH: u32 = 5;
/// Levels above have windows larger than that.
const ZSTD_SMALL_WINDOWS: u32 = 19;

/// How to compress.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The format.
    pub compression: Compression,
    /// One of [`Compression::levels`]; `None` for the usual one.
    pub level: Option<u32>,
    /// Threads that compress, at least one.
    pub threads: usize,
}

/// Compresses what is written to it. Dropped without [`finish`](Encoder::finish) it leaves a stream that every reader
/// sees is cut.
pub struct Encoder<W: Write> {
    state: State<W>,
}

enum State<W: Write> {
    None(W),
    Members(Members<W>),
    Zstd(Box<zstd::stream::write::Encoder<'static, W>>),
    Xz(Xz<W>),
}

/// Workers of zstd for so many threads. To look for matches over long distances each waits for the one before it, and does nothing
/// meanwhile: with one more than there are processors, these are busy all the time (a tenth less time on two).
fn workers(threads: usize) -> u32 {
    let waiting = usize::from(threads > 1);
    u32::try_from(threads + waiting).unwrap_or(u32::MAX)
}

impl<W: Write> Encoder<W> {
    /// Compresses onto `out`.
    ///
    /// # Errors
    /// When the codec does not take the settings.
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
                // Also for one thread: the multi-threaded compressor gives the same bytes for any number of
                // workers, the single-threaded one gives others.
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
                // Each worker holds a job and its result; the library's own choice is 8 MiB and more.
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

    /// The output, where bytes reach it as they are.
    pub fn plain(&self) -> Option<&W> {
        match &self.state {
            State::None(out) => Some(out),
            _ => None,
        }
    }

    /// Ends the stream and gives the output back.
    ///
    /// # Errors
    /// When the output does not take the rest.
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

/// liblzma's encoder ends its stream when it is dropped, which would make a failed archive look complete:
/// so its output is closed first.
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
