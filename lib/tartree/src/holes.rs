//! Where a file has data and where it has holes, by `lseek` (lseek(2), SEEK_DATA).

use std::fs::File;
use std::io;

use rustix::fs::{SeekFrom, seek};

use crate::entry::SparseMap;

/// The map of a file of `size` bytes; `None` when it has no hole.
pub(crate) fn map(file: &File, size: u64) -> io::Result<Option<SparseMap>> {
    let mut segments = Vec::new();
    let mut at = 0;
    while at < size {
        let data = match seek(file, SeekFrom::Data(at)) {
            Ok(data) => data,
            Err(rustix::io::Errno::NXIO) => break, // only holes from here on
            Err(e) => return Err(e.into()),
        };
        let hole = seek(file, SeekFrom::Hole(data))?.min(size);
        if data < hole {
            segments.push((data, hole - data));
        }
        at = hole;
    }
    seek(file, SeekFrom::Start(0))?;
    let map = SparseMap(segments);
    Ok((map.data_len() < size).then_some(map))
}
