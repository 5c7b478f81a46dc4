//! Finds filesystems that are mounted below a root. Extraction and removal enter them only if the
//! caller allows it.
//!
//! `openat2` with `RESOLVE_NO_XDEV` is the protection, because it also detects bind mounts of the
//! same filesystem. The list from mountinfo is only used to detect a mount before the first file
//! next to the mount is removed.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;

use crate::fs::stat::Status;
use crate::path::is_at_or_below;

/// Mount points below a root, as clean paths relative to it.
#[derive(Debug, Default)]
pub(crate) struct Mounts(Vec<Vec<u8>>);

impl Mounts {
    /// Reads the mounts below the directory `root`. Returns an empty list if the kernel does not
    /// list them: /proc is not mounted, or `root` is in another mount namespace.
    pub fn below(root: BorrowedFd<'_>) -> Mounts {
        let link = format!("/proc/self/fd/{}", root.as_raw_fd());
        let (Ok(path), Ok(text), Ok(status)) = (
            std::fs::read_link(link),
            std::fs::read("/proc/thread-self/mountinfo"),
            Status::at(root, OsStr::new("")),
        ) else {
            return Mounts::default();
        };
        Mounts(below(&text, path.as_os_str().as_bytes(), status.mount()))
    }

    /// Returns the first mount point at or below `path`.
    pub fn at_or_below(&self, path: &[u8]) -> Option<&[u8]> {
        self.0.iter().map(Vec::as_slice).find(|mount| is_at_or_below(mount, path))
    }

    /// Returns the mount point at or above `path`.
    pub fn above(&self, path: &[u8]) -> Option<&[u8]> {
        self.0.iter().map(Vec::as_slice).find(|mount| is_at_or_below(path, mount))
    }
}

/// Returns the mount points in `text`, a mountinfo file (proc_pid_mountinfo(5)), below the
/// directory `root` on the mount with the ID `mount`.
fn below(text: &[u8], root: &[u8], mount: u64) -> Vec<Vec<u8>> {
    let number = |field: Option<&[u8]>| std::str::from_utf8(field?).ok()?.parse::<u64>().ok();
    let mut parents = HashMap::new();
    let mut points = Vec::new();
    for line in text.split(|&b| b == b'\n') {
        let mut fields = line.split(|&b| b == b' ');
        let (Some(id), Some(parent)) = (number(fields.next()), number(fields.next())) else { continue };
        parents.insert(id, parent);
        if let Some(point) = fields.nth(2) {
            points.push((parent, unescaped(point)));
        }
    }
    let root = root.strip_suffix(b"/").unwrap_or(root);
    // A mount can be hidden by a mount on a directory above it. A mount is visible only if the
    // chain of its parent mounts leads to the mount of the root.
    let hangs_on_it = |parent: u64| {
        let mut at = Some(parent);
        (0..=parents.len()).any(|_| {
            let found = at == Some(mount);
            at = at.and_then(|id| parents.get(&id).copied());
            found
        })
    };
    let mut below: Vec<_> = points
        .into_iter()
        .filter_map(|(parent, point)| {
            let rest = point.strip_prefix(root)?.strip_prefix(b"/").filter(|rest| !rest.is_empty())?;
            hangs_on_it(parent).then(|| rest.to_vec())
        })
        .collect();
    below.sort();
    below.dedup();
    below
}

/// Decodes a field of mountinfo, in which space, tab, newline and backslash are written as three
/// octal digits.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        let code = match tail {
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..] if first == b'\\' => {
                Some((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'))
            }
            _ => None,
        };
        out.push(code.unwrap_or(first));
        rest = if code.is_some() { &tail[3..] } else { tail };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"\
20 1 8:1 / / rw - ext4 /dev/sda1 rw
21 20 0:20 / /r rw - tmpfs t rw
22 21 0:21 / /r/a\\040b rw - tmpfs t rw
23 22 8:1 /x /r/a\\040b/deep\\134 rw - ext4 /dev/sda1 rw
24 20 0:22 / /rx rw - tmpfs t rw
25 20 0:23 / /r/hidden rw - tmpfs t rw
26 21 0:24 / /r/d/e rw - tmpfs t rw
27 26 0:25 / /r/d/e rw - tmpfs t rw
junk
";

    #[test]
    fn only_mounts_visible_below_the_root_are_listed() {
        let names = |root: &[u8], mount| {
            let text = |path: Vec<u8>| String::from_utf8(path).unwrap();
            below(TEXT, root, mount).into_iter().map(text).collect::<Vec<_>>()
        };
        assert_eq!(names(b"/r", 21), ["a b", "a b/deep\\", "d/e"]);
        assert_eq!(names(b"/r/d", 21), ["e"]);
        assert_eq!(names(b"/r/d/e", 27), [""; 0]);
        // Mount 20 contains the directory /r that mount 21 covers.
        assert_eq!(names(b"/r", 20), ["a b", "a b/deep\\", "d/e", "hidden"]);
        assert_eq!(names(b"/", 20).len(), 6);
        assert_eq!(names(b"/r", 99), [""; 0]);
    }

    #[test]
    fn mounts_are_found_above_and_below_a_path() {
        let mounts = Mounts(below(TEXT, b"/r", 21));
        assert_eq!(mounts.at_or_below(b"d"), Some(&b"d/e"[..]));
        assert_eq!(mounts.at_or_below(b"d/e"), Some(&b"d/e"[..]));
        assert_eq!(mounts.at_or_below(b""), Some(&b"a b"[..]));
        assert_eq!(mounts.at_or_below(b"d/ex"), None);
        assert_eq!(mounts.above(b"d/e/f"), Some(&b"d/e"[..]));
        assert_eq!(mounts.above(b"d"), None);
    }
}
