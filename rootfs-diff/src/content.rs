//! Whether two objects are the same to whoever looks at them.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use tartree::{Kind, Meta, Status, Xattr};

/// Host policy, not the container's: it differs between machines without a change.
pub(crate) const LABEL: &[u8] = b"security.selinux";

/// Attributes that a change can be made of.
pub(crate) fn attributes(all: &[Xattr]) -> impl Iterator<Item = &Xattr> {
    all.iter().filter(|xattr| xattr.name != LABEL)
}

/// Whether all attributes are the same that a change can be made of.
pub(crate) fn same_attributes(a: &[Xattr], b: &[Xattr]) -> bool {
    attributes(a).eq(attributes(b))
}

/// Whether nothing differs that one call tells of both: attributes, targets of links and content may still.
pub(crate) fn same_status(a: &Status, b: &Status) -> bool {
    a.file_type() == b.file_type()
        && (a.is_dir() || (a.size(), a.rdev()) == (b.size(), b.rdev()))
        && (a.is_symlink() || a.mode() == b.mode())
        && (a.uid(), a.gid(), a.mtime()) == (b.uid(), b.gid(), b.mtime())
}

/// Everything but a file's content.
pub(crate) fn same_metadata(a: (&Kind, &Meta), b: (&Kind, &Meta)) -> bool {
    let same_kind = match (a.0, b.0) {
        // Where the holes are does not show.
        (Kind::File { size: a, .. }, Kind::File { size: b, .. }) => a == b,
        (a, b) => a == b,
    };
    let is_link = matches!(a.0, Kind::Symlink { .. });
    let (a, b) = (a.1, b.1);
    same_kind
        && (is_link || a.mode == b.mode)
        && (a.uid, a.gid, a.mtime) == (b.uid, b.gid, b.mtime)
        && same_attributes(&a.xattrs, &b.xattrs)
}

/// What is read of each file at a time: both fit into a second-level cache.
const CHUNK: usize = 64 << 10;

/// Room for content that is compared.
pub(crate) struct Buffers {
    left: Box<[u8]>,
    right: Box<[u8]>,
}

impl Buffers {
    pub fn new() -> Buffers {
        Buffers { left: vec![0; CHUNK].into(), right: vec![0; CHUNK].into() }
    }

    /// Whether the first `size` bytes of two files are the same, which is how long both were when they were looked at.
    pub fn same_content(&mut self, a: &mut File, b: &mut File, size: u64) -> io::Result<bool> {
        let mut rest = size;
        while rest > 0 {
            // Nothing is asked for behind the end: that would be one call more for each file.
            let want = usize::try_from(rest).unwrap_or(CHUNK).min(CHUNK);
            let n = fill(a, &mut self.left[..want])?;
            let m = fill(b, &mut self.right[..want])?;
            if self.left[..n] != self.right[..m] {
                return Ok(false);
            }
            if n < want {
                return Ok(true);
            }
            rest -= want as u64;
            if self.left[..n].iter().all(|&byte| byte == 0) {
                rest = pass_over_holes(a, b, size, rest)?;
            }
        }
        Ok(true)
    }
}

/// Goes on in both files where one of them has data again, for a file can have terabytes of holes; gives what is then left of `size`.
fn pass_over_holes(a: &mut File, b: &mut File, size: u64, rest: u64) -> io::Result<u64> {
    let at = size - rest;
    let next = tartree::next_data(a, at, size).min(tartree::next_data(b, at, size));
    a.seek(SeekFrom::Start(next))?;
    b.seek(SeekFrom::Start(next))?;
    Ok(size - next)
}

fn fill(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
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
    fn holes_of_terabytes_are_passed_over_and_data_between_them_is_compared() {
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
    fn zeros_that_were_written_are_the_same_as_a_hole() {
        let zeros = vec![0; 300_000];
        assert!(same(1 << 20, &[(0, &zeros), (500_000, b"x")], &[(500_000, b"x")]));
        assert!(!same(1 << 20, &[(0, &zeros), (500_000, b"x")], &[(500_001, b"x")]));
    }
}
