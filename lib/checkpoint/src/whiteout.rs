//! Deletions as an OCI image layer has them: by names of files.

use tartree::{Entry, Kind, TarPath};

/// What a name in a layer stands for.
#[derive(Debug, PartialEq, Eq)]
pub enum Whiteout {
    /// `.wh.NAME`: NAME beside it is deleted.
    File(TarPath),
    /// `.wh..wh..opq`: all that lower layers have in this directory is deleted.
    Opaque(TarPath),
    /// Another `.wh..wh.` name: aufs kept its own files under them, and every reader passes over them.
    Reserved,
}

/// Whether names of an incoming diff are whiteouts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whiteouts {
    /// Never: in podman's form a file `.wh.NAME` is one.
    Literal,
    /// Always: in an OCI layer the name alone makes a whiteout.
    Named,
    /// Unless the diff begins with what only podman's form has: see [`Whiteouts::in_entry`].
    Guessed,
}

impl Whiteouts {
    /// The whiteout that `entry` is. A guessed one is an empty regular file, as every program writes them.
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
    /// Told by the last component; `None` for an ordinary entry.
    pub fn of(path: &TarPath) -> Option<Whiteout> {
        let (_, name) = path.split()?;
        let name = name.as_encoded_bytes().strip_prefix(b".wh.")?;
        let dir = path.parent()?;
        Some(match name {
            b".wh..opq" => Whiteout::Opaque(dir),
            // Neither names anything, and to delete ".." must not even be tried.
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
    fn whiteouts_are_told_by_their_names() {
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
