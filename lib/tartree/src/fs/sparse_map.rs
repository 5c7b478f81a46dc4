//! Finds data, holes (lseek(2), SEEK_DATA) and zero pages in files.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use rustix::fs::{SeekFrom, seek};

use crate::entry::SparseMap;
use crate::fs::zero_pages::{PAGE, SHORT, is_zeros};
use crate::parallel::policy::ZERO_SCAN;
use crate::parallel::{Ordered, Task};

/// Maximum number of segments of a map. A segment takes 40 bytes in the tar, so that no map exceeds
/// 1 MiB: readers in Go, and therefore podman and CRI-O, reject a longer map (`errSparseTooLong` in
/// archive/tar, since CVE-2025-58183).
const SEGMENTS: usize = 26_000;
/// Bytes that are read and scanned at a time.
const CHUNK: usize = 64 << 10;
/// Bytes that one task scans.
const TASK: u64 = 4 << 20;

/// Returns the map of a file of `size` bytes, or `None` if it has no hole.
pub(crate) fn map(file: &File, size: u64) -> io::Result<Option<SparseMap>> {
    let mut segments = Segments::with_holes_of(PAGE as u64);
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
    Ok(segments.map(size))
}

/// Returns the offset of the first data at or after `at` in the first `end` bytes of a file: `end`
/// if only a hole is left, and `at` if the filesystem does not report holes. Moves the file
/// position.
pub fn next_data(file: &File, at: u64, end: u64) -> u64 {
    match seek(file, SeekFrom::Data(at)) {
        Ok(data) => data.min(end),
        Err(rustix::io::Errno::NXIO) => end,
        Err(_) => at,
    }
}

/// Returns the offset of the first hole at or after `at` in the first `end` bytes of a file, or
/// `end` if there is none. Moves the file position.
pub fn next_hole(file: &File, at: u64, end: u64) -> u64 {
    seek(file, SeekFrom::Hole(at)).map_or(end, |hole| hole.min(end))
}

/// Returns the map of a file of `size` bytes, or `None` if it has no hole. Reads the complete file
/// and counts two or more zero pages as a hole. A single zero page between data is cheaper to store
/// as zeros than as another segment, both for the writer and for the reader.
///
/// # Errors
/// Returns an error if the file cannot be read.
pub fn map_of_pages(file: &File, size: u64) -> io::Result<Option<SparseMap>> {
    let holes = map(file, size)?;
    let whole = [(0, size)];
    let mut segments = Segments::with_holes_of((SHORT + PAGE) as u64);
    let mut scans = Ordered::new();
    if size > ZERO_SCAN.alone as u64 {
        scans.start_helper(&ZERO_SCAN);
    }
    let file = Arc::new(file.try_clone()?);
    let mut add = |scanned: io::Result<Vec<(u64, u64)>>| {
        scanned?.into_iter().for_each(|(at, len)| segments.add(at, len));
        Ok::<(), io::Error>(())
    };
    for &(start, len) in holes.as_ref().map_or(&whole[..], |map| &map.0) {
        let (mut at, end) = (start, start + len);
        while at < end {
            if scans.is_full() {
                scans.next().map_or(Ok(()), &mut add)?;
            }
            let until = end.min(at.saturating_add(TASK));
            scans.submit(Scan { file: Arc::clone(&file), at, end: until, data: Vec::new() });
            at = until;
        }
    }
    while let Some(scanned) = scans.next() {
        add(scanned)?;
    }
    Ok(segments.map(size))
}

/// Scans a part of a file for pages that are not zero.
struct Scan {
    file: Arc<File>,
    at: u64,
    end: u64,
    /// The segments of data found so far: offset and length.
    data: Vec<(u64, u64)>,
}

impl Task for Scan {
    type Output = io::Result<Vec<(u64, u64)>>;

    fn run(mut self) -> io::Result<Vec<(u64, u64)>> {
        let mut buffer = [0; CHUNK];
        while self.at < self.end {
            let want = usize::try_from(self.end - self.at).unwrap_or(CHUNK).min(CHUNK);
            let got = match self.file.read_at(&mut buffer[..want], self.at) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                got => got?,
            };
            if got == 0 {
                // The file has shrunk. Missing bytes count as data: writing the file reports them.
                self.add(self.end - self.at);
            }
            for page in buffer[..got].chunks(PAGE) {
                if is_zeros(page) {
                    self.at += page.len() as u64;
                } else {
                    self.add(page.len() as u64);
                }
            }
        }
        Ok(self.data)
    }
}

impl Scan {
    /// Records that the next `len` bytes are data.
    fn add(&mut self, len: u64) {
        match self.data.last_mut() {
            Some((at, before)) if *at + *before == self.at => *before += len,
            _ => self.data.push((self.at, len)),
        }
        self.at += len;
    }
}

/// Segments in ascending order. If there are too many, the smallest holes are stored as zeros.
struct Segments {
    all: Vec<(u64, u64)>,
    /// Minimum length of a hole that is kept as a hole.
    smallest: u64,
}

impl Segments {
    fn with_holes_of(smallest: u64) -> Segments {
        Segments { all: Vec::new(), smallest }
    }

    /// Returns the map, or `None` if the `size` bytes contain no hole.
    fn map(self, size: u64) -> Option<SparseMap> {
        let map = SparseMap(self.all);
        (map.data_len() < size).then_some(map)
    }

    fn add(&mut self, offset: u64, len: u64) {
        if let Some(last) = self.all.last_mut().filter(|last| offset - (last.0 + last.1) < self.smallest) {
            last.1 = offset + len - last.0;
            return;
        }
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
    use crate::format::sparse::map_text;

    #[test]
    fn a_map_fits_the_limit_of_go_and_covers_all_data() {
        let mut segments = Segments::with_holes_of(PAGE as u64);
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
    fn single_page_holes_are_kept_if_they_are_few() {
        let mut segments = Segments::with_holes_of(PAGE as u64);
        for i in 0..1000 {
            segments.add(i * 8192, 4096);
        }
        assert_eq!(segments.all.len(), 1000);
    }

    #[test]
    fn two_zero_pages_are_a_hole_at_any_position() {
        for (text, expected) in [
            ("", None),
            ("aaa", None),
            ("a.a", None),
            ("a..a", Some(&[(0, 1), (3, 1)][..])),
            ("..a", Some(&[(2, 1)])),
            ("a..", Some(&[(0, 1)])),
            ("a.a...aa", Some(&[(0, 3), (6, 2)])),
            ("....", Some(&[])),
        ] {
            // The larger cases are longer than one chunk, and the last one ends inside a page.
            for (before, more) in [(0, 0), (63, 0), (64, 5)] {
                let mut bytes = vec![b'x'; before * 4096];
                bytes.extend(text.bytes().flat_map(|b| [if b == b'.' { 0 } else { b }; 4096]));
                bytes.extend(vec![b'y'; more]);
                let file = tempfile::tempfile().unwrap();
                file.write_all_at(&bytes, 0).unwrap();
                let size = bytes.len() as u64;
                let mut is_data = vec![expected.is_none(); bytes.len()];
                for &(at, pages) in expected.unwrap_or_default() {
                    is_data[(before + at) * 4096..(before + at + pages) * 4096].fill(true);
                }
                is_data[..before * 4096].fill(true);
                let end = bytes.len() - more;
                is_data[end..].fill(true);
                let map = map_of_pages(&file, size).unwrap();
                let mut found = vec![map.is_none(); bytes.len()];
                for (at, len) in map.map(|map| map.0).unwrap_or_default() {
                    found[at as usize..(at + len) as usize].fill(true);
                }
                let hidden = (0..bytes.len()).filter(|&at| bytes[at] != 0 && !found[at]).count();
                assert_eq!(hidden, 0, "{text}: data is lost");
                if before == 0 && more == 0 {
                    assert!(found == is_data, "{text}");
                }
            }
        }
    }

    /// Covers runs of zeros that begin, end or continue at the boundary between two tasks, which
    /// two threads may scan.
    #[test]
    fn a_parallel_scan_returns_the_same_map() {
        let pages = 5 * TASK as usize / PAGE + 3;
        let is_data = |page: usize| page % 1024 / 4 % 255 != 0 && page % 7 != 3 && page / 11 % 13 != 5;
        let bytes: Vec<u8> = (0..pages).flat_map(|page| [u8::from(is_data(page)); PAGE]).collect();
        let mut expected = Segments::with_holes_of((SHORT + PAGE) as u64);
        (0..pages)
            .filter(|&page| is_data(page))
            .for_each(|page| expected.add((page * PAGE) as u64, PAGE as u64));
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&bytes, 0).unwrap();
        let size = bytes.len() as u64;
        let map = map_of_pages(&file, size).unwrap().unwrap();
        assert!(map.0.len() > 30 && map == expected.map(size).unwrap());
    }

    #[test]
    fn a_map_of_a_truncated_file_does_not_exceed_its_size() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(3 << 20).unwrap();
        file.write_all_at(b"data", 0).unwrap();
        let map = map_of_pages(&file, 4 << 20).unwrap();
        assert!(map.is_none_or(|map| map.0.iter().all(|(at, len)| at + len <= 4 << 20)));
    }
}
