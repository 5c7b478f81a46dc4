//! `deleted.files` and `deleted.files0`: what was deleted from the root file system.

use tartree::TarPath;

use crate::error::{Error, Result};

/// Bytes of one list that are read. A million long names; more is not a deletion list.
pub const LIMIT: u64 = 256 << 20;

/// The two documents for these paths, each `None` when it would be empty: JSON for those whose names are UTF-8,
/// NUL-separated bytes for the others. Paths are absolute, as podman writes them.
pub fn write<'a>(paths: impl IntoIterator<Item = &'a TarPath>) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
    let mut text: Vec<String> = Vec::new();
    let mut raw = Vec::new();
    for path in paths {
        match std::str::from_utf8(path.as_bytes()) {
            Ok(path) => text.push(format!("/{path}")),
            // Go would write U+FFFD here and later delete another file.
            Err(_) => {
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
    (json, (!raw.is_empty()).then_some(raw))
}

/// Reads `deleted.files`: a JSON array of paths, or Go's `null` for none. Relative paths, duplicates and any order are
/// taken; what leads out of the root or is the root is refused.
///
/// # Errors
/// When it is not such a list.
pub fn read(json: &[u8]) -> Result<Vec<TarPath>> {
    let bad = |what: String| Error::member("deleted.files", what);
    let list: Option<Vec<String>> = serde_json::from_slice(json).map_err(|e| bad(e.to_string()))?;
    list.unwrap_or_default().iter().map(|path| checked(path.as_bytes()).map_err(bad)).collect()
}

/// Reads `deleted.files0`.
///
/// # Errors
/// When a path leads out of the root or is the root.
pub fn read0(bytes: &[u8]) -> Result<Vec<TarPath>> {
    let bad = |what: String| Error::member("deleted.files0", what);
    bytes.split(|&b| b == 0).filter(|path| !path.is_empty()).map(|path| checked(path).map_err(bad)).collect()
}

fn checked(path: &[u8]) -> std::result::Result<TarPath, String> {
    let path = TarPath::parse(path).map_err(|e| e.to_string())?;
    if path.is_root() { Err("/: the root itself cannot be deleted".into()) } else { Ok(path) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(name: &[u8]) -> TarPath {
        TarPath::parse(name).unwrap()
    }

    #[test]
    fn lists_survive_with_any_bytes() {
        let paths = [path(b"a/b"), path(b"\"\\\n"), path(b"x\xff/y"), path("ü".as_bytes())];
        let (json, raw) = write(&paths);
        let mut back = read(&json.unwrap()).unwrap();
        back.extend(read0(&raw.unwrap()).unwrap());
        back.sort();
        let mut all = paths.to_vec();
        all.sort();
        assert_eq!(back, all);
        assert_eq!(write(&[]), (None, None));
    }

    #[test]
    fn foreign_lists_are_read() {
        assert_eq!(read(b"null").unwrap(), []);
        assert_eq!(read(br#"["etc/x", "/etc/x", "/a//b/"]"#).unwrap().len(), 3);
    }

    #[test]
    fn hostile_lists_are_refused() {
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
