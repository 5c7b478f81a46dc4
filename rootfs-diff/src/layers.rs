//! The layers of an overlay, from its mount options or from the command line.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::mountinfo::Mount;

/// The layers of an overlay mount and what decides how they are read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layers {
    /// Where changes go; `None` for a read-only mount.
    pub upper: Option<PathBuf>,
    /// Topmost first, as in the mount option.
    pub lowers: Vec<PathBuf>,
    /// Data-only lowers (`::` in the option): sources of content without names of their own.
    pub data_only: Vec<PathBuf>,
    /// Marks are `user.overlay.*`, as in user namespaces, not `trusted.overlay.*`.
    pub userxattr: bool,
    /// `index=on`: a hard link that was changed shows only under one name in the upper directory.
    pub index: bool,
}

/// Why the layers of a mount cannot be told.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayersError {
    /// Nothing is mounted there, or not an overlay.
    #[error("not an overlay mount but {0}")]
    NotOverlay(String),
    /// fuse-overlayfs does not tell.
    #[error("fuse-overlayfs does not show its layers")]
    Fuse,
    /// Mounted with relative paths or descriptors.
    #[error("mounted with layer {0:?}, which means something only to the program that mounted it")]
    Unresolvable(String),
}

impl Layers {
    /// The layers of `mount`.
    ///
    /// Relative paths are those of containers/storage, which mounts from its graph root when the options get too long:
    /// the mount point is then `ID/merged` there.
    ///
    /// # Errors
    /// When the mount is no overlay or its layers cannot be found again.
    pub fn of(mount: &Mount) -> Result<Layers, LayersError> {
        match &mount.fs_type[..] {
            b"overlay" => {}
            b"fuse.fuse-overlayfs" => return Err(LayersError::Fuse),
            other => return Err(LayersError::NotOverlay(String::from_utf8_lossy(other).into())),
        }
        let mut layers = Layers::default();
        for option in &mount.options {
            let (key, value) = option
                .iter()
                .position(|&b| b == b'=')
                .map_or((&option[..], &b""[..]), |at| (&option[..at], &option[at + 1..]));
            match key {
                b"upperdir" => layers.upper = Some(directory(value)),
                b"lowerdir" => {
                    let (lowers, data_only) = split_lowers(value);
                    layers.lowers.extend(lowers);
                    layers.data_only.extend(data_only);
                }
                b"lowerdir+" => layers.lowers.push(path(value)),
                b"datadir+" => layers.data_only.push(path(value)),
                b"userxattr" => layers.userxattr = true,
                b"index" => layers.index = value == b"on",
                _ => {}
            }
        }
        let graph_root = path(&mount.mount_point).parent().and_then(Path::parent).map(Path::to_path_buf);
        for layer in layers.upper.iter_mut().chain(&mut layers.lowers).chain(&mut layers.data_only) {
            if layer.is_relative() {
                let found = graph_root.as_ref().map(|root| root.join(&*layer)).filter(|full| full.is_dir());
                *layer = found.ok_or_else(|| LayersError::Unresolvable(layer.to_string_lossy().into()))?;
            }
        }
        Ok(layers)
    }
}

/// Splits `a:b::c` at unescaped colons; behind `::` stand data-only layers. `\x` is `x`.
pub fn split_lowers(text: &[u8]) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let (mut names, mut data) = (Vec::new(), Vec::new());
    let mut current = Vec::new();
    let mut data_only = false;
    let mut bytes = text.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => current.extend(bytes.next()),
            b':' => {
                let list = if data_only { &mut data } else { &mut names };
                list.push(path(&std::mem::take(&mut current)));
                if bytes.peek() == Some(&b':') {
                    bytes.next();
                    data_only = true;
                }
            }
            byte => current.push(byte),
        }
    }
    let list = if data_only { &mut data } else { &mut names };
    list.push(path(&current));
    (names, data)
}

/// upperdir as shown is what was given; kernels differ in whether a backslash in it was an escape.
fn directory(value: &[u8]) -> PathBuf {
    let plain = path(value);
    if plain.is_dir() || !value.contains(&b'\\') {
        return plain;
    }
    let mut rest = value.iter().copied();
    let mut unescaped = Vec::new();
    while let Some(byte) = rest.next() {
        unescaped.extend(if byte == b'\\' { rest.next() } else { Some(byte) });
    }
    path(&unescaped)
}

fn path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(options: &[&str]) -> Mount {
        Mount {
            mount_point: b"/m".to_vec(),
            fs_type: b"overlay".to_vec(),
            options: options.iter().map(|o| o.as_bytes().to_vec()).collect(),
        }
    }

    #[test]
    fn options_of_both_mount_interfaces_are_read() {
        let layers = Layers::of(&mount(&[
            "rw",
            r"lowerdir=/a b:/c\:d::/data",
            "upperdir=/u",
            "index=on",
            "userxattr",
        ]))
        .unwrap();
        assert_eq!(layers.lowers, [PathBuf::from("/a b"), PathBuf::from("/c:d")]);
        assert_eq!(layers.data_only, [PathBuf::from("/data")]);
        assert_eq!(layers.upper, Some("/u".into()));
        assert!(layers.index && layers.userxattr);
        let layers = Layers::of(&mount(&["lowerdir+=/x/c:d", "lowerdir+=/x/e,f", "datadir+=/d"])).unwrap();
        assert_eq!(layers.lowers, [PathBuf::from("/x/c:d"), PathBuf::from("/x/e,f")]);
        assert_eq!(layers.data_only, [PathBuf::from("/d")]);
        assert_eq!(layers.upper, None);
    }

    #[test]
    fn what_cannot_be_resolved_is_said() {
        assert!(
            matches!(Layers::of(&mount(&["lowerdir=3:4"])), Err(LayersError::Unresolvable(layer)) if layer == "3")
        );
        let ext4 = Mount { fs_type: b"ext4".to_vec(), ..mount(&[]) };
        assert_eq!(Layers::of(&ext4), Err(LayersError::NotOverlay("ext4".into())));
    }

    #[test]
    fn relative_layers_are_found_in_the_graph_root() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["ID/diff", "ID/merged", "l/X"] {
            std::fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        let mut mount = mount(&["lowerdir=l/X", "upperdir=ID/diff"]);
        mount.mount_point = dir.path().join("ID/merged").into_os_string().into_encoded_bytes();
        let layers = Layers::of(&mount).unwrap();
        assert_eq!(layers.lowers, [dir.path().join("l/X")]);
        assert_eq!(layers.upper, Some(dir.path().join("ID/diff")));
    }
}
