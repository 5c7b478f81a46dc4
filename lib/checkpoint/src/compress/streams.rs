//! Input of several gzip, bzip2 or zstd streams, one after another, with optional zero padding
//! after the last stream.

use std::io::{self, BufRead, ErrorKind, Read};

use zstd::stream::raw::Operation;

/// Opens a stream at the current position of the input.
type Open<R> = fn(R) -> One<R>;

/// The largest number of empty streams in a row. No tool writes empty streams, and each takes as
/// much time as a stream with content.
const NOTHING: u32 = 1000;

/// All gzip or bzip2 streams of an input. Each stream has its own decoder, which detects the end of
/// the stream, so that zero padding after the stream is recognised. bsdtar pads the last record of
/// a compressed tar with zeros when it writes to a pipe, and tape drives do the same. gzip(1)
/// ignores the zeros, and podman rejects them.
pub(super) struct Streams<R> {
    state: State<R>,
    open: Open<R>,
    /// The number of empty streams since the last byte of content.
    nothing: u32,
}

enum State<R> {
    Within(One<R>),
    Ended,
    /// An error occurred between two streams.
    Lost,
}

/// A single stream.
pub(super) enum One<R> {
    Gzip(Box<flate2::bufread::GzDecoder<R>>),
    Bzip2(bzip2::bufread::BzDecoder<R>),
}

impl<R: BufRead> One<R> {
    pub(super) fn gzip(input: R) -> One<R> {
        One::Gzip(Box::new(flate2::bufread::GzDecoder::new(input)))
    }

    pub(super) fn bzip2(input: R) -> One<R> {
        One::Bzip2(bzip2::bufread::BzDecoder::new(input))
    }

    /// Returns the input after the stream. The stream must have ended.
    fn into_inner(self) -> R {
        match self {
            One::Gzip(decoder) => decoder.into_inner(),
            One::Bzip2(decoder) => decoder.into_inner(),
        }
    }
}

impl<R: BufRead> Read for One<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            One::Gzip(decoder) => decoder.read(buf),
            One::Bzip2(decoder) => decoder.read(buf),
        }
    }
}

impl<R: BufRead> Streams<R> {
    /// Reads the streams of `input`. `open` opens each stream.
    pub(super) fn new(input: R, open: Open<R>) -> Streams<R> {
        Streams { state: State::Within(open(input)), open, nothing: 0 }
    }

    /// Returns the state after the end of a stream: the next stream, or the end of the input, which
    /// may have zero padding.
    fn after(&self, mut input: R) -> io::Result<State<R>> {
        match peek(&mut input)?.first() {
            None => Ok(State::Ended),
            Some(0) => {
                pass_over_zeros(&mut input)?;
                Ok(State::Ended)
            }
            Some(_) => Ok(State::Within((self.open)(input))),
        }
    }
}

impl<R: BufRead> Read for Streams<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            match &mut self.state {
                State::Within(stream) => match stream.read(buf)? {
                    0 => self.nothing += 1,
                    got => {
                        self.nothing = 0;
                        return Ok(got);
                    }
                },
                State::Ended => return Ok(0),
                State::Lost => return Err(io::Error::other("cannot read further after an error")),
            }
            if self.nothing > NOTHING {
                return Err(io::Error::new(
                    ErrorKind::InvalidData,
                    format!("more than {NOTHING} empty streams in a row"),
                ));
            }
            if let State::Within(stream) = std::mem::replace(&mut self.state, State::Lost) {
                self.state = self.after(stream.into_inner())?;
            }
        }
    }
}

/// All zstd frames of an input, with optional zero padding after the last frame. One decoder
/// context reads all frames, since there may be one frame for each file (`zstd:chunked`).
pub(super) struct Frames<R> {
    input: R,
    decoder: zstd::stream::raw::Decoder<'static>,
    /// Whether the decoder is inside a frame.
    within: bool,
}

impl<R: BufRead> Frames<R> {
    /// Reads the frames of `input`. Their windows may have at most two to the power of `window_log`
    /// bytes.
    pub(super) fn new(input: R, window_log: u32) -> io::Result<Frames<R>> {
        let mut decoder = zstd::stream::raw::Decoder::new()?;
        decoder.set_parameter(zstd::zstd_safe::DParameter::WindowLogMax(window_log))?;
        Ok(Frames { input, decoder, within: false })
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            let bytes = self.input.fill_buf()?;
            let at_end = bytes.is_empty();
            if !self.within && bytes.first().is_none_or(|&byte| byte == 0) {
                pass_over_zeros(&mut self.input)?;
                return Ok(0);
            }
            let done = self.decoder.run_on_buffers(bytes, buf)?;
            self.input.consume(done.bytes_read);
            self.within = done.remaining != 0;
            match done.bytes_written {
                0 if at_end => return Err(ErrorKind::UnexpectedEof.into()),
                0 => {}
                written => return Ok(written),
            }
        }
    }
}

/// Returns the next bytes without consuming them. The slice is empty at the end of the input.
fn peek(input: &mut impl BufRead) -> io::Result<&[u8]> {
    while let Err(e) = input.fill_buf() {
        if e.kind() != ErrorKind::Interrupted {
            return Err(e);
        }
    }
    input.fill_buf()
}

fn pass_over_zeros(input: &mut impl BufRead) -> io::Result<()> {
    loop {
        let padding = peek(input)?;
        if padding.is_empty() {
            return Ok(());
        }
        if padding.iter().any(|&byte| byte != 0) {
            return Err(io::Error::new(
                ErrorKind::InvalidData,
                "expected only zeros after the stream, found other data",
            ));
        }
        let length = padding.len();
        input.consume(length);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Compression, Decoder, Encoder, Settings};
    use std::io::{self, Read, Write};

    fn packed(compression: Compression, data: &[u8]) -> Vec<u8> {
        let mut encoder =
            Encoder::new(Vec::new(), &Settings { compression, level: None, threads: 1 }).unwrap();
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn unpacked(packed: &[u8]) -> io::Result<String> {
        let mut out = String::new();
        // The buffers have one byte, since a stream may end anywhere in a buffer.
        let mut decoder = Decoder::new(io::BufReader::with_capacity(1, packed))?;
        decoder.read_to_string(&mut out)?;
        Ok(out)
    }

    const ALL: [Compression; 4] = [Compression::Gzip, Compression::Zstd, Compression::Xz, Compression::Bzip2];

    #[test]
    fn zero_padding_after_the_last_stream_is_ignored() {
        for compression in ALL {
            let mut padded = [packed(compression, b"one "), packed(compression, b"two")].concat();
            padded.resize(10240, 0);
            assert_eq!(unpacked(&padded).unwrap(), "one two", "{compression}");
        }
    }

    #[test]
    fn other_data_after_the_last_stream_is_an_error() {
        for compression in ALL {
            let stream = packed(compression, b"text");
            for rest in [&b"x"[..], b"\0\0\0\0x", b"\0\0\0\0\x1f\x8b\x08"] {
                assert!(unpacked(&[&stream[..], rest].concat()).is_err(), "{compression}: {rest:?}");
            }
        }
    }

    #[test]
    fn empty_streams_are_skipped() {
        for compression in ALL {
            let nothing = packed(compression, b"");
            let all = [&nothing[..], &packed(compression, b"text"), &nothing, &nothing].concat();
            assert_eq!(unpacked(&all).unwrap(), "text", "{compression}");
        }
    }

    /// pzstd starts its output with a skippable frame.
    #[test]
    fn skippable_frames_are_skipped_at_any_position() {
        let skippable = [&0x184d_2a50_u32.to_le_bytes()[..], &5u32.to_le_bytes(), b"hello"].concat();
        assert_eq!(Compression::detect(&skippable), Compression::Zstd);
        let frame = packed(Compression::Zstd, b"text");
        let all = [&skippable[..], &frame, &skippable, &skippable, &frame, &skippable].concat();
        assert_eq!(unpacked(&all).unwrap(), "texttext");
    }

    #[test]
    fn too_many_empty_streams_are_rejected() {
        for compression in [Compression::Gzip, Compression::Bzip2] {
            let many = packed(compression, b"").repeat(2000);
            let e = unpacked(&many).unwrap_err().to_string();
            assert!(e.contains("more than 1000 empty streams in a row"), "{compression}: {e}");
        }
        let many = packed(Compression::Zstd, b"").repeat(100_000);
        assert_eq!(unpacked(&many).unwrap(), "");
    }

    #[test]
    fn reading_after_an_error_fails_again() {
        let bytes = [packed(Compression::Gzip, b"text"), b"\0\0x".to_vec()].concat();
        let mut decoder = Decoder::new(&bytes[..]).unwrap();
        assert!(io::copy(&mut decoder, &mut io::sink()).is_err());
        assert!(decoder.read(&mut [0]).is_err());
    }
}
