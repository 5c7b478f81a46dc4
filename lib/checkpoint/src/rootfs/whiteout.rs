//! Whiteouts: files in an OCI image layer whose names mark deleted files.

use tartree::{Entry, Kind, TarPath};

/// A whiteout in a layer.
#[derive(Debug, PartialEq, Eq)]
pub enum Whiteout {
    /// `.wh.NAME`: deletes NAME in the same directory.
    File(TarPath),
    /// `.wh..wh..opq`: deletes the lower layers' content of this directory.
    Opaque(TarPath),
    /// Another name that starts with `.wh..wh.`, which aufs used for its own files, or `.wh.`
    /// without the name of a file. All readers ignore these names.
    Reserved,
}

/// The interpretation of `.wh.NAME` files in a diff.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whiteouts {
    /// The files are ordinary files: podman's format has no whiteouts.
    Literal,
    /// The files are whiteouts: in an OCI layer, the name defines a whiteout.
    Named,
    /// The files are whiteouts if they are empty regular files, for a diff whose format is not
    /// known.
    Guessed,
}

impl Whiteouts {
    /// Returns the whiteout that `entry` represents, if any. With [`Whiteouts::Guessed`] only an
    /// empty regular file is a whiteout, because all programs write whiteouts as such files. An
    /// entry whose name is reserved may have any type.
    pub fn in_entry(self, entry: &Entry) -> Option<Whiteout> {
        let is_one = match self {
            Whiteouts::Literal => false,
            Whiteouts::Named => true,
            Whiteouts::Guessed => {
                let is_reserved = Whiteout::of(&entry.path) == Some(Whiteout::Reserved);
                is_reserved || matches!(entry.kind, Kind::File { size: 0, .. })
            }
        };
        if is_one { Whiteout::of(&entry.path) } else { None }
    }
}

impl Whiteout {
    /// Returns the whiteout with this name, or `None` for an ordinary name.
    pub fn of(path: &TarPath) -> Option<Whiteout> {
        let (_, name) = path.split()?;
        let name = name.as_encoded_bytes().strip_prefix(b".wh.")?;
        let dir = path.parent()?;
        Some(match name {
            b".wh..opq" => Whiteout::Opaque(dir),
            // The rest of the name is not a file name, and deleting ".." must not be attempted.
            b"" | b"." | b".." => Whiteout::Reserved,
            name if name.starts_with(b".wh.") => Whiteout::Reserved,
            name => Whiteout::File(dir.child(name)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whiteouts_are_recognized_by_their_names() {
        let path = |name: &str| TarPath::parse(name.as_bytes()).unwrap();
        let of = |name: &str| Whiteout::of(&path(name));
        assert_eq!(of("a/.wh.b"), Some(Whiteout::File(path("a/b"))));
        assert_eq!(of(".wh.b"), Some(Whiteout::File(path("b"))));
        assert_eq!(of("a/.wh..wh..opq"), Some(Whiteout::Opaque(path("a"))));
        assert_eq!(of(".wh..wh..opq"), Some(Whiteout::Opaque(TarPath::root())));
        assert_eq!(of("a/b.wh.c"), None);
        for reserved in [".wh.", "a/.wh...", "a/.wh..", ".wh..wh.aufs"] {
            assert_eq!(of(reserved), Some(Whiteout::Reserved), "{reserved}");
        }
    }
}
