//! Where a file has data and where it has holes, by `lseek` (lseek(2), SEEK_DATA).

use std::fs::File;
use std::io;

use rustix::fs::{SeekFrom, seek};

use crate::entry::SparseMap;

/// Segments that a map has at most: 40 bytes each in the tar, so that no map has more than 1 MiB. Readers in Go, and so podman and
/// CRI-O, refuse one that is longer (`errSparseTooLong` in archive/tar, since CVE-2025-58183).
const SEGMENTS: usize = 26_000;

/// The map of a file of `size` bytes; `None` when it has no hole.
pub(crate) fn map(file: &File, size: u64) -> io::Result<Option<SparseMap>> {
    let mut segments = Segments { all: Vec::new(), smallest: 4096 };
    let mut at = 0;
    while at < size {
        let data = match seek(file, SeekFrom::Data(at)) {
            Ok(data) => data,
            Err(rustix::io::Errno::NXIO) => break, // only holes from here on
            Err(e) => return Err(e.into()),
        };
        let hole = seek(file, SeekFrom::Hole(data))?.min(size);
        if data < hole {
            segments.add(data, hole - data);
        }
        at = hole;
    }
    seek(file, SeekFrom::Start(0))?;
    let map = SparseMap(segments.all);
    Ok((map.data_len() < size).then_some(map))
}

/// Segments in ascending order. Where they become too many, the smallest holes are taken for the zeros they read as.
struct Segments {
    all: Vec<(u64, u64)>,
    /// Bytes that a hole has at least which stays one.
    smallest: u64,
}

impl Segments {
    fn add(&mut self, offset: u64, len: u64) {
        self.all.push((offset, len));
        while self.all.len() > SEGMENTS {
            self.smallest = self.smallest.saturating_mul(2);
            let smallest = self.smallest;
            self.all.dedup_by(|next, last| {
                let joins = next.0 - (last.0 + last.1) < smallest;
                if joins {
                    last.1 = next.0 + next.1 - last.0;
                }
                joins
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sparse::map_text;

    #[test]
    fn a_map_is_never_longer_than_go_reads_and_loses_no_data() {
        let mut segments = Segments { all: Vec::new(), smallest: 4096 };
        let (mut at, mut added) = (1u64 << 62, Vec::new());
        for i in 0..100_000u64 {
            // One hole in a thousand is large.
            at += if i % 1000 == 0 { 1 << 24 } else { 4096 * (1 + i % 7) };
            added.push((at, 4096));
            segments.add(at, 4096);
            at += 4096;
        }
        let map = SparseMap(segments.all);
        assert!(map_text(&map, u64::MAX).len() <= 1 << 20);
        assert!(map.0.windows(2).all(|pair| pair[0].0 + pair[0].1 < pair[1].0));
        for (offset, len) in added {
            let at = map.0.partition_point(|&(start, _)| start <= offset) - 1;
            assert!(map.0[at].0 + map.0[at].1 >= offset + len);
        }
        let large = map.0.windows(2).filter(|pair| pair[1].0 - pair[0].0 - pair[0].1 >= 1 << 24).count();
        assert_eq!(large, 99, "the large holes stay");
    }

    #[test]
    fn holes_of_a_page_stay_where_they_are_few() {
        let mut segments = Segments { all: Vec::new(), smallest: 4096 };
        for i in 0..1000 {
            segments.add(i * 8192, 4096);
        }
        assert_eq!(segments.all.len(), 1000);
    }
}
