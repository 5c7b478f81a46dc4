//! Decompresses a stream of any format.

use std::io::{self, BufRead, Chain, Cursor, Read};

use tartree::Exceeded;

use super::Compression;
use super::bound::{Bound, Meter};
use super::streams::{Frames, One, Streams};

type Peeked<R> = Meter<Chain<Cursor<Vec<u8>>, R>>;

/// Decompresses all members, frames or streams of an input. Detects the format by the magic number.
pub struct Decoder<R: BufRead> {
    state: State<R>,
    compression: Compression,
    bound: Bound,
}

enum State<R: BufRead> {
    None(Peeked<R>),
    Streams(Streams<Peeked<R>>),
    Zstd(Frames<Peeked<R>>),
    /// liblzma's decoder handles several streams and padding.
    Xz(liblzma::bufread::XzDecoder<Peeked<R>>),
}

impl<R: BufRead> Decoder<R> {
    /// Detects the format of `input`. The default [`Bound`] limits the decompressed size.
    ///
    /// # Errors
    /// Returns an error if the input cannot be read.
    pub fn new(input: R) -> io::Result<Decoder<R>> {
        Decoder::bounded(input, Bound::default())
    }

    /// Detects the format of `input`. `bound` limits the decompressed size; streams of one archive
    /// may share it. The size of an uncompressed input is not limited.
    ///
    /// # Errors
    /// Returns an error if the input cannot be read.
    pub fn bounded(mut input: R, bound: Bound) -> io::Result<Decoder<R>> {
        let mut first = Vec::new();
        input.by_ref().take(Compression::MAGIC as u64).read_to_end(&mut first)?;
        let compression = Compression::detect(&first);
        let input = bound.meter(Cursor::new(first).chain(input));
        let state = match compression {
            Compression::None => State::None(input),
            Compression::Gzip => State::Streams(Streams::new(input, One::gzip)),
            Compression::Zstd => State::Zstd(Frames::new(input, bound.window_log())?),
            Compression::Bzip2 => State::Streams(Streams::new(input, One::bzip2)),
            Compression::Xz => {
                let flags = liblzma::stream::CONCATENATED;
                let stream = liblzma::stream::Stream::new_stream_decoder(bound.xz_memory(), flags)?;
                State::Xz(liblzma::bufread::XzDecoder::new_stream(input, stream))
            }
        };
        Ok(Decoder { state, compression, bound })
    }

    /// Returns the format that was detected.
    pub fn compression(&self) -> Compression {
        self.compression
    }
}

impl<R: BufRead> Read for Decoder<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let got = match &mut self.state {
            State::None(input) => return input.read(buf),
            State::Streams(decoder) => decoder.read(buf),
            State::Zstd(decoder) => decoder.read(buf),
            State::Xz(decoder) => decoder.read(buf),
        };
        let got = got.map_err(|e| match e.kind() {
            io::ErrorKind::Interrupted => e,
            // The error comes from the stream that contains this stream.
            _ if Exceeded::in_error(&e).is_some() => e,
            _ if lacks_memory(&e) => io::Error::other(self.bound.memory_exceeded(self.compression)),
            io::ErrorKind::UnexpectedEof => {
                io::Error::new(e.kind(), format!("the {} stream ends too early", self.compression))
            }
            kind => io::Error::new(kind, format!("{}: {e}", self.compression)),
        })?;
        self.bound.count_decompressed(got)?;
        Ok(got)
    }
}

/// Returns whether the decompressor needs more memory than its limit.
fn lacks_memory(e: &io::Error) -> bool {
    let xz = e.get_ref().and_then(|e| e.downcast_ref::<liblzma::stream::Error>());
    // The zstd crate keeps only the text of the error ZSTD_error_frameParameter_windowTooLarge.
    matches!(xz, Some(liblzma::stream::Error::MemLimit))
        || e.to_string() == "Frame requires too much memory for decoding"
}
