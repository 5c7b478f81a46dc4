//! The format of CRIU's image files: magic numbers, then protobuf messages, each with its length
//! (criu/include/image.h).

use prost::Message;

use crate::error::{Error, Result};

/// The largest image that is read, in bytes. The image of a process with a million mappings has 100
/// MB and is not read.
pub const IMAGE_LIMIT: u64 = 16 << 20;

/// The number that precedes the magic number of the kind, since version 2 of the images.
pub(super) const COMMON_MAGIC: u32 = 0x5456_4319;
/// The number that precedes the magic number in images that CRIU writes for its callers, such as
/// `stats-dump`.
const SERVICE_MAGIC: u32 = 0x5510_5940;

/// Decodes the messages of the image `name`.
///
/// # Errors
/// Returns an error if the image is truncated or has messages of another type.
pub fn messages<M: Message + Default>(name: &str, bytes: &[u8]) -> Result<Vec<M>> {
    payloads(name, bytes)?
        .into_iter()
        .map(|payload| M::decode(payload).map_err(|e| Error::member(name, format!("not a CRIU image: {e}"))))
        .collect::<Result<Vec<M>>>()
        .map(fitted)
}

/// Returns the list without the room for more. A checkpoint can have 10,000 processes, each with
/// several lists.
pub(super) fn fitted<T>(mut list: Vec<T>) -> Vec<T> {
    list.shrink_to_fit();
    list
}

/// Returns the encoded messages of the image `name`. Use this function if the first message has
/// another type than the following messages.
///
/// # Errors
/// Returns an error if the image is truncated.
pub fn payloads<'b>(name: &str, bytes: &'b [u8]) -> Result<Vec<&'b [u8]>> {
    let cut = || Error::member(name, "the CRIU image ends too early");
    let (magic, mut rest) = number(bytes).ok_or_else(cut)?;
    if magic == COMMON_MAGIC || magic == SERVICE_MAGIC {
        (_, rest) = number(rest).ok_or_else(cut)?;
    }
    let mut payloads = Vec::new();
    while !rest.is_empty() {
        let (size, after) = number(rest).ok_or_else(cut)?;
        // The size comes from the image, so it is checked before use and never determines an
        // allocation (go-criu panics for a wrong size).
        let (payload, after) =
            usize::try_from(size).ok().and_then(|size| after.split_at_checked(size)).ok_or_else(cut)?;
        payloads.push(payload);
        rest = after;
    }
    Ok(payloads)
}

/// Returns the magic number of the image's kind (criu/include/magic.h), or `None` if the image is
/// too short.
pub fn magic(bytes: &[u8]) -> Option<u32> {
    match number(bytes)? {
        (COMMON_MAGIC | SERVICE_MAGIC, rest) => number(rest).map(|(magic, _)| magic),
        (magic, _) => Some(magic),
    }
}

fn number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u32::from_le_bytes(*number), rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::criu::messages::PstreeEntry;

    /// The pstree.img of a busybox shell (PID 1) and its child `sleep` (PID 15), written by CRIU
    /// 4.1.1.
    const PSTREE: &[u8] = b"\x19\x43\x56\x54\x30\x30\x27\x50\x0a\0\0\0\x08\x01\x10\0\x18\x01\x20\x01\x28\x01\
        \x0a\0\0\0\x08\x0f\x10\x01\x18\x01\x20\x01\x28\x0f";

    #[test]
    fn a_real_image_is_read() {
        let tree: Vec<PstreeEntry> = messages("pstree.img", PSTREE).unwrap();
        assert_eq!(tree.iter().map(|p| (p.pid, p.ppid)).collect::<Vec<_>>(), [(1, 0), (15, 1)]);
        assert_eq!(tree[1].threads, [15]);
    }

    #[test]
    fn a_truncated_image_is_an_error_or_shorter() {
        for cut in 0..PSTREE.len() {
            let read = messages::<PstreeEntry>("pstree.img", &PSTREE[..cut]);
            assert!(read.is_err() || read.unwrap().len() < 2, "{cut}");
        }
        let lying = [&PSTREE[..8], &[0xff; 4], &[0; 16]].concat();
        assert!(messages::<PstreeEntry>("pstree.img", &lying).is_err());
    }
}
