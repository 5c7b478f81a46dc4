//! Detects which runtime created CRIU's images by the keys of external mounts, and converts images
//! for another runtime.
//!
//! A runtime hides a file such as `/proc/kcore` under a bind mount of `/dev/null`. CRIU dumps that
//! mount with a key that the runtime passes to it, and the runtime that restores must pass the same
//! key. runc's key is `/dev/null` for all hidden files, and crun's key is the path of the hidden
//! file. Therefore each runtime fails to restore images of the other runtime: "No mapping for
//! 123:(null) mountpoint". The images do not differ otherwise.

use super::raw::{Field, content, damaged, entries, fields, put_varint};
use crate::error::{Error, Result};

/// A runtime with known keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    /// runc.
    Runc,
    /// crun.
    Crun,
}

impl Maker {
    /// Returns the name of the runtime.
    pub fn name(self) -> &'static str {
        match self {
            Maker::Runc => "runc",
            Maker::Crun => "crun",
        }
    }

    /// Returns the runtime with this name, or the runtime whose program has this path.
    pub fn of(runtime: &str) -> Option<Maker> {
        let name = runtime.rsplit('/').next().unwrap_or(runtime);
        [Maker::Runc, Maker::Crun].into_iter().find(|maker| maker.name() == name)
    }
}

/// The largest `mountpoints-N.img` that is read, in bytes. For a container with a hundred mounts,
/// the image has 10 KB.
pub const LIMIT: u64 = 8 << 20;

/// Returns whether `name` is the name of an image with the mounts of a namespace.
pub fn is_mountpoints(name: &str) -> bool {
    let number = name.strip_prefix("mountpoints-").and_then(|rest| rest.strip_suffix(".img"));
    number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// The fields of CRIU's `mnt_entry` (mnt.proto).
const ROOT: u64 = 6;
const MOUNTPOINT: u64 = 7;
const EXT_KEY: u64 = 18;

const DEV_NULL: &[u8] = b"/dev/null";

/// Returns the runtime that created the images. Returns `None` if no key depends on the runtime;
/// any runtime can then restore the images.
///
/// # Errors
/// Returns an error if the image is damaged.
pub fn maker(name: &str, image: &[u8]) -> Result<Option<Maker>> {
    let (_, entries) = entries(name, image)?;
    let mut makers = entries.iter().filter_map(|entry| hidden_by(&fields(name, entry).ok()?));
    Ok(makers.next())
}

/// Converts the keys of hidden files for the runtime `to`.
///
/// # Errors
/// Returns an error if the image is damaged, or has a mount that only the runtime that created it
/// can restore.
pub fn convert(name: &str, image: &[u8], to: Maker) -> Result<Vec<u8>> {
    let (head, entries) = entries(name, image)?;
    let mut converted = head.to_vec();
    for entry in entries {
        let fields = fields(name, entry)?;
        let entry = match hidden_by(&fields) {
            Some(from) if from != to => with_key(name, &fields, to)?,
            _ => entry.to_vec(),
        };
        let size = u32::try_from(entry.len()).map_err(|_| damaged(name))?;
        converted.extend_from_slice(&size.to_le_bytes());
        converted.extend_from_slice(&entry);
    }
    Ok(converted)
}

/// Returns the runtime whose key the mount has, if the mount hides a file or directory in /proc or
/// /sys.
fn hidden_by(fields: &[Field<'_>]) -> Option<Maker> {
    let (root, at, key) = (content(fields, ROOT)?, content(fields, MOUNTPOINT)?, content(fields, EXT_KEY)?);
    if !at.starts_with(b"/proc/") && !at.starts_with(b"/sys/") {
        return None;
    }
    let is_null = root == b"/null" || root == DEV_NULL;
    match key {
        DEV_NULL if is_null => Some(Maker::Runc),
        key if is_null && key == at => Some(Maker::Crun),
        // Since version 1.24, crun hides a directory under an empty directory of its own
        // (containers/crun#1859).
        key if key.ends_with(b"/.empty-directory") => Some(Maker::Crun),
        _ => None,
    }
}

fn with_key(name: &str, fields: &[Field<'_>], to: Maker) -> Result<Vec<u8>> {
    let at = content(fields, MOUNTPOINT).unwrap_or_default();
    let is_directory =
        fields.iter().any(|f| f.number == EXT_KEY && f.content.ends_with(b"/.empty-directory"));
    if is_directory {
        let at = String::from_utf8_lossy(at).into_owned();
        return Err(Error::member(
            format!("checkpoint/{name}"),
            format!("{at}: only crun can restore this mount"),
        ));
    }
    let key = if to == Maker::Runc { DEV_NULL } else { at };
    let mut entry: Vec<u8> =
        fields.iter().filter(|f| f.number != EXT_KEY).flat_map(|f| f.raw).copied().collect();
    // The tag has the wire type of bytes (2).
    put_varint(&mut entry, EXT_KEY << 3 | 2);
    put_varint(&mut entry, key.len() as u64);
    entry.extend_from_slice(key);
    Ok(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "mountpoints-13.img";

    /// Returns an image of mounts, each with its root, mount point and key.
    fn image(mounts: &[(&str, &str, Option<&str>)]) -> Vec<u8> {
        let mut image = [0x5456_4319_u32.to_le_bytes(), 0x5531_2832_u32.to_le_bytes()].concat();
        for (root, at, key) in mounts {
            let mut entry = vec![0x08, 0x05];
            for (number, text) in [(ROOT, Some(*root)), (MOUNTPOINT, Some(*at)), (EXT_KEY, *key)] {
                let Some(text) = text else { continue };
                put_varint(&mut entry, number << 3 | 2);
                put_varint(&mut entry, text.len() as u64);
                entry.extend_from_slice(text.as_bytes());
            }
            image.extend_from_slice(&(entry.len() as u32).to_le_bytes());
            image.extend_from_slice(&entry);
        }
        image
    }

    #[test]
    fn the_key_of_a_hidden_file_names_the_runtime() {
        #[rustfmt::skip]
        let cases = [
            (("/null", "/proc/keys", Some("/dev/null")), Some(Maker::Runc)),
            (("/dev/null", "/sys/firmware/x", Some("/dev/null")), Some(Maker::Runc)),
            (("/null", "/proc/keys", Some("/proc/keys")), Some(Maker::Crun)),
            (("/x", "/sys/firmware", Some("/run/crun/.empty-directory")), Some(Maker::Crun)),
            (("/", "/proc/acpi", None), None),
            (("/null", "/dev/null", Some("/dev/null")), None),
            (("/etc/hosts", "/etc/hosts", Some("/etc/hosts")), None),
            (("/sys", "/proc/sys", None), None),
        ];
        for (mount, expected) in cases {
            assert_eq!(maker(NAME, &image(&[mount])).unwrap(), expected, "{mount:?}");
        }
        assert_eq!(maker(NAME, &image(&[])).unwrap(), None);
    }

    #[test]
    fn keys_are_converted_in_both_directions() {
        let hosts = ("/x", "/etc/hosts", Some("/etc/hosts"));
        let crun = image(&[hosts, ("/null", "/proc/keys", Some("/proc/keys")), ("/", "/", None)]);
        let runc = image(&[hosts, ("/null", "/proc/keys", Some("/dev/null")), ("/", "/", None)]);
        assert_eq!(convert(NAME, &crun, Maker::Runc).unwrap(), runc);
        assert_eq!(convert(NAME, &runc, Maker::Crun).unwrap(), crun);
        assert_eq!(convert(NAME, &crun, Maker::Crun).unwrap(), crun);
        let directory = image(&[("/x", "/sys/firmware", Some("/run/crun/.empty-directory"))]);
        let error = convert(NAME, &directory, Maker::Runc).unwrap_err().to_string();
        assert!(error.contains("/sys/firmware: only crun can restore this mount"), "{error}");
    }

    #[test]
    fn a_truncated_image_is_an_error() {
        let whole = image(&[("/null", "/proc/keys", Some("/proc/keys"))]);
        for cut in 0..whole.len() {
            // An image that ends after its magic numbers has no mounts, but is complete.
            assert_eq!(convert(NAME, &whole[..cut], Maker::Runc).is_err(), cut != 8, "{cut}");
        }
        let mut endless = whole.clone();
        endless[12..].fill(0xff);
        assert!(convert(NAME, &endless, Maker::Runc).is_err());
    }

    #[test]
    fn runtimes_are_recognized_by_name_and_path() {
        assert_eq!(Maker::of("/usr/bin/crun"), Some(Maker::Crun));
        assert_eq!(Maker::of("runc"), Some(Maker::Runc));
        assert_eq!(Maker::of("youki"), None);
        assert!(is_mountpoints("mountpoints-13.img") && !is_mountpoints("mountpoints-.img"));
    }

    #[test]
    fn a_mount_with_another_root_or_key_hides_nothing() {
        for mount in [
            ("/x", "/proc/keys", Some("/dev/null")),
            ("/x", "/proc/keys", Some("/proc/keys")),
            ("/null", "/proc/keys", Some("/proc/kcore")),
            ("/null", "/process", Some("/process")),
        ] {
            assert_eq!(maker(NAME, &image(&[mount])).unwrap(), None, "{mount:?}");
        }
    }
}
