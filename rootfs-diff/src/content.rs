//! Whether two objects are the same to whoever looks at them.

use std::fs::File;
use std::io::{self, Read};

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
        }
        Ok(true)
    }
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
