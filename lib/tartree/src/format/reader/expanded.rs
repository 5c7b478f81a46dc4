//! Expands the content of a sparse file, including its holes.

use std::io::{self, Read};

use crate::entry::Kind;
use crate::format::skip::Skip;

/// Reads the complete content of a file from the data that the tar stores for it. Holes are read as
/// zeros.
pub struct Expanded<C> {
    stored: C,
    /// The segments that have not been read, in reverse order.
    segments: Vec<(u64, u64)>,
    /// Bytes before the next segment.
    hole: u64,
    /// Bytes of the current segment that have not been read.
    data: u64,
    at: u64,
    size: u64,
}

impl<C> Expanded<C> {
    /// Expands `stored`, the content of an entry of this kind.
    pub fn new(kind: &Kind, stored: C) -> Expanded<C> {
        let segments = match kind {
            Kind::File { map: Some(map), .. } => map.0.iter().rev().copied().collect(),
            kind => vec![(0, kind.len())],
        };
        let mut expanded = Expanded { stored, segments, hole: 0, data: 0, at: 0, size: kind.len() };
        expanded.next_segment();
        expanded
    }

    fn next_segment(&mut self) {
        let (offset, len) = self.segments.pop().unwrap_or((self.size, 0));
        self.hole = offset.saturating_sub(self.at);
        self.data = len;
    }

    /// Advances by `n` bytes, which lie in one hole or one segment.
    fn advance(&mut self, n: u64) {
        self.at += n;
        if self.hole > 0 {
            self.hole -= n;
        } else {
            self.data -= n;
        }
        if self.hole == 0 && self.data == 0 && self.at < self.size {
            self.next_segment();
        }
    }
}

impl<C: Read> Read for Expanded<C> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let run = if self.hole > 0 { self.hole } else { self.data };
        let len = usize::try_from(run).unwrap_or(usize::MAX).min(buf.len());
        if len == 0 {
            return Ok(0);
        }
        let got = if self.hole > 0 {
            buf[..len].fill(0);
            len
        } else {
            self.stored.read(&mut buf[..len])?
        };
        self.advance(got as u64);
        Ok(got)
    }
}

/// Skipping a hole takes no I/O.
impl<C: Skip> Skip for Expanded<C> {
    fn skip(&mut self, n: u64) -> io::Result<u64> {
        let mut skipped = 0;
        while skipped < n {
            let run = if self.hole > 0 { self.hole } else { self.data };
            let len = run.min(n - skipped);
            let got = if self.hole > 0 { len } else { self.stored.skip(len)? };
            self.advance(got);
            skipped += got;
            if got == 0 {
                break;
            }
        }
        Ok(skipped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::SparseMap;

    type File = (&'static [(u64, u64)], u64, &'static [u8]);
    /// The segments, the size and the content of each file. `d` is a byte of data.
    const FILES: [File; 7] = [
        (&[], 0, b""),
        (&[], 3, b"\0\0\0"),
        (&[(0, 3)], 3, b"ddd"),
        (&[(0, 2)], 5, b"dd\0\0\0"),
        (&[(3, 2)], 5, b"\0\0\0dd"),
        (&[(1, 2), (4, 1)], 7, b"\0dd\0d\0\0"),
        (&[(1, 2), (3, 1)], 4, b"\0ddd"),
    ];

    struct Stored(Vec<u8>, usize);

    impl Read for Stored {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let got = (&self.0[self.1..]).read(buf)?;
            self.1 += got;
            Ok(got)
        }
    }

    impl Skip for Stored {
        fn skip(&mut self, n: u64) -> io::Result<u64> {
            crate::format::skip::read_over(self, n)
        }
    }

    #[test]
    fn holes_at_any_position_are_read_as_zeros() {
        for (segments, size, content) in FILES {
            let map = SparseMap(segments.to_vec());
            let stored = vec![b'd'; map.data_len() as usize];
            let kind = Kind::File { size, map: Some(map) };
            for skip in 0..=content.len() {
                let mut file = Expanded::new(&kind, Stored(stored.clone(), 0));
                assert_eq!(file.skip(skip as u64).unwrap(), skip as u64, "{segments:?}");
                let mut rest = Vec::new();
                file.read_to_end(&mut rest).unwrap();
                assert_eq!(rest, content[skip..], "{segments:?} after {skip}");
                assert_eq!(file.skip(1).unwrap(), 0);
            }
        }
    }
}
