//! PAX records: `LENGTH KEY=VALUE
//! `, split by their length and never at newlines.
//!
//! See POSIX.1-2024, pax, "pax Extended Header". A value may contain any byte, including newlines.
//! A reader that splits at newlines loses file capabilities, and an attacker can hide a `size`
//! record in a value.

use std::fmt::Write as _;

use crate::base64;
use crate::entry::{Meta, Timestamp, Xattr};
use crate::error::{Error, Result};
use crate::format::acl;
use crate::limits::{Limit, Limits};
use crate::path::Shown;

/// Appends one record. The length includes its own digits.
pub(crate) fn push(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let len = record_len(key, value.len());
    out.reserve(len);
    out.extend_from_slice(Decimal::of(len as u64, 1).as_bytes());
    out.push(b' ');
    out.extend_from_slice(key);
    out.push(b'=');
    out.extend_from_slice(value);
    out.push(b'\n');
}

/// Returns the length of a record, including its own digits.
pub(crate) fn record_len(key: &[u8], value_len: usize) -> usize {
    let rest = key.len() + value_len + 3; // space, '=', newline
    let mut total = rest + 1;
    while total != rest + digits(total) {
        total = rest + digits(total);
    }
    total
}

fn digits(n: usize) -> usize {
    n.checked_ilog10().map_or(1, |log| log as usize + 1)
}

/// A number or a time as text, written from its end. This takes a tenth of the time of the standard
/// library's formatting and needs no allocation.
pub(crate) struct Decimal {
    text: [u8; Decimal::LONGEST],
    start: usize,
}

impl Decimal {
    /// A sign, 19 digits of seconds, a point and at most 10 digits of nanoseconds.
    const LONGEST: usize = 31;

    /// Formats `n` with at least `width` digits.
    fn of(n: u64, width: usize) -> Decimal {
        let mut decimal = Decimal { text: [b'0'; Decimal::LONGEST], start: Decimal::LONGEST };
        decimal.prepend(n, width);
        decimal
    }

    fn prepend(&mut self, mut n: u64, width: usize) {
        let end = self.start;
        while n > 0 || end - self.start < width {
            self.start -= 1;
            self.text[self.start] = b'0' + (n % 10) as u8;
            n /= 10;
        }
    }

    fn prepend_byte(&mut self, byte: u8) {
        self.start -= 1;
        self.text[self.start] = byte;
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.text[self.start..]
    }
}

/// Formats a time for PAX, with nanoseconds, as sign and magnitude: half a second before 1970 is
/// `-0.5`.
pub(crate) fn time(t: Timestamp) -> Decimal {
    let (magnitude, nsec) = match (t.sec, t.nsec) {
        (sec, nsec) if sec >= 0 || nsec == 0 => (sec.unsigned_abs(), nsec),
        (sec, nsec) => ((sec + 1).unsigned_abs(), 1_000_000_000 - nsec),
    };
    let mut text = Decimal::of(0, 0);
    if nsec != 0 {
        text.prepend(u64::from(nsec), 9);
        text.prepend_byte(b'.');
    }
    text.prepend(magnitude, 1);
    if t.sec < 0 {
        text.prepend_byte(b'-');
    }
    text
}

fn parse_time(text: &str) -> Option<Timestamp> {
    let (negative, magnitude) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = magnitude.split_once('.').unwrap_or((magnitude, ""));
    let digits_only = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits_only(whole) || !digits_only(fraction) {
        return None;
    }
    let sec: i64 = whole.parse().ok()?;
    let nsec =
        fraction.bytes().chain(std::iter::repeat(b'0')).take(9).fold(0, |n, b| n * 10 + u32::from(b - b'0'));
    Some(match (negative, nsec) {
        (false, nsec) => Timestamp { sec, nsec },
        (true, 0) => Timestamp { sec: -sec, nsec: 0 },
        (true, nsec) => Timestamp { sec: -sec - 1, nsec: 1_000_000_000 - nsec },
    })
}

/// Appends the record of one extended attribute.
pub(crate) fn push_xattr(out: &mut Vec<u8>, xattr: &Xattr) {
    let mut key = Vec::with_capacity(xattr.name.len() + 20);
    if xattr.name.iter().any(|b| b"=%\0".contains(b)) {
        key.extend_from_slice(b"LIBARCHIVE.xattr.");
        url_encode(&mut key, &xattr.name);
        push(out, &key, base64::encode(&xattr.value).as_bytes());
    } else {
        key.extend_from_slice(b"SCHILY.xattr.");
        key.extend_from_slice(&xattr.name);
        push(out, &key, &xattr.value);
    }
}

/// The values for the next entry from `x` headers and from GNU's long names.
#[derive(Debug, Default)]
pub(crate) struct Extended {
    pub path: Option<Vec<u8>>,
    pub linkpath: Option<Vec<u8>>,
    /// The names in GNU's headers `L` and `K`.
    pub gnu_path: Option<Vec<u8>>,
    pub gnu_linkpath: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub mtime: Option<Timestamp>,
    pub rdev_major: Option<u32>,
    pub rdev_minor: Option<u32>,
    pub sparse: SparseRecords,
    /// Number of records read from all headers of the entry.
    records: usize,
    xattrs: Vec<Xattr>,
    libarchive_xattrs: Vec<Xattr>,
    acl_access: Option<Vec<u8>>,
    acl_default: Option<Vec<u8>>,
}

/// The GNU.sparse.* records of the three PAX forms (GNU tar manual, "Storing Sparse Files").
#[derive(Debug, Default)]
pub(crate) struct SparseRecords {
    pub major: Option<u64>,
    pub minor: Option<u64>,
    pub name: Option<Vec<u8>>,
    pub realsize: Option<u64>,
    /// Version 0.0 alternates offset and numbytes, version 0.1 has one list with commas. Both
    /// versions are stored as one flat list.
    pub numbers: Vec<u64>,
}

impl SparseRecords {
    pub fn is_used(&self) -> bool {
        self.major.is_some() || self.realsize.is_some() || !self.numbers.is_empty()
    }
}

impl Extended {
    /// Reads the payload of an `x` header.
    pub fn read(&mut self, mut payload: &[u8], limits: &Limits) -> Result<()> {
        let bad = |what: &str| Error::malformed("PAX header", what);
        while !payload.is_empty() {
            self.records += 1;
            if self.records > limits.records {
                let what = format!("more than {} records", limits.records);
                return Err(Error::limit("PAX header", Limit::Records, what));
            }
            let space = payload
                .iter()
                .take(20)
                .position(|&b| b == b' ')
                .ok_or_else(|| bad("record without a length"))?;
            let length: usize = std::str::from_utf8(&payload[..space])
                .ok()
                .filter(|s| s.bytes().all(|b| b.is_ascii_digit()))
                .and_then(|s| s.parse().ok())
                .ok_or_else(|| bad("record length is not a number"))?;
            if length <= space + 1 || length > payload.len() {
                return Err(bad("record length does not match the record"));
            }
            let (record, rest) = payload.split_at(length);
            let body = record[space + 1..]
                .strip_suffix(b"\n")
                .ok_or_else(|| bad("record does not end in a newline"))?;
            let equals = body.iter().position(|&b| b == b'=').ok_or_else(|| bad("record without '='"))?;
            let key = &body[..equals];
            if key.is_empty() || key.contains(&0) {
                // Readers differ in whether they use, ignore or reject such a record.
                return Err(bad("record with an invalid key"));
            }
            self.record(key, &body[equals + 1..], limits)?;
            payload = rest;
        }
        Ok(())
    }

    /// Uses GNU's long names as the path and link target of the entry.
    ///
    /// # Errors
    /// Returns an error if a PAX record also contains the name: GNU tar uses the last one, Go and
    /// libarchive use GNU's.
    pub fn use_gnu_names(&mut self) -> Result<()> {
        let has_sparse_name = self.sparse.name.is_some();
        let names = [
            (&mut self.path, &mut self.gnu_path, has_sparse_name),
            (&mut self.linkpath, &mut self.gnu_linkpath, false),
        ];
        for (pax, gnu, has_other) in names {
            if gnu.is_some() && (pax.is_some() || has_other) {
                return Err(Error::malformed("tar", "a PAX record and a GNU header name the same entry"));
            }
            if gnu.is_some() {
                *pax = gnu.take();
            }
        }
        Ok(())
    }

    fn record(&mut self, key: &[u8], value: &[u8], limits: &Limits) -> Result<()> {
        let name = || -> Result<Option<Vec<u8>>> {
            if value.len() > limits.name_bytes {
                return Err(Error::limit(
                    "PAX header",
                    Limit::NameBytes,
                    format!("name longer than {} bytes", limits.name_bytes),
                ));
            }
            Ok((!value.is_empty()).then(|| value.to_vec()))
        };
        match key {
            b"path" => self.path = name()?,
            b"linkpath" => self.linkpath = name()?,
            b"size" => self.size = Some(number(key, value)?),
            b"uid" => self.uid = Some(number(key, value)?),
            b"gid" => self.gid = Some(number(key, value)?),
            b"mtime" => {
                let time = std::str::from_utf8(value).ok().and_then(parse_time);
                self.mtime = Some(time.ok_or_else(|| bad_value(key, value))?);
            }
            b"SCHILY.devmajor" => self.rdev_major = Some(number(key, value)?),
            b"SCHILY.devminor" => self.rdev_minor = Some(number(key, value)?),
            b"SCHILY.acl.access" => self.acl_access = Some(value.to_vec()),
            b"SCHILY.acl.default" => self.acl_default = Some(value.to_vec()),
            b"RHT.security.selinux" => self.set_xattr(b"security.selinux".to_vec(), value),
            b"GNU.sparse.major" => self.sparse.major = Some(number(key, value)?),
            b"GNU.sparse.minor" => self.sparse.minor = Some(number(key, value)?),
            b"GNU.sparse.name" => self.sparse.name = name()?,
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => self.sparse.realsize = Some(number(key, value)?),
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => self.sparse_numbers(key, value, limits)?,
            b"GNU.sparse.map" => {
                self.sparse.numbers.clear();
                for text in value.split(|&b| b == b',').filter(|text| !text.is_empty()) {
                    self.sparse_numbers(key, text, limits)?;
                }
            }
            key => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    self.set_xattr(gnu_decode(name), value);
                } else if let Some(name) = key.strip_prefix(b"LIBARCHIVE.xattr.") {
                    let value = base64::decode(value).ok_or_else(|| bad_value(key, value))?;
                    self.libarchive_xattrs.push(Xattr { name: url_decode(name), value });
                }
            }
        }
        Ok(())
    }

    fn set_xattr(&mut self, name: Vec<u8>, value: &[u8]) {
        self.xattrs.push(Xattr { name, value: value.to_vec() });
    }

    fn sparse_numbers(&mut self, key: &[u8], text: &[u8], limits: &Limits) -> Result<()> {
        if self.sparse.numbers.len() / 2 >= limits.sparse_segments {
            return Err(Error::limit(
                "PAX header",
                Limit::SparseSegments,
                format!("more than {} sparse segments", limits.sparse_segments),
            ));
        }
        self.sparse.numbers.push(number(key, text)?);
        Ok(())
    }

    /// Moves xattrs and ACLs into `meta`, ordered by name, and sets the mode that belongs to them.
    /// If a record occurs twice, the last one takes precedence.
    pub fn take_xattrs(&mut self, meta: &mut Meta) -> Result<()> {
        let mut all = std::mem::take(&mut self.libarchive_xattrs);
        all.append(&mut self.xattrs);
        // bsdtar and GNU tar --acls write ACLs as text. The binary attribute takes precedence, as
        // it holds at least as much.
        for (text, name) in [(self.acl_access.take(), acl::ACCESS), (self.acl_default.take(), acl::DEFAULT)] {
            let Some(text) = text else { continue };
            if !all.iter().any(|x| x.name == name) {
                let value = acl::from_text(&text).ok_or_else(|| {
                    Error::malformed("PAX header", format!("bad ACL {:?}", Shown(&text).to_string()))
                })?;
                if name == acl::ACCESS {
                    meta.mode = acl::mode(&value, meta.mode);
                }
                all.push(Xattr { name: name.to_vec(), value });
            }
        }
        all.reverse();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all.dedup_by(|later, first| later.name == first.name);
        meta.xattrs = all;
        Ok(())
    }
}

fn bad_value(key: &[u8], value: &[u8]) -> Error {
    let shown = Shown(&value[..value.len().min(40)]).to_string();
    Error::malformed("PAX header", format!("{}={shown:?} is invalid", Shown(key)))
}

fn number<T: TryFrom<u64>>(key: &[u8], value: &[u8]) -> Result<T> {
    let text = std::str::from_utf8(value).ok().filter(|s| s.bytes().all(|b| b.is_ascii_digit()));
    text.and_then(|s| s.parse::<u64>().ok())
        .and_then(|n| T::try_from(n).ok())
        .ok_or_else(|| bad_value(key, value))
}

/// Decodes `%3D` and `%25`, which GNU tar writes for `=` and `%` in attribute names.
fn gnu_decode(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&first, tail)) = rest.split_first() {
        let (byte, tail) = match rest.get(..3) {
            Some(b"%3D") => (b'=', &rest[3..]),
            Some(b"%25") => (b'%', &rest[3..]),
            _ => (first, tail),
        };
        out.push(byte);
        rest = tail;
    }
    out
}

fn url_encode(out: &mut Vec<u8>, name: &[u8]) {
    for &byte in name {
        if (33..=126).contains(&byte) && byte != b'%' && byte != b'=' {
            out.push(byte);
        } else {
            let mut text = String::new();
            // Writing to a String cannot fail.
            let _ = write!(text, "%{byte:02X}");
            out.extend_from_slice(text.as_bytes());
        }
    }
}

fn url_decode(name: &[u8]) -> Vec<u8> {
    let hex = |b: u8| (b as char).to_digit(16).map(|d| d as u8);
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&first, tail)) = rest.split_first() {
        match rest {
            [b'%', a, b, tail @ ..] if hex(*a).is_some() && hex(*b).is_some() => {
                out.push(hex(*a).unwrap_or(0) << 4 | hex(*b).unwrap_or(0));
                rest = tail;
            }
            _ => {
                out.push(first);
                rest = tail;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(payload: &[u8]) -> Result<Extended> {
        let mut extended = Extended::default();
        extended.read(payload, &Limits::default())?;
        Ok(extended)
    }

    #[test]
    fn record_lengths_count_their_own_digits() {
        for value_len in 0..2000 {
            let mut out = Vec::new();
            push(&mut out, b"path", &vec![b'x'; value_len]);
            let length: usize =
                std::str::from_utf8(&out).unwrap().split(' ').next().unwrap().parse().unwrap();
            assert_eq!(length, out.len());
        }
    }

    #[test]
    fn a_newline_in_a_value_does_not_end_the_record() {
        let mut payload = Vec::new();
        push_xattr(&mut payload, &Xattr { name: b"user.x".to_vec(), value: b"\n12 size=999\n\0".to_vec() });
        push(&mut payload, b"size", b"7");
        let mut extended = read(&payload).unwrap();
        let mut meta = Meta::default();
        extended.take_xattrs(&mut meta).unwrap();
        assert_eq!(extended.size, Some(7));
        assert_eq!(meta.xattr(b"user.x"), Some(&b"\n12 size=999\n\0"[..]));
    }

    #[test]
    fn records_with_wrong_lengths_are_refused() {
        for payload in [
            &b"5 a=b\n"[..],
            b"7 a=b\n",
            b"x a=b\n",
            b"6a=b\n\n",
            b"99999999999999999999999 a=b\n",
            b"6 a=bc",
            b"5 ab\n",
            b" 6 a=b\n",
        ] {
            assert!(read(payload).is_err(), "{:?}", Shown(payload).to_string());
        }
        assert!(read(b"6 a=b\n").is_ok());
    }

    #[test]
    fn invalid_and_out_of_range_numbers_are_refused() {
        for record in [
            &b"size=-1"[..],
            b"size=18446744073709551616",
            b"uid=4294967296",
            b"uid=x",
            b"mtime=1.x",
            b"mtime=",
            b"mtime=--1",
        ] {
            let (key, value) = record.split_at(record.iter().position(|&b| b == b'=').unwrap());
            let mut payload = Vec::new();
            push(&mut payload, key, &value[1..]);
            assert!(read(&payload).is_err(), "{:?}", Shown(record).to_string());
        }
    }

    #[test]
    fn times_are_written_and_parsed_without_loss() {
        for (sec, nsec) in [
            (0, 0),
            (0, 1),
            (-1, 500_000_000),
            (-1, 0),
            (-302_032_434, 500_000_000),
            (1 << 40, 999_999_999),
            (-62_135_596_800, 1),
        ] {
            let t = Timestamp { sec, nsec };
            let text = String::from_utf8(time(t).as_bytes().to_vec()).unwrap();
            assert_eq!(parse_time(&text), Some(t), "{text}");
        }
        assert_eq!(time(Timestamp { sec: -1, nsec: 500_000_000 }).as_bytes(), b"-0.500000000");
        assert_eq!(time(Timestamp { sec: -5, nsec: 0 }).as_bytes(), b"-5");
        assert_eq!(time(Timestamp { sec: 7, nsec: 1 }).as_bytes(), b"7.000000001");
        assert_eq!(parse_time("1.5"), Some(Timestamp { sec: 1, nsec: 500_000_000 }));
        assert_eq!(parse_time("1.1234567899"), Some(Timestamp { sec: 1, nsec: 123_456_789 }));
    }

    #[test]
    fn xattr_names_with_equals_signs_are_preserved() {
        let xattr = Xattr { name: b"user.a=b%c\xff".to_vec(), value: b"\0\x01\xfe=".to_vec() };
        let mut payload = Vec::new();
        push_xattr(&mut payload, &xattr);
        assert!(payload.windows(7).all(|w| w != b"SCHILY."));
        let mut meta = Meta::default();
        read(&payload).unwrap().take_xattrs(&mut meta).unwrap();
        assert_eq!(meta.xattrs, [xattr]);
    }
}
