//! Parses the layers of an overlay from its mount options or from the command line.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::mountinfo::Mount;

/// The layers of an overlay, and the mount options that decide how they are read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layers {
    /// The directory that receives changes; `None` for a read-only mount.
    pub upper: Option<PathBuf>,
    /// Lower directories, topmost first, as in the mount option.
    pub lowers: Vec<PathBuf>,
    /// Data-only lower directories (after `::` in the option). They hold content for metacopy files
    /// and add no names to the merged tree.
    pub data_only: Vec<PathBuf>,
    /// The overlay xattrs are `user.overlay.*`, as in user namespaces, instead of
    /// `trusted.overlay.*`.
    pub userxattr: bool,
    /// `index=on`: a changed hard link has only one of its names in the upper directory.
    pub index: bool,
}

/// An error while finding the layers of a mount.
#[derive(Debug, thiserror::Error)]
pub enum LayersError {
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// Another file system is mounted at the path.
    #[error("expected an overlay mount, found {0}")]
    NotOverlay(String),
    /// A later mount at the same path covers the overlay.
    #[error("the overlay mounted here is hidden by a later mount ({0})")]
    Hidden(String),
    /// No process has the mount in its mount namespace.
    #[error("the mount is in no mount namespace that is visible in /proc")]
    Detached,
    /// A bind mount whose directory was removed from the overlay.
    #[error("the mounted directory was deleted")]
    Deleted,
    /// The mount options of fuse-overlayfs do not name its layers.
    #[error("fuse-overlayfs does not report its layers")]
    Fuse,
    /// The kernel does not read a directory that the mount options name as a layer.
    #[error("the mount does not read the layer that its options name: {0}")]
    Unproven(String),
    /// A process keeps the root directory open after listing it: the kernel then answers from its
    /// cache and does not read the layers again.
    #[error(
        "cannot prove that {0:?} is a layer while a process holds the root directory of the overlay open"
    )]
    InUse(String),
}

impl Layers {
    /// Returns the layers that the options of `mount` name. The paths may be relative, and may no
    /// longer lead to the layers.
    ///
    /// # Errors
    /// Returns an error if the mount is not an overlay, or is a fuse-overlayfs.
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
                b"upperdir" => layers.upper = Some(path(value)),
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
        Ok(layers)
    }
}

/// Splits `a:b::c` at unescaped colons into lower directories and, after `::`, data-only lower
/// directories. `\x` means `x`.
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

/// Returns the upper directory that `value` names, with backslashes interpreted as escapes. The
/// kernel version determines whether they are escapes.
pub(crate) fn unescaped(value: &Path) -> PathBuf {
    let mut rest = value.as_os_str().as_bytes().iter().copied();
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
            ..Mount::default()
        }
    }

    #[test]
    fn options_of_both_mount_interfaces_are_parsed() {
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
    fn the_error_contains_the_type_of_another_file_system() {
        let other = |fs_type: &[u8]| Layers::of(&Mount { fs_type: fs_type.to_vec(), ..mount(&[]) });
        assert!(matches!(other(b"ext4"), Err(LayersError::NotOverlay(name)) if name == "ext4"));
        assert!(matches!(other(b"fuse.fuse-overlayfs"), Err(LayersError::Fuse)));
    }

    #[test]
    fn a_backslash_in_the_upper_directory_may_be_an_escape() {
        for (given, plain) in [("/u", "/u"), (r"/a\:b", "/a:b"), (r"/a\\b", r"/a\b"), (r"/a\", "/a")] {
            assert_eq!(unescaped(Path::new(given)), PathBuf::from(plain));
        }
    }
}
