//! The messages of CRIU's images as lists of fields, for code that reads few of the fields or must
//! keep fields that it does not know. The rest of this folder decodes messages into types.

use crate::error::{Error, Result};

/// A field of a protobuf message.
pub(super) struct Field<'b> {
    /// The number of the field.
    pub number: u64,
    /// The bytes of the field, including its tag.
    pub raw: &'b [u8],
    /// The content of a string or message, or the bytes of a number of fixed size.
    pub content: &'b [u8],
    /// The value of a number of variable size, else 0.
    pub value: u64,
}

/// Splits an image into its magic numbers and its messages.
pub(super) fn entries<'b>(name: &str, image: &'b [u8]) -> Result<(&'b [u8], Vec<&'b [u8]>)> {
    /// The number that precedes the magic number of the kind, since version 2 of the images.
    const COMMON_MAGIC: [u8; 4] = 0x5456_4319_u32.to_le_bytes();
    let head = if image.starts_with(&COMMON_MAGIC) { 8 } else { 4 };
    let (head, mut rest) = image.split_at_checked(head).ok_or_else(|| damaged(name))?;
    let mut entries = Vec::new();
    while let Some((size, after)) = rest.split_first_chunk() {
        let size = usize::try_from(u32::from_le_bytes(*size)).map_err(|_| damaged(name))?;
        let (entry, after) = after.split_at_checked(size).ok_or_else(|| damaged(name))?;
        entries.push(entry);
        rest = after;
    }
    if rest.is_empty() { Ok((head, entries)) } else { Err(damaged(name)) }
}

/// Splits a message into its fields.
pub(super) fn fields<'b>(name: &str, message: &'b [u8]) -> Result<Vec<Field<'b>>> {
    let mut fields = Vec::new();
    each(message, &|| damaged(name), |field| {
        fields.push(field);
        Ok(())
    })?;
    Ok(fields)
}

/// Calls `found` with each field of a message, for a message that may have too many fields for a
/// list. `damage` creates the error for a damaged message.
pub(super) fn each<'b>(
    message: &'b [u8],
    damage: &dyn Fn() -> Error,
    mut found: impl FnMut(Field<'b>) -> Result<()>,
) -> Result<()> {
    let mut rest = message;
    while !rest.is_empty() {
        let start = rest;
        let tag = varint(&mut rest).ok_or_else(damage)?;
        let mut value = 0;
        let content;
        let length = match tag & 7 {
            0 => varint(&mut rest).map(|number| {
                value = number;
                0
            }),
            1 => Some(8),
            2 => varint(&mut rest).and_then(|length| usize::try_from(length).ok()),
            5 => Some(4),
            _ => None,
        };
        (content, rest) = length.and_then(|n| rest.split_at_checked(n)).ok_or_else(damage)?;
        let raw = &start[..start.len() - rest.len()];
        found(Field { number: tag >> 3, raw, content, value })?;
    }
    Ok(())
}

/// Returns the number in the last field `number`. The last field of a number is valid (protobuf,
/// Encoding: Last One Wins).
pub(super) fn number(fields: &[Field<'_>], number: u64) -> Option<u64> {
    fields.iter().rfind(|field| field.number == number).map(|field| field.value)
}

/// Returns the content of the last field `number`.
pub(super) fn content<'b>(fields: &[Field<'b>], number: u64) -> Option<&'b [u8]> {
    fields.iter().rfind(|field| field.number == number).map(|field| field.content)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

pub(super) fn put_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

pub(super) fn damaged(name: &str) -> Error {
    Error::member(format!("checkpoint/{name}"), "damaged CRIU image")
}
