//! The parts of a tar header block that need no error type: size, checksum and numbers.

use std::ops::Range;

/// The size of a block, the unit of a tar.
pub(crate) const BLOCK: usize = 512;
/// Offsets of the checksum in a header.
const CHECKSUM: Range<usize> = 148..156;

/// Reports whether all bytes of the block are zero. Two such blocks end an archive.
pub(crate) fn is_zero(block: &[u8; BLOCK]) -> bool {
    block.iter().all(|&b| b == 0)
}

/// Reports whether the block contains its own checksum, as a header does.
pub(crate) fn checksum_matches(block: &[u8; BLOCK]) -> bool {
    let Some(stored) = number(&block[CHECKSUM]) else { return false };
    let sum = |value: fn(u8) -> i64| {
        let all = block.iter().map(|&b| value(b)).sum::<i64>();
        // The checksum is computed with spaces in its own field.
        let field = block[CHECKSUM].iter().map(|&b| value(b)).sum::<i64>();
        all - field + 8 * i64::from(b' ')
    };
    // Old Sun tars sum signed chars.
    stored == sum(i64::from) || stored == sum(|b| i64::from(b as i8))
}

/// Reads the number in a header field: octal digits, or GNU's base-256 (first byte 0x80 for a
/// positive number, 0xff for a negative one). Returns `None` if the field contains neither, or if
/// readers differ in what they read: libarchive ends a number at a newline, and Go skips a NUL byte
/// before the digits.
pub(crate) fn number(field: &[u8]) -> Option<i64> {
    if field[0] & 0x80 != 0 {
        let negative = field[0] & 0x40 != 0;
        let start = if negative { -1i128 } else { 0 };
        let first = if negative { field[0] } else { field[0] & 0x7f };
        let mut value = start << 8 | i128::from(first);
        for &byte in &field[1..] {
            value = value << 8 | i128::from(byte);
        }
        return i64::try_from(value).ok();
    }
    let text = field.split(|&b| b == 0).next().unwrap_or(b"");
    let blanks = text.iter().take_while(|&&b| b == b' ').count();
    let text = text[blanks..].trim_ascii_end();
    if text.is_empty() {
        return field.iter().all(|&b| matches!(b, 0 | b' ')).then_some(0);
    }
    std::str::from_utf8(text)
        .ok()
        .filter(|s| s.bytes().all(|b| b.is_ascii_digit()))
        .and_then(|s| i64::from_str_radix(s, 8).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_256_numbers_may_be_negative() {
        let field = |first: u8, value: i64| {
            let mut field = [first; 12];
            field[4..].copy_from_slice(&value.to_be_bytes());
            field
        };
        let mut positive = field(0, 1 << 40);
        positive[0] = 0x80;
        assert_eq!(number(&positive), Some(1 << 40));
        assert_eq!(number(&field(0xff, -5)), Some(-5));
        assert!(number(&[0xbf; 12]).is_none());
        assert_eq!(number(b" 644 \0  "), Some(0o644));
        assert!(number(b"0000008\0").is_none());
        assert!(number(b"-1\0\0\0\0\0\0").is_none());
        assert!(number(b"  \n  644\0").is_none());
        assert!(number(b"\x000644\0").is_none());
        assert_eq!((number(&[0; 8]), number(b"       \0")), (Some(0), Some(0)));
    }
}
