//! Sparse maps in a tar: writes GNU's PAX form 1.0 and reads all four forms.
//!
//! See the GNU tar manual, "Storing Sparse Files". In form 1.0 the map precedes the data, as
//! decimal lines padded to a block, so that the length of the header does not depend on the map.

use crate::entry::SparseMap;
use crate::error::{Error, Result};
use crate::format::raw_header::BLOCK;
use crate::limits::{Limit, Limits};

/// Returns the text of the map of a file of `size` bytes in form 1.0, padded to blocks.
pub(crate) fn map_text(map: &SparseMap, size: u64) -> Vec<u8> {
    // An empty segment closes a hole at the end, as in GNU tar. Without it libarchive truncates the
    // file there.
    let open_end = map.0.last().is_none_or(|(offset, len)| offset + len < size);
    let end = open_end.then_some((size, 0));
    let mut text = format!("{}\n", map.0.len() + usize::from(open_end)).into_bytes();
    for (offset, len) in map.0.iter().chain(&end) {
        text.extend_from_slice(format!("{offset}\n{len}\n").as_bytes());
    }
    text.resize(text.len().next_multiple_of(BLOCK), 0);
    text
}

/// Reads a map of form 1.0 through `next_block`. Returns the map and its length in bytes.
pub(crate) fn read_map(
    mut next_block: impl FnMut(&mut [u8; BLOCK]) -> Result<()>,
    limits: &Limits,
) -> Result<(Vec<(u64, u64)>, u64)> {
    let bad = || Error::malformed("sparse map", "not a list of numbers");
    let mut block = [0; BLOCK];
    let mut used = BLOCK;
    let mut taken = 0u64;
    let mut number = || -> Result<u64> {
        let mut value: u64 = 0;
        let mut any = false;
        loop {
            if used == BLOCK {
                next_block(&mut block)?;
                taken += BLOCK as u64;
                used = 0;
            }
            let byte = block[used];
            used += 1;
            match byte {
                b'0'..=b'9' => {
                    any = true;
                    value = value
                        .checked_mul(10)
                        .and_then(|v| v.checked_add(u64::from(byte - b'0')))
                        .ok_or_else(bad)?;
                }
                b'\n' if any => return Ok(value),
                _ => return Err(bad()),
            }
        }
    };
    let count = number()?;
    if count > limits.sparse_segments as u64 {
        let what = format!("more than {} segments", limits.sparse_segments);
        return Err(Error::limit("sparse map", Limit::SparseSegments, what));
    }
    let mut segments = Vec::new();
    for _ in 0..count {
        segments.push((number()?, number()?));
    }
    Ok((segments, taken))
}

/// Builds a map of segments from the input: ascending, within `size`, and exactly `stored` bytes in
/// total.
pub(crate) fn checked(segments: Vec<(u64, u64)>, size: u64, stored: u64) -> Result<SparseMap> {
    let bad = |what| Error::malformed("sparse map", what);
    let (mut end, mut sum) = (0u64, 0u64);
    for &(offset, len) in &segments {
        if offset < end {
            return Err(bad("segments overlap or are out of order"));
        }
        end = offset
            .checked_add(len)
            .filter(|&end| end <= size)
            .ok_or_else(|| bad("segment beyond the end of the file"))?;
        sum = sum.checked_add(len).ok_or_else(|| bad("segments too long"))?;
    }
    if sum != stored {
        return Err(bad("segments and stored bytes differ"));
    }
    // GNU tar ends a map with an empty segment at the end of the file.
    Ok(SparseMap(segments.into_iter().filter(|&(_, len)| len > 0).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Result<(Vec<(u64, u64)>, u64)> {
        let mut blocks = text.chunks(BLOCK);
        let limits = Limits { sparse_segments: 100, ..Limits::default() };
        read_map(
            |block| {
                let next = blocks.next().ok_or_else(|| Error::Truncated { object: "test".into() })?;
                *block = [0; BLOCK];
                block[..next.len()].copy_from_slice(next);
                Ok(())
            },
            &limits,
        )
    }

    #[test]
    fn writing_and_reading_a_map_returns_the_same_map() {
        for count in [0u64, 1, 2, 60, 99] {
            let map = SparseMap((0..count).map(|i| (i * 10_000_000_000, i + 1)).collect());
            let end = map.0.last().map_or(0, |(offset, len)| offset + len);
            let text = map_text(&map, end);
            if count > 0 {
                assert_eq!(read(&text).unwrap(), (map.0.clone(), text.len() as u64));
            }
            let text = map_text(&map, end + 1);
            let closed = [map.0, vec![(end + 1, 0)]].concat();
            assert_eq!(read(&text).unwrap(), (closed, text.len() as u64));
        }
    }

    #[test]
    fn invalid_and_overlapping_maps_are_refused() {
        assert!(read(b"101\n").is_err());
        assert!(read(b"1\n5\n").is_err());
        assert!(read(b"x\n").is_err());
        assert!(read(b"99999999999999999999\n").is_err());
        assert!(checked(vec![(0, 10), (5, 10)], 100, 20).is_err());
        assert!(checked(vec![(95, 10)], 100, 10).is_err());
        assert!(checked(vec![(u64::MAX, 2)], u64::MAX, 2).is_err());
        assert!(checked(vec![(0, 10)], 100, 11).is_err());
        assert_eq!(checked(vec![(0, 10), (100, 0)], 100, 10).unwrap(), SparseMap(vec![(0, 10)]));
    }
}
