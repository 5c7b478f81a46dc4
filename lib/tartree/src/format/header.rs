//! One 512-byte header block, with the layout of the `tar` crate.
//!
//! This module truncates values that do not fit into a field. The encoder has already put the
//! complete value into a PAX record.

use std::sync::LazyLock;

use tar::Header;

use crate::entry::Timestamp;
use crate::error::{Error, Result};
use crate::format::raw_header::{BLOCK, checksum_matches, is_zero, number};

/// The largest numbers in octal fields of 8 and of 12 bytes, including the terminator.
pub(crate) const MAX_ID: u32 = 0o7_777_777;
pub(crate) const MAX_SIZE: u64 = 0o77_777_777_777;

/// The initial state of every header. It is copied for every entry, because the `tar` crate formats
/// numbers when it creates a header.
static EMPTY: LazyLock<Header> = LazyLock::new(Header::new_ustar);

/// The fields of a header to write. Names and link targets are truncated to their fields.
pub(crate) struct Fields<'a> {
    pub name: &'a [u8],
    pub prefix: &'a [u8],
    pub link: &'a [u8],
    pub typeflag: u8,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub size: u64,
    pub mtime: Timestamp,
    pub rdev: Option<(u32, u32)>,
}

/// Appends the header block of `fields` with its checksum.
pub(crate) fn push(out: &mut Vec<u8>, fields: &Fields<'_>) {
    out.extend_from_slice(&block(fields));
}

/// Returns the header block of `fields` with its checksum. This runs for every entry, so it writes
/// numbers without the formatting machinery of the standard library.
pub(crate) fn block(fields: &Fields<'_>) -> [u8; BLOCK] {
    let mut header = EMPTY.clone();
    if let Some(ustar) = header.as_ustar_mut() {
        fill(&mut ustar.name, fields.name);
        fill(&mut ustar.prefix, fields.prefix);
        fill(&mut ustar.linkname, fields.link);
        ustar.typeflag = [fields.typeflag];
        octal(&mut ustar.mode, u64::from(fields.mode & 0o7777));
        octal(&mut ustar.uid, u64::from(fields.uid.min(MAX_ID)));
        octal(&mut ustar.gid, u64::from(fields.gid.min(MAX_ID)));
        octal(&mut ustar.size, if fields.size > MAX_SIZE { 0 } else { fields.size });
        let seconds = u64::try_from(fields.mtime.sec).unwrap_or(0);
        octal(&mut ustar.mtime, if seconds > MAX_SIZE { 0 } else { seconds });
        let (major, minor) = fields.rdev.unwrap_or((0, 0));
        octal(&mut ustar.dev_major, u64::from(major.min(MAX_ID)));
        octal(&mut ustar.dev_minor, u64::from(minor.min(MAX_ID)));
        // The checksum is computed with spaces in its own field.
        ustar.cksum = [b' '; 8];
    }
    let sum: u32 = header.as_bytes().iter().map(|&b| u32::from(b)).sum();
    octal(&mut header.as_old_mut().cksum, u64::from(sum));
    *header.as_bytes()
}

fn fill(field: &mut [u8], value: &[u8]) {
    let len = value.len().min(field.len());
    field[..len].copy_from_slice(&value[..len]);
}

/// Writes `value` as octal digits with leading zeros, followed by a NUL byte. Drops leading digits
/// that do not fit into the field.
fn octal(field: &mut [u8], mut value: u64) {
    if let Some((end, digits)) = field.split_last_mut() {
        *end = 0;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (value & 7) as u8;
            value >>= 3;
        }
    }
}

/// Splits a name of 101 to 255 bytes at a `/` into prefix and name (POSIX.1-2024, pax, "ustar
/// Interchange Format").
pub(crate) fn split_name(name: &[u8]) -> Option<(&[u8], &[u8])> {
    if name.len() <= 100 {
        return Some((b"", name));
    }
    // The last byte may be the '/' of a directory, which belongs to the name.
    let limit = name.len().min(156) - 1;
    let at = name[..=limit.min(name.len() - 2)].iter().rposition(|&b| b == b'/')?;
    let (prefix, rest) = (&name[..at], &name[at + 1..]);
    (rest.len() <= 100 && !prefix.is_empty() && prefix.len() <= 155).then_some((prefix, rest))
}

/// A header from a stream. Its checksum has been verified.
pub(crate) struct Block(Header);

impl Block {
    /// Parses a header block. Returns `None` for a zero block, which marks the end of the archive.
    pub fn parse(bytes: &[u8; BLOCK]) -> Result<Option<Block>> {
        if is_zero(bytes) {
            return Ok(None);
        }
        if !checksum_matches(bytes) {
            return Err(Error::malformed("tar header", "wrong checksum: not a tar, or a damaged tar"));
        }
        let mut header = EMPTY.clone();
        header.as_mut_bytes().copy_from_slice(bytes);
        Ok(Some(Block(header)))
    }

    pub fn typeflag(&self) -> u8 {
        self.0.as_old().linkflag[0]
    }

    /// Returns the name with the prefix of ustar. GNU headers use the bytes of the prefix for other
    /// fields.
    pub fn name(&self) -> Vec<u8> {
        let old = cut(&self.0.as_old().name);
        match self.0.as_ustar() {
            Some(ustar) if ustar.prefix[0] != 0 => [cut(&ustar.prefix), b"/", old].concat(),
            _ => old.to_vec(),
        }
    }

    pub fn link(&self) -> &[u8] {
        cut(&self.0.as_old().linkname)
    }

    pub fn mode(&self) -> Result<u32> {
        // The bits above 0o7777 are the file type, which the type flag states too.
        Ok((self.octal(&self.0.as_old().mode, "mode")? & 0o7777) as u32)
    }

    pub fn uid(&self) -> Result<u32> {
        self.id(&self.0.as_old().uid, "uid")
    }

    pub fn gid(&self) -> Result<u32> {
        self.id(&self.0.as_old().gid, "gid")
    }

    pub fn size(&self) -> Result<u64> {
        let size = self.octal(&self.0.as_old().size, "size")?;
        u64::try_from(size).map_err(|_| self.bad("size"))
    }

    pub fn mtime(&self) -> Result<i64> {
        self.octal(&self.0.as_old().mtime, "mtime")
    }

    pub fn rdev(&self) -> Result<(u32, u32)> {
        // GNU and ustar have these fields at the same offset. V7 has no devices.
        let bytes = self.0.as_bytes();
        let number = |range: std::ops::Range<usize>, what| {
            u32::try_from(self.octal(&bytes[range], what)?).map_err(|_| self.bad(what))
        };
        Ok((number(329..337, "device major")?, number(337..345, "device minor")?))
    }

    /// Reads the old GNU sparse header and appends its segments, at most four, to `segments`.
    /// Returns whether more segments follow, and the real size.
    pub fn gnu_sparse(&self, segments: &mut Vec<(u64, u64)>) -> Result<(bool, u64)> {
        let gnu = self.0.as_gnu().ok_or_else(|| self.bad("type S without a GNU header"))?;
        for segment in &gnu.sparse {
            self.sparse_segment(&segment.offset, &segment.numbytes, segments)?;
        }
        let real =
            u64::try_from(self.octal(&gnu.realsize, "real size")?).map_err(|_| self.bad("real size"))?;
        Ok((gnu.isextended[0] != 0, real))
    }

    /// Reads one extension block of an old GNU sparse header.
    pub fn gnu_sparse_extension(&self, bytes: &[u8; BLOCK], segments: &mut Vec<(u64, u64)>) -> Result<bool> {
        for segment in bytes[..21 * 24].chunks_exact(24) {
            self.sparse_segment(&segment[..12], &segment[12..], segments)?;
        }
        Ok(bytes[21 * 24] != 0)
    }

    fn sparse_segment(&self, offset: &[u8], length: &[u8], segments: &mut Vec<(u64, u64)>) -> Result<()> {
        if offset[0] == 0 && length[0] == 0 {
            return Ok(());
        }
        let number =
            |field| u64::try_from(self.octal(field, "sparse map")?).map_err(|_| self.bad("sparse map"));
        segments.push((number(offset)?, number(length)?));
        Ok(())
    }

    fn id(&self, field: &[u8], what: &str) -> Result<u32> {
        u32::try_from(self.octal(field, what)?).map_err(|_| self.bad(what))
    }

    fn octal(&self, field: &[u8], what: &str) -> Result<i64> {
        number(field).ok_or_else(|| self.bad(what))
    }

    fn bad(&self, what: &str) -> Error {
        Error::malformed("tar header", format!("{what} is invalid"))
    }
}

fn cut(field: &[u8]) -> &[u8] {
    field.split(|&b| b == 0).next().unwrap_or(b"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_only_if_both_ustar_fields_can_hold_them() {
        let name = [vec![b'a'; 90], vec![b'b'; 90]].join(&b'/');
        assert_eq!(split_name(&name), Some((&name[..90], &name[91..])));
        assert_eq!(split_name(b"short"), Some((&b""[..], &b"short"[..])));
        assert_eq!(split_name(&[b'x'; 101]), None);
        assert_eq!(split_name(&[vec![b'a'; 160], vec![b'b'; 90]].join(&b'/')), None);
        let dir = [vec![b'a'; 100], vec![b'b'; 99]].join(&b'/');
        let dir = [dir, vec![b'/']].concat();
        assert_eq!(split_name(&dir), Some((&dir[..100], &dir[101..])));
    }

    #[test]
    fn a_header_block_equals_that_of_the_tar_crate() {
        for (size, sec, id) in [(0, 0, 0), (MAX_SIZE, MAX_SIZE as i64, MAX_ID), (4711, 1_700_000_000, 1000)] {
            let mut header = Header::new_ustar();
            header.set_path("dir/name").unwrap();
            header.set_entry_type(tar::EntryType::Char);
            header.set_mode(0o4755);
            header.set_uid(u64::from(id));
            header.set_gid(u64::from(id));
            header.set_size(size);
            header.set_mtime(sec as u64);
            header.set_device_major(8).unwrap();
            header.set_device_minor(id).unwrap();
            header.set_cksum();
            let fields = Fields {
                name: b"dir/name",
                prefix: b"",
                link: b"",
                typeflag: b'3',
                mode: 0o4755,
                uid: id,
                gid: id,
                size,
                mtime: Timestamp { sec, nsec: 0 },
                rdev: Some((8, id)),
            };
            assert_eq!(block(&fields)[..], header.as_bytes()[..]);
        }
    }
}
