//! Compares the content of two files.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

/// Number of bytes that are read of each file at a time. Two such buffers fit into a second-level
/// cache.
const CHUNK: usize = 64 << 10;

/// Buffers for the content of two files.
pub(super) struct Buffers {
    left: Box<[u8]>,
    right: Box<[u8]>,
}

impl Buffers {
    pub fn new() -> Buffers {
        Buffers { left: vec![0; CHUNK].into(), right: vec![0; CHUNK].into() }
    }

    /// Returns whether the first `size` bytes of two files are equal. `size` is the size that
    /// statx(2) reported for both.
    ///
    /// # Errors
    /// Returns any errno of read(2) or lseek(2).
    pub fn same_content(&mut self, a: &mut File, b: &mut File, size: u64) -> io::Result<bool> {
        let mut rest = size;
        while rest > 0 {
            // Never requests bytes after the end, which would cost one more call for each file.
            let want = usize::try_from(rest).unwrap_or(CHUNK).min(CHUNK);
            let n = fill(a, &mut self.left[..want])?;
            let m = fill(b, &mut self.right[..want])?;
            if self.left[..n] != self.right[..m] {
                return Ok(false);
            }
            rest -= want as u64;
            // If the files have shrunk, this skips to their end.
            if self.left[..n].iter().all(|&byte| byte == 0) {
                rest = skip_common_hole(a, b, size, rest)?;
            }
        }
        Ok(true)
    }
}

/// Moves both files to the next offset at which either file has data, since a file may have
/// terabytes of holes. Returns how much of `size` remains to be compared.
fn skip_common_hole(a: &mut File, b: &mut File, size: u64, rest: u64) -> io::Result<u64> {
    let at = size - rest;
    let next = tartree::next_data(a, at, size).min(tartree::next_data(b, at, size));
    a.seek(SeekFrom::Start(next))?;
    b.seek(SeekFrom::Start(next))?;
    Ok(size - next)
}

/// Reads until the buffer is full or the file ends. Returns the number of bytes read.
fn fill(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::time::{Duration, Instant};

    fn sparse(size: u64, data: &[(u64, &[u8])]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.set_len(size).unwrap();
        for &(at, bytes) in data {
            file.seek(SeekFrom::Start(at)).unwrap();
            file.write_all(bytes).unwrap();
        }
        file.rewind().unwrap();
        file
    }

    fn same(size: u64, a: &[(u64, &[u8])], b: &[(u64, &[u8])]) -> bool {
        Buffers::new().same_content(&mut sparse(size, a), &mut sparse(size, b), size).unwrap()
    }

    #[test]
    fn holes_of_terabytes_are_skipped_and_data_is_compared() {
        const SIZE: u64 = 8 << 40;
        let started = Instant::now();
        let data: &[(u64, &[u8])] = &[(0, b"a"), (4 << 40, b"middle"), (SIZE - 1, b"z")];
        assert!(same(SIZE, data, data));
        assert!(same(SIZE, &[], &[]));
        assert!(!same(SIZE, data, &data[..2]));
        assert!(!same(SIZE, &data[1..], data));
        assert!(!same(SIZE, data, &[data[0], (4 << 40, b"Middle"), data[2]]));
        assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    }

    #[test]
    fn written_zeros_are_equal_to_a_hole() {
        let zeros = vec![0; 300_000];
        assert!(same(1 << 20, &[(0, &zeros), (500_000, b"x")], &[(500_000, b"x")]));
        assert!(!same(1 << 20, &[(0, &zeros), (500_000, b"x")], &[(500_001, b"x")]));
    }

    #[test]
    fn a_difference_is_found_at_the_ends_of_each_chunk() {
        let size = 3 * CHUNK as u64;
        let data = vec![7; 3 * CHUNK];
        for at in [0, CHUNK - 1, CHUNK, 2 * CHUNK - 1, 2 * CHUNK, 3 * CHUNK - 1] {
            let mut other = data.clone();
            other[at] = 8;
            assert!(!same(size, &[(0, &data)], &[(0, &other)]), "{at}");
            // Bytes after the size that statx(2) reported are not compared.
            let compared = (at as u64).max(1);
            let mut buffers = Buffers::new();
            let (mut a, mut b) = (sparse(size, &[(0, &data)]), sparse(size, &[(0, &other)]));
            let expected = compared <= at as u64;
            assert_eq!(buffers.same_content(&mut a, &mut b, compared).unwrap(), expected, "{at}");
            assert_eq!(a.stream_position().unwrap(), compared, "{at}");
        }
    }

    #[test]
    fn files_that_shrink_are_compared_to_their_ends() {
        let (full, half) = (vec![7; 2 * CHUNK], vec![7; CHUNK + 100]);
        let size = full.len() as u64;
        let file = |data: &[u8]| sparse(data.len() as u64, &[(0, data)]);
        let same =
            |a: &[u8], b: &[u8]| Buffers::new().same_content(&mut file(a), &mut file(b), size).unwrap();
        assert!(same(&half, &half));
        assert!(!same(&half, &full));
        assert!(!same(&full, &half));
        assert!(same(b"", b""));
    }

    /// Returns the results in turn, and then the end of the file.
    struct Results(Vec<io::Result<&'static [u8]>>);

    impl Read for Results {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let Some(result) = self.0.pop() else { return Ok(0) };
            result?.read(buffer)
        }
    }

    #[test]
    fn short_and_interrupted_reads_are_repeated() {
        let error = |kind: io::ErrorKind| Err(io::Error::from(kind));
        let interrupted = || error(io::ErrorKind::Interrupted);
        let mut buffer = [0; 5];
        let mut results = Results(vec![Ok(b"de"), interrupted(), Ok(b"bc"), Ok(b"a"), interrupted()]);
        assert_eq!(fill(&mut results, &mut buffer).unwrap(), 5);
        assert_eq!(&buffer, b"abcde");
        assert_eq!(fill(&mut Results(vec![Ok(b"xyz")]), &mut buffer).unwrap(), 3);
        assert_eq!(&buffer, b"xyzde");
        let mut fails = Results(vec![error(io::ErrorKind::Other), Ok(b"x")]);
        assert_eq!(fill(&mut fails, &mut buffer).unwrap_err().kind(), io::ErrorKind::Other);
    }
}
