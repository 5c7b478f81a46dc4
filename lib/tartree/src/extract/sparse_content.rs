//! Reads the data of a file without its holes, in the order in which a tar stores it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use crate::entry::SparseMap;

/// A reader of the data of a file.
pub(super) struct SparseContent {
    file: File,
    /// The segments that are not yet read, the next one last.
    segments: Vec<(u64, u64)>,
    /// The number of bytes that are left of the current segment.
    left: u64,
}

impl SparseContent {
    /// Reads the segments of `map`, or the complete file if there is no map.
    pub fn new(file: File, map: Option<&SparseMap>) -> SparseContent {
        let (segments, left) = match map {
            Some(map) => (map.0.iter().rev().copied().collect(), 0),
            None => (Vec::new(), u64::MAX),
        };
        SparseContent { file, segments, left }
    }
}

impl Read for SparseContent {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            let Some((at, len)) = self.segments.pop() else { return Ok(0) };
            self.file.seek(SeekFrom::Start(at))?;
            self.left = len;
        }
        let read = (&self.file).take(self.left).read(buffer)?;
        self.left -= read as u64;
        Ok(read)
    }
}
