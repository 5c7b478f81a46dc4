//! `deleted.files` and `deleted.files0`: the paths that were deleted from the root file system.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, SeqAccess, Visitor};
use tartree::{Limits, TarPath};

use crate::error::{Error, Result};
use crate::member::DELETED_LIMIT;

/// The largest list that is read, in bytes.
pub const LIMIT: u64 = DELETED_LIMIT;
/// The maximum number of paths in one list. Each path takes memory in addition to its bytes.
const MAX_PATHS: usize = 1 << 20;

/// The contents of `deleted.files` and `deleted.files0`. A document that would be empty is `None`.
pub type Documents = (Option<Vec<u8>>, Option<Vec<u8>>);

/// Returns the two documents for these paths: a JSON array of the paths that are UTF-8, and
/// NUL-separated bytes for the other paths. A document that would be empty is `None`. The paths in
/// the documents are absolute, as podman writes them.
///
/// # Errors
/// Returns an error if [`read`] or [`read0`] would reject a list.
pub fn write<'a>(paths: impl IntoIterator<Item = &'a TarPath>) -> Result<Documents> {
    let mut text: Vec<String> = Vec::new();
    let (mut raw, mut raw_paths) = (Vec::new(), 0);
    for path in paths {
        if path.as_bytes().len() >= Limits::default().name_bytes {
            return Err(Error::member("deleted.files", format!("a path of {} bytes", path.as_bytes().len())));
        }
        match std::str::from_utf8(path.as_bytes()) {
            Ok(path) => text.push(format!("/{path}")),
            // In JSON, Go would replace the invalid bytes by U+FFFD, and a reader would delete
            // another file.
            Err(_) => {
                raw_paths += 1;
                raw.push(b'/');
                raw.extend_from_slice(path.as_bytes());
                raw.push(0);
            }
        }
    }
    let json = (!text.is_empty()).then(|| {
        let mut json = serde_json::to_vec_pretty(&text).unwrap_or_default();
        json.push(b'\n');
        json
    });
    let raw = (!raw.is_empty()).then_some(raw);
    for (name, list, paths) in [("deleted.files", &json, text.len()), ("deleted.files0", &raw, raw_paths)] {
        let bytes = list.as_ref().map_or(0, Vec::len) as u64;
        if paths > MAX_PATHS || bytes > LIMIT {
            let what =
                format!("{paths} paths in {bytes} bytes; readers accept at most {MAX_PATHS} in {LIMIT}");
            return Err(Error::member(name, what));
        }
    }
    Ok((json, raw))
}

/// Parses `deleted.files`: a JSON array of paths, or `null`, which Go writes for an empty list.
/// Accepts relative paths, duplicates and any order.
///
/// # Errors
/// Returns an error if the document is not such a list, or if a path is the root or leads out of
/// the root.
pub fn read(json: &[u8]) -> Result<Vec<TarPath>> {
    let bad = |what: String| Error::member("deleted.files", what);
    let list: Option<Paths> = serde_json::from_slice(json).map_err(|e| bad(e.to_string()))?;
    Ok(list.map(|list| list.0).unwrap_or_default())
}

/// The paths of a JSON array. Each string is converted to a path while the array is parsed, so that
/// the memory holds the list only once.
struct Paths(Vec<TarPath>);

impl<'de> Deserialize<'de> for Paths {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Paths, D::Error> {
        deserializer.deserialize_seq(List)
    }
}

struct List;

impl<'de> Visitor<'de> for List {
    type Value = Paths;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of paths")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<Paths, A::Error> {
        let mut paths = Vec::new();
        while let Some(path) = seq.next_element::<Cow<'_, str>>()? {
            push(&mut paths, path.as_bytes()).map_err(A::Error::custom)?;
        }
        Ok(Paths(paths))
    }
}

/// Parses `deleted.files0`.
///
/// # Errors
/// Returns an error if a path is the root or leads out of the root.
pub fn read0(bytes: &[u8]) -> Result<Vec<TarPath>> {
    let bad = |what: String| Error::member("deleted.files0", what);
    let mut paths = Vec::new();
    for path in bytes.split(|&b| b == 0).filter(|path| !path.is_empty()) {
        push(&mut paths, path).map_err(bad)?;
    }
    Ok(paths)
}

fn push(paths: &mut Vec<TarPath>, path: &[u8]) -> std::result::Result<(), String> {
    if paths.len() == MAX_PATHS {
        return Err(format!("more than {MAX_PATHS} paths"));
    }
    if path.len() > Limits::default().name_bytes {
        return Err(format!("a path of {} bytes", path.len()));
    }
    let path = TarPath::parse(path).map_err(|e| e.to_string())?;
    if path.is_root() {
        return Err("/: the root itself cannot be deleted".into());
    }
    paths.push(path);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(name: &[u8]) -> TarPath {
        TarPath::parse(name).unwrap()
    }

    #[test]
    fn paths_with_any_bytes_are_read_back() {
        let paths = [path(b"a/b"), path(b"\"\\\n"), path(b"x\xff/y"), path("ü".as_bytes())];
        let (json, raw) = write(&paths).unwrap();
        let mut back = read(&json.unwrap()).unwrap();
        back.extend(read0(&raw.unwrap()).unwrap());
        back.sort();
        let mut all = paths.to_vec();
        all.sort();
        assert_eq!(back, all);
        assert_eq!(write(&[]).unwrap(), (None, None));
        let long = |len| TarPath::root().child(&vec![b'd'; len]);
        assert!(read(&write(&[long(65_535)]).unwrap().0.unwrap()).is_ok());
        assert!(write(&[long(65_536)]).is_err());
        let many = vec![path(b"a"); MAX_PATHS + 1];
        assert!(read(&write(&many[1..]).unwrap().0.unwrap()).is_ok());
        assert!(write(&many).is_err());
    }

    #[test]
    fn lists_of_other_tools_are_read() {
        assert_eq!(read(b"null").unwrap(), []);
        assert_eq!(read(br#"["etc/x", "/etc/x", "/a//b/"]"#).unwrap().len(), 3);
    }

    #[test]
    fn hostile_lists_are_rejected() {
        for json in [
            &br#"["/"]"#[..],
            br#"["."]"#,
            br#"[""]"#,
            br#"["/.."]"#,
            br#"["/../etc"]"#,
            br#"["a\u0000b"]"#,
            br#"[1]"#,
            br#"{}"#,
            br#"["a""#,
            br#"["\ud800"]"#,
        ] {
            assert!(read(json).is_err(), "{}", String::from_utf8_lossy(json));
        }
        let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
        assert!(read(&deep).is_err());
        assert!(read0(b"/a\0/..\0").is_err());
    }
}
