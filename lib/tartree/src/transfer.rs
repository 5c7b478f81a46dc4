//! Bytes of a file to an output inside the kernel, where they need no touching.

use std::fs::File;
use std::os::fd::BorrowedFd;

use rustix::fs::{FileType, copy_file_range, fstat};
use rustix::io::Errno;
use rustix::pipe::{SpliceFlags, fcntl_getpipe_size, splice};

/// Fewer bytes are read and written: gathered with others they cost fewer calls.
pub(crate) const WORTH_IT: u64 = 256 << 10;
/// What one call is asked for. A signal is answered between two.
const STEP: u64 = 16 << 20;

/// Moves up to `n` bytes, from where `file` stands to where `output` stands, and gives how many. The others are to be read and
/// written: the end of the file, what the file systems cannot do between them, and errors, which that way shows as its own.
///
/// When it returns, what was moved is what the file held: a copy in a file, or behind others in a pipe that has been emptied
/// since. For a pipe is given references to the pages of the file, and whoever writes into these writes into the
/// pipe; so the last of them are left to be copied, as many as fill the pipe. A change that is looked for after that
/// cannot slip in between.
pub fn transfer(file: &File, output: BorrowedFd<'_>, n: u64) -> u64 {
    let Ok(status) = fstat(output) else { return 0 };
    match FileType::from_raw_mode(status.st_mode) {
        FileType::Fifo => {
            let Ok(capacity) = fcntl_getpipe_size(output) else { return 0 };
            let spliced = n.saturating_sub(capacity as u64);
            repeat(spliced, |step| splice(file, None, output, None, step, SpliceFlags::empty()))
        }
        FileType::RegularFile => repeat(n, |step| copy_file_range(file, None, output, None, step)),
        // To a socket, too, go references that last longer than anybody knows.
        _ => 0,
    }
}

/// Moves `n` bytes by `step`, which says how many it moved of those it is asked for.
fn repeat(n: u64, mut step: impl FnMut(usize) -> rustix::io::Result<usize>) -> u64 {
    let mut moved = 0;
    while moved < n {
        match step((n - moved).min(STEP) as usize) {
            Ok(0) => break,
            Ok(got) => moved += got as u64,
            Err(Errno::INTR) => {}
            Err(_) => break,
        }
    }
    moved
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek, SeekFrom, Write};
    use std::os::fd::AsFd;

    fn sample() -> (File, Vec<u8>) {
        let bytes: Vec<u8> = (0..3_000_000u32).flat_map(|i| (i ^ i >> 7).to_le_bytes()).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        (file, bytes)
    }

    #[test]
    fn a_file_takes_all_from_where_both_stand_and_no_more_than_there_is() {
        let (mut file, bytes) = sample();
        file.seek(SeekFrom::Start(1000)).unwrap();
        let mut out = tempfile::tempfile().unwrap();
        out.write_all(b"before").unwrap();
        assert_eq!(transfer(&file, out.as_fd(), 5_000_001), 5_000_001);
        assert_eq!(file.stream_position().unwrap(), 5_001_001);
        assert_eq!(transfer(&file, out.as_fd(), 1 << 40), bytes.len() as u64 - 5_001_001);
        assert_eq!(transfer(&file, out.as_fd(), 1), 0);
        let mut copy = Vec::new();
        out.seek(SeekFrom::Start(0)).unwrap();
        out.read_to_end(&mut copy).unwrap();
        assert!(copy == [&b"before"[..], &bytes[1000..]].concat());
    }

    #[test]
    fn what_cannot_be_written_to_is_left_to_others() {
        let (mut file, _) = sample();
        file.seek(SeekFrom::Start(0)).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        let append = File::options().append(true).create(true).open(&path).unwrap();
        let read_only = File::open(&path).unwrap();
        for out in [append, read_only] {
            assert_eq!(transfer(&file, out.as_fd(), 1 << 20), 0);
            assert_eq!(file.stream_position().unwrap(), 0);
        }
    }

    #[test]
    fn a_pipe_holds_no_page_of_the_file_once_the_rest_is_written() {
        let (mut file, bytes) = sample();
        file.seek(SeekFrom::Start(0)).unwrap();
        let (mut reader, mut writer) = std::io::pipe().unwrap();
        let capacity = fcntl_getpipe_size(&writer).unwrap();
        let reading = std::thread::spawn(move || {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).unwrap();
            all
        });
        let moved = transfer(&file, writer.as_fd(), bytes.len() as u64) as usize;
        assert_eq!(moved, bytes.len() - capacity);
        writer.write_all(&bytes[moved..]).unwrap();
        // Too late for the pipe.
        file.set_len(0).unwrap();
        file.write_all(&vec![0; bytes.len()]).unwrap();
        drop(writer);
        assert!(reading.join().unwrap() == bytes);
    }
}
