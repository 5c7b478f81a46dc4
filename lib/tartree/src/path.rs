//! Paths in an archive, which are relative and clean by construction.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;

/// A path below a root. It has no leading `/`, no empty, `.` or `..` component, and no NUL byte.
/// The path of the root is empty.
///
/// A path consists of bytes, as file names do. Its text alone cannot lead out of the root;
/// [`Root`](crate::Root) rejects symbolic links on the way.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TarPath(Vec<u8>);

/// A name that cannot be a path below a root.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {why}", Shown(name))]
pub struct Malpath {
    name: Vec<u8>,
    why: &'static str,
}

impl TarPath {
    /// Returns the path of the root.
    pub fn root() -> TarPath {
        TarPath(Vec::new())
    }

    /// Parses a member name as tar readers do: accepts `./a`, `/a`, `a/` and `a//b`, and cleans
    /// them. `/` and `.` are the root.
    ///
    /// # Errors
    /// Returns an error if the name has a component `..`, even where it does not lead out of the
    /// root (containers/storage accepts that, but no tool writes it); if it has a NUL byte; or if
    /// it is empty.
    pub fn parse(name: &[u8]) -> Result<TarPath, Malpath> {
        let refuse = |why| Err(Malpath { name: name.to_vec(), why });
        if name.is_empty() {
            return refuse("empty name");
        }
        if name.contains(&0) {
            return refuse("name with a NUL byte");
        }
        let mut clean = Vec::with_capacity(name.len());
        for component in name.split(|&b| b == b'/') {
            match component {
                b"" | b"." => {}
                b".." => return refuse("name with '..'"),
                component => {
                    if !clean.is_empty() {
                        clean.push(b'/');
                    }
                    clean.extend_from_slice(component);
                }
            }
        }
        Ok(TarPath(clean))
    }

    /// Makes a path from the bytes of a clean path, without checking them.
    pub(crate) fn of_clean(bytes: &[u8]) -> TarPath {
        TarPath(bytes.to_vec())
    }

    /// Returns the path of `name` in this directory. `name` must be a clean relative path, such as
    /// a name that readdir(3) returns.
    pub fn child(&self, name: &[u8]) -> TarPath {
        let mut path = Vec::with_capacity(self.0.len() + 1 + name.len());
        path.extend_from_slice(&self.0);
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        TarPath(path)
    }

    /// Returns whether this is the path of the root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the bytes of the path, which have no leading `/`.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the path for system calls: relative to the root, and `.` for the root.
    pub fn as_os_str(&self) -> &OsStr {
        if self.is_root() { OsStr::new(".") } else { OsStr::from_bytes(&self.0) }
    }

    /// Returns the parent and the last component, or `None` for the root.
    pub fn split(&self) -> Option<(&[u8], &OsStr)> {
        if self.is_root() {
            return None;
        }
        match self.0.iter().rposition(|&b| b == b'/') {
            Some(at) => Some((&self.0[..at], OsStr::from_bytes(&self.0[at + 1..]))),
            None => Some((b"", OsStr::from_bytes(&self.0))),
        }
    }

    /// Returns the parent, or `None` for the root.
    pub fn parent(&self) -> Option<TarPath> {
        self.split().map(|(parent, _)| TarPath(parent.to_vec()))
    }

    /// Returns whether this path is `other` or below it.
    pub fn starts_with(&self, other: &TarPath) -> bool {
        is_at_or_below(&self.0, &other.0)
    }
}

/// Returns whether `path` is `dir` or below it. Both are the bytes of clean paths.
pub(crate) fn is_at_or_below(path: &[u8], dir: &[u8]) -> bool {
    dir.is_empty() || (path.starts_with(dir) && matches!(path.get(dir.len()), None | Some(b'/')))
}

impl fmt::Display for TarPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() { f.write_str("/") } else { Shown(&self.0).fmt(f) }
    }
}

/// Formats bytes for a message: a byte that is not UTF-8 becomes `\xNN`.
pub(crate) struct Shown<'a>(pub &'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            f.write_str(chunk.valid())?;
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(name: &str) -> String {
        TarPath::parse(name.as_bytes()).unwrap().to_string()
    }

    #[test]
    fn redundant_components_are_removed() {
        for (name, clean) in [
            ("a", "a"),
            ("./a/b", "a/b"),
            ("/etc/x", "etc/x"),
            ("a//b/", "a/b"),
            ("./", "/"),
            ("/", "/"),
            (".", "/"),
        ] {
            assert_eq!(parsed(name), clean);
        }
    }

    #[test]
    fn names_that_leave_the_root_are_refused() {
        for name in ["..", "../x", "a/../b", "a/..", "/..", ""] {
            assert!(TarPath::parse(name.as_bytes()).is_err(), "{name:?}");
        }
        assert!(TarPath::parse(b"a\0b").is_err());
        assert_eq!(parsed("..a/b..../..."), "..a/b..../...");
    }

    #[test]
    fn paths_are_compared_by_component() {
        let path = |s: &str| TarPath::parse(s.as_bytes()).unwrap();
        assert!(path("a/b").starts_with(&path("a")));
        assert!(path("a").starts_with(&path("a")));
        assert!(path("a").starts_with(&TarPath::root()));
        assert!(!path("ab").starts_with(&path("a")));
    }
}
