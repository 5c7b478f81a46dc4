//! Compression of the whole archive: told by its first bytes when read, chosen by name when written.
//!
//! The bytes written depend on the format and level, never on the number of threads: gzip and bzip2 are
//! written as members of a fixed amount of data each, zstd and xz split their input the same way.

mod bound;
mod decode;
mod encode;
mod members;
mod streams;

use std::fmt;
use std::str::FromStr;

pub use bound::Bound;
pub use decode::Decoder;
pub use encode::{Encoder, Settings};

/// How an archive is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// A plain tar.
    #[default]
    None,
    /// gzip, any number of members.
    Gzip,
    /// zstd, any number of frames.
    Zstd,
    /// xz.
    Xz,
    /// bzip2, any number of streams.
    Bzip2,
}

const NAMES: [(Compression, &str); 5] = [
    (Compression::None, "none"),
    (Compression::Gzip, "gzip"),
    (Compression::Zstd, "zstd"),
    (Compression::Xz, "xz"),
    (Compression::Bzip2, "bzip2"),
];

impl Compression {
    /// Bytes that [`detect`](Compression::detect) wants to see.
    pub const MAGIC: usize = 6;

    /// Told by the magic, as podman tells it; anything else is a plain tar. The file's name does not matter.
    pub fn detect(first: &[u8]) -> Compression {
        match first {
            [0x1f, 0x8b, 0x08, ..] => Compression::Gzip,
            // A skippable frame, as pzstd begins with, is one of zstd's too.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Compression::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0x00, ..] => Compression::Xz,
            [b'B', b'Z', b'h', ..] => Compression::Bzip2,
            _ => Compression::None,
        }
    }

    /// Its name, as `--compress` takes it.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(c, _)| *c == self).map_or("none", |(_, name)| name)
    }

    /// All names.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|(_, name)| *name)
    }

    /// The levels there are, and the one taken when none is given.
    pub fn levels(self) -> Option<(std::ops::RangeInclusive<u32>, u32)> {
        match self {
            Compression::None => None,
            Compression::Gzip => Some((1..=9, 6)),
            // Up to 19 the window is 16 MiB; 22 wants 128 MiB, the most that is taken by default.
            Compression::Zstd => Some((1..=22, 2)),
            Compression::Xz => Some((0..=9, 6)),
            Compression::Bzip2 => Some((1..=9, 9)),
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Compression {
    type Err = String;

    fn from_str(name: &str) -> Result<Compression, String> {
        let found = NAMES.iter().find(|(_, known)| *known == name);
        found.map(|(c, _)| *c).ok_or_else(|| "none, gzip, zstd, expected xz or bzip2".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    const ALL: [Compression; 5] =
        [Compression::None, Compression::Gzip, Compression::Zstd, Compression::Xz, Compression::Bzip2];

    /// Three mebibytes, so that there is more than one member, that compress but not to nothing.
    fn sample() -> Vec<u8> {
        (0..3u32 << 20).map(|i| (i.wrapping_mul(2_654_435_761) >> 28) as u8).collect()
    }

    fn compress(compression: Compression, threads: usize, data: &[u8]) -> Vec<u8> {
        let settings = Settings { compression, level: None, threads };
        let mut encoder = Encoder::new(Vec::new(), &settings).unwrap();
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn decompress(data: &[u8]) -> std::io::Result<Vec<u8>> {
        let mut out = Vec::new();
        Decoder::new(data)?.read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn what_is_written_is_read_again_and_told_by_its_magic() {
        let data = sample();
        for compression in ALL {
            let packed = compress(compression, 1, &data);
            assert_eq!(Compression::detect(&packed), compression);
            assert_eq!(decompress(&packed).unwrap(), data, "{compression}");
            assert_eq!(compression.name().parse(), Ok(compression));
        }
    }

    #[test]
    fn the_bytes_do_not_depend_on_the_number_of_threads() {
        let data = sample();
        for compression in ALL {
            assert!(compress(compression, 1, &data) == compress(compression, 3, &data), "{compression}");
        }
    }

    #[test]
    fn zstd_finds_what_repeats_after_twelve_mebibytes() {
        let mut state = 1u64;
        let noise: Vec<u8> = (0..12 << 20)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 56) as u8
            })
            .collect();
        for level in [None, Some(3)] {
            let settings = Settings { compression: Compression::Zstd, level, threads: 2 };
            let mut encoder = Encoder::new(Vec::new(), &settings).unwrap();
            encoder.write_all(&noise).unwrap();
            encoder.write_all(&noise).unwrap();
            let packed = encoder.finish().unwrap();
            assert!(packed.len() < 13 << 20, "{} bytes at level {level:?}", packed.len());
        }
    }

    #[test]
    fn nothing_is_still_a_stream_of_its_format() {
        for compression in ALL {
            let packed = compress(compression, 1, b"");
            assert_eq!(Compression::detect(&packed), compression);
            assert_eq!(decompress(&packed).unwrap(), b"");
        }
    }

    #[test]
    fn a_cut_stream_is_an_error_and_a_second_one_goes_on() {
        let data = sample();
        for compression in &ALL[1..] {
            let packed = compress(*compression, 1, &data);
            assert!(decompress(&packed[..packed.len() - 3]).is_err(), "{compression}");
            let twice = [&packed[..], &packed[..]].concat();
            assert_eq!(decompress(&twice).unwrap().len(), 2 * data.len(), "{compression}");
        }
    }

    #[test]
    fn an_encoder_that_is_dropped_does_not_close_its_stream() {
        let data = sample();
        for compression in &ALL[1..] {
            let mut out = Vec::new();
            let settings = Settings { compression: *compression, level: None, threads: 1 };
            let mut encoder = Encoder::new(&mut out, &settings).unwrap();
            encoder.write_all(&data).unwrap();
            drop(encoder);
            assert!(decompress(&out).map_or(true, |read| read.len() < data.len()), "{compression}");
        }
    }

    #[test]
    fn a_window_above_128_mebibytes_is_refused() {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(28).unwrap();
        // Streamed without a known size, so that the frame asks for the whole window.
        encoder.write_all(b"x").unwrap();
        encoder.flush().unwrap();
        let packed = encoder.finish().unwrap();
        assert!(decompress(&packed).is_err());
    }
}
