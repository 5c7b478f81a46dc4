//! Compression of archives and tars. The format of an input is detected by its first bytes. The
//! format of an output is selected by name.
//!
//! The compressed bytes depend on the format and the level, but not on the number of threads: gzip
//! and bzip2 are written as members with a fixed amount of data, and zstd and xz split their input
//! in the same way.

mod bound;
mod decode;
mod encode;
mod members;
mod streams;

use std::fmt;
use std::str::FromStr;

pub use bound::Bound;
pub(crate) use bound::Meter;
pub use decode::Decoder;
pub use encode::{Encoder, Settings};

/// A compression format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// A plain tar.
    #[default]
    None,
    /// gzip, with one or more members.
    Gzip,
    /// zstd, with one or more frames.
    Zstd,
    /// xz.
    Xz,
    /// bzip2, with one or more streams.
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
    /// The number of bytes that [`detect`](Compression::detect) needs.
    pub const MAGIC: usize = 6;

    /// Detects the format by the magic number, as podman does. Data without a known magic number is
    /// not compressed. The file name is not used.
    pub fn detect(first: &[u8]) -> Compression {
        match first {
            [0x1f, 0x8b, 0x08, ..] => Compression::Gzip,
            // The second pattern is a skippable frame of zstd, with which the output of pzstd
            // begins.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Compression::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0x00, ..] => Compression::Xz,
            [b'B', b'Z', b'h', ..] => Compression::Bzip2,
            _ => Compression::None,
        }
    }

    /// Returns the name of the format for `--compress`.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(c, _)| *c == self).map_or("none", |(_, name)| name)
    }

    /// Returns the names of all formats.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|(_, name)| *name)
    }

    /// Returns the valid levels and the default level, or `None` for an uncompressed tar.
    pub fn levels(self) -> Option<(std::ops::RangeInclusive<u32>, u32)> {
        match self {
            Compression::None => None,
            Compression::Gzip => Some((1..=9, 6)),
            // Up to level 19 the window has 16 MiB. Level 22 needs 128 MiB, the default limit of
            // decompressors.
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
        found.map(|(c, _)| *c).ok_or_else(|| "expected none, gzip, zstd, xz or bzip2".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    const ALL: [Compression; 5] =
        [Compression::None, Compression::Gzip, Compression::Zstd, Compression::Xz, Compression::Bzip2];

    /// Returns three mebibytes of compressible data, which is more than one member.
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
    fn output_is_detected_and_decompressed() {
        let data = sample();
        for compression in ALL {
            let packed = compress(compression, 1, &data);
            assert_eq!(Compression::detect(&packed), compression);
            assert_eq!(decompress(&packed).unwrap(), data, "{compression}");
            assert_eq!(compression.name().parse(), Ok(compression));
        }
    }

    #[test]
    fn the_output_does_not_depend_on_the_threads() {
        let data = sample();
        for compression in ALL {
            assert!(compress(compression, 1, &data) == compress(compression, 3, &data), "{compression}");
        }
    }

    #[test]
    fn zstd_finds_repeats_at_a_distance_of_12_mebibytes() {
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
    fn empty_input_becomes_a_valid_stream() {
        for compression in ALL {
            let packed = compress(compression, 1, b"");
            assert_eq!(Compression::detect(&packed), compression);
            assert_eq!(decompress(&packed).unwrap(), b"");
        }
    }

    #[test]
    fn truncation_is_an_error_and_streams_may_follow() {
        let data = sample();
        for compression in &ALL[1..] {
            let packed = compress(*compression, 1, &data);
            assert!(decompress(&packed[..packed.len() - 3]).is_err(), "{compression}");
            let twice = [&packed[..], &packed[..]].concat();
            assert_eq!(decompress(&twice).unwrap().len(), 2 * data.len(), "{compression}");
        }
    }

    #[test]
    fn a_dropped_encoder_leaves_an_incomplete_stream() {
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
    fn a_window_above_128_mebibytes_is_rejected() {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(28).unwrap();
        // The encoder is flushed before the size is known, so that the frame declares the full
        // window.
        encoder.write_all(b"x").unwrap();
        encoder.flush().unwrap();
        let packed = encoder.finish().unwrap();
        assert!(decompress(&packed).is_err());
    }
}
