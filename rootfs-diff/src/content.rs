//! Whether two objects are the same to whoever looks at them.

use std::fs::File;
use std::io::{self, Read};

use tartree::{Kind, Meta, Xattr};

/// Host policy, not the container's: it differs between machines without a change.
const LABEL: &[u8] = b"security.selinux";

/// Attributes that a change can be made of.
pub(crate) fn attributes(meta: &Meta) -> impl Iterator<Item = &Xattr> {
    meta.xattrs.iter().filter(|xattr| xattr.name != LABEL)
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
        && attributes(a).eq(attributes(b))
}

/// What is read of each file at a time.
const CHUNK: usize = 32 << 10;

/// Whether the first `size` bytes of two files are the same, which is how long both were when they were looked at.
pub(crate) fn same_content(a: &mut File, b: &mut File, size: u64) -> io::Result<bool> {
    let (mut left, mut right) = ([0; CHUNK], [0; CHUNK]);
    let mut rest = size;
    while rest > 0 {
        // Nothing is asked for behind the end: that would be one call more for each file.
        let want = usize::try_from(rest).unwrap_or(CHUNK).min(CHUNK);
        let n = fill(a, &mut left[..want])?;
        let m = fill(b, &mut right[..want])?;
        if left[..n] != right[..m] {
            return Ok(false);
        }
        if n < want {
            return Ok(true);
        }
        rest -= want as u64;
    }
    Ok(true)
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
