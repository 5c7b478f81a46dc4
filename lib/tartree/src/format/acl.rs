//! POSIX ACLs: converts between the text form of bsdtar and `GNU tar --acls` and the kernel's
//! binary attribute.
//!
//! The binary form is version 2 of linux/posix_acl_xattr.h, little endian.

use std::fmt::Write as _;

use crate::entry::Xattr;

pub(crate) const ACCESS: &[u8] = b"system.posix_acl_access";
pub(crate) const DEFAULT: &[u8] = b"system.posix_acl_default";

const VERSION: u32 = 2;
const USER_OBJ: u16 = 0x01;
const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;
const UNDEFINED_ID: u32 = u32::MAX;

/// Returns the attribute for a text such as
/// `user::rw-,user:lisa:rw-:1000,group::r--,mask::r--,other::---`.
///
/// Names are not looked up, because a name may belong to another user on the other host. Each entry
/// needs a numeric ID, in its qualifier or in a fourth field (the form of star and bsdtar). Returns
/// `None` if an entry has no ID.
pub(crate) fn from_text(text: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?;
    let mut entries = Vec::new();
    for line in text.split([',', '\n']).map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')) {
        let fields: Vec<&str> = line.split(':').map(str::trim).collect();
        let (tag, qualifier, perm) = match fields[..] {
            // setfacl's short form "mask:r--" and "other:r--" has no empty qualifier.
            [tag, perm] => (tag, "", perm),
            [tag, qualifier, perm] => (tag, qualifier, perm),
            [tag, qualifier, perm, id] => (tag, if id.is_empty() { qualifier } else { id }, perm),
            _ => return None,
        };
        let id = if qualifier.is_empty() { UNDEFINED_ID } else { qualifier.parse().ok()? };
        let tag = match (tag, qualifier.is_empty()) {
            ("user" | "u", true) => USER_OBJ,
            ("user" | "u", false) => USER,
            ("group" | "g", true) => GROUP_OBJ,
            ("group" | "g", false) => GROUP,
            ("mask" | "m", true) => MASK,
            ("other" | "o", true) => OTHER,
            _ => return None,
        };
        entries.push((tag, id, permissions(perm)?));
    }
    if entries.is_empty() {
        return None;
    }
    // The kernel requires this order (posix_acl_valid).
    entries.sort_unstable();
    let mut value = VERSION.to_le_bytes().to_vec();
    for (tag, id, perm) in entries {
        value.extend_from_slice(&tag.to_le_bytes());
        value.extend_from_slice(&perm.to_le_bytes());
        value.extend_from_slice(&id.to_le_bytes());
    }
    Some(value)
}

/// Returns `mode` with the permissions that belong to the access ACL in `value`, where the group
/// bits are the mask (acl(5)). Setting a mode after the ACL sets the mask. bsdtar writes a mode
/// whose group bits are the entry of the owning group, which would be a wrong mask.
pub(crate) fn mode(value: &[u8], mode: u32) -> u32 {
    let [mut owner, mut group, mut mask, mut other] = [None; 4];
    for (tag, perm, _) in entries(value).into_iter().flatten() {
        match tag {
            USER_OBJ => owner = Some(perm),
            GROUP_OBJ => group = Some(perm),
            MASK => mask = Some(perm),
            OTHER => other = Some(perm),
            _ => {}
        }
    }
    [(owner, 6), (mask.or(group), 3), (other, 0)].into_iter().fold(mode, |mode, (perm, shift)| match perm {
        Some(perm) => mode & !(7 << shift) | u32::from(perm & 7) << shift,
        None => mode,
    })
}

/// Returns the PAX key and the text for an attribute that is an ACL, with numeric IDs. Returns
/// `None` for other attributes and for an ACL without entries.
pub(crate) fn record(xattr: &Xattr) -> Option<(&'static [u8], String)> {
    let key: &[u8] = match &xattr.name[..] {
        ACCESS => b"SCHILY.acl.access",
        DEFAULT => b"SCHILY.acl.default",
        _ => return None,
    };
    to_text(&xattr.value).map(|text| (key, text))
}

/// Returns tag, permissions and ID of each entry, or `None` if the value is not an ACL or has no
/// entries.
fn entries(value: &[u8]) -> Option<impl Iterator<Item = (u16, u8, u32)>> {
    let (version, entries) = value.split_first_chunk::<4>()?;
    let is_one = u32::from_le_bytes(*version) == VERSION && !entries.is_empty() && entries.len() % 8 == 0;
    is_one.then(|| {
        entries.chunks_exact(8).filter_map(|entry| {
            let &[tag_low, tag_high, perm, _, a, b, c, d] = entry else { return None };
            Some((u16::from_le_bytes([tag_low, tag_high]), perm, u32::from_le_bytes([a, b, c, d])))
        })
    })
}

/// Returns the ACL with mapped IDs of its named users and groups, or `None` if the value names no
/// users or groups or is not an ACL.
///
/// # Errors
/// Returns "user" or "group" and the ID that is not mapped.
pub(crate) fn mapped(
    value: &[u8],
    user: impl Fn(u32) -> Option<u32>,
    group: impl Fn(u32) -> Option<u32>,
) -> Result<Option<Vec<u8>>, (&'static str, u32)> {
    let Some(entries) = entries(value) else { return Ok(None) };
    let mut changed: Option<Vec<u8>> = None;
    for (at, (tag, _, id)) in entries.enumerate() {
        let new = match tag {
            USER => user(id).ok_or(("user", id))?,
            GROUP => group(id).ok_or(("group", id))?,
            _ => continue,
        };
        // Each entry has 8 bytes, of which the last four are the ID.
        let end = 4 + (at + 1) * 8;
        changed.get_or_insert_with(|| value.to_vec())[end - 4..end].copy_from_slice(&new.to_le_bytes());
    }
    Ok(changed)
}

fn to_text(value: &[u8]) -> Option<String> {
    let mut text = String::new();
    for (tag, perm, id) in entries(value)? {
        let (name, has_id) = match tag {
            USER_OBJ => ("user", false),
            USER => ("user", true),
            GROUP_OBJ => ("group", false),
            GROUP => ("group", true),
            MASK => ("mask", false),
            OTHER => ("other", false),
            _ => return None,
        };
        let id = if has_id { id.to_string() } else { String::new() };
        let bit = |mask, letter| if perm & mask != 0 { letter } else { '-' };
        let comma = if text.is_empty() { "" } else { "," };
        // Writing to a String cannot fail.
        let _ = write!(text, "{comma}{name}:{id}:{}{}{}", bit(4, 'r'), bit(2, 'w'), bit(1, 'x'));
    }
    Some(text)
}

fn permissions(text: &str) -> Option<u16> {
    // GNU tar appends an "effective" comment after a tab or '#'.
    let text = text.split(['#', '\t', ' ']).next()?;
    let mut bits = 0;
    for c in text.chars() {
        bits |= match c {
            'r' => 4,
            'w' => 2,
            'x' => 1,
            '-' => 0,
            _ => return None,
        };
    }
    Some(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_gnu_tar_and_bsdtar_becomes_the_kernels_format() {
        let expected = [
            2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0, 0xe8, 3, 0, 0, 4, 0, 4, 0, 255, 255, 255,
            255, 16, 0, 4, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255,
        ];
        for text in [
            "user::rw-\nuser:1000:r--\ngroup::r--\nmask::r--\nother::---\n",
            "user::rw-,group::r--,other::---,user:lisa:r--:1000,mask::r--",
        ] {
            assert_eq!(from_text(text.as_bytes()).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn writing_and_parsing_the_text_returns_the_same_acl() {
        let text = "user::rw-,user:1000:r--,group::r--,group:4294967294:rwx,mask::r--,other::---";
        assert_eq!(to_text(&from_text(text.as_bytes()).unwrap()).unwrap(), text);
        assert_eq!(to_text(&[2, 0, 0, 0]), None);
        assert_eq!(to_text(&[1, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255]), None);
        assert_eq!(to_text(&[2, 0, 0, 0, 1, 0, 6]), None);
    }

    #[test]
    fn only_named_user_and_group_entries_are_mapped() {
        let acl = from_text(b"user::rw-,user:5:r--,user:9:rwx,group::r--,group:5:rwx,mask::r--,other::---")
            .unwrap();
        let (user, group) = (|id| Some(id + 100), |id| Some(id + 2000));
        let text = "user::rw-,user:105:r--,user:109:rwx,group::r--,group:2005:rwx,mask::r--,other::---";
        assert_eq!(to_text(&mapped(&acl, user, group).unwrap().unwrap()).unwrap(), text);
        assert_eq!(mapped(&acl, |id| (id != 9).then_some(id), group), Err(("user", 9)));
        assert_eq!(mapped(&acl, user, |_| None), Err(("group", 5)));
        let plain = from_text(b"user::rwx,group::r-x,other::r--").unwrap();
        for value in [&plain[..], b"", b"\x02\0\0", &[2, 0, 0, 0, 2, 0, 7, 0, 1]] {
            assert_eq!(mapped(value, |_| None, |_| None), Ok(None), "{value:?}");
        }
    }

    #[test]
    fn the_acl_mask_becomes_the_group_bits_of_the_mode() {
        let masked = from_text(b"user::rw-,group::r-x,other::---,user:77:rwx,mask::rw-").unwrap();
        assert_eq!(mode(&masked, 0o2657), 0o2660);
        let plain = from_text(b"user::rwx,group::r-x,other::r--").unwrap();
        assert_eq!(mode(&plain, 0), 0o754);
        assert_eq!(mode(b"", 0o4711), 0o4711);
    }

    #[test]
    fn names_without_ids_and_invalid_text_are_refused() {
        for text in ["", "user:lisa:r--", "user::rwz", "other:1:r--", "a:b:c:d:e", "user:99999999999:r--"] {
            assert!(from_text(text.as_bytes()).is_none(), "{text:?}");
        }
    }
}
