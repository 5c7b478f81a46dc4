//! Decides when the statuses of a path in both trees prove that both show one unchanged inode, so
//! that its xattrs and content need not be read.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::fstatfs;
use tartree::{Root, Status};

use crate::overlay::layers::Layers;
use crate::overlay::mount_id;
use crate::overlay::mountinfo::{self, Mount};

/// Magic numbers of the file systems on which device and inode number identify a file
/// (linux/magic.h): ext2 to ext4, xfs, btrfs, tmpfs, overlayfs, f2fs. A FUSE file system may assign
/// inode numbers freely, and bcachefs uses the same numbers in a snapshot as in the original.
const RELIABLE_INODE_NUMBERS: [u32; 6] =
    [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x794c_7630, 0xf2f5_2010];

/// The proof that two statuses show one inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SameInode {
    /// There is no proof.
    Never,
    /// Equal device and inode numbers.
    ByDevice,
    /// Equal inode numbers: both trees are overlays of the same layers, each with its own device
    /// number (overlayfs.rst, "Inode properties").
    ByLayers,
}

impl SameInode {
    /// Returns the proof that is valid for two directories that the user has named.
    pub fn of_directories(from: (&Path, &Root), to: (&Path, &Root)) -> SameInode {
        let mut mounts =
            fs::read("/proc/self/mountinfo").map(|text| mountinfo::parse(&text)).unwrap_or_default();
        // A hidden mount or a bind mount of a subdirectory does not prove that both directories are
        // overlays of the same layers.
        let visible = [mount_id_at(from.0), mount_id_at(to.0)];
        mounts.retain(|mount| visible.contains(&Some(mount.id)) && mount.root == b"/");
        if has_layers_of(&mounts, from.0, to.0) {
            SameInode::ByLayers
        } else if has_reliable_inode_numbers(from.1.fd()) && has_reliable_inode_numbers(to.1.fd()) {
            SameInode::ByDevice
        } else {
            SameInode::Never
        }
    }

    /// Returns whether `a` and `b` show one inode that did not change in between. The kernel
    /// updates the change time on every change.
    pub fn holds(self, a: &Status, b: &Status) -> bool {
        let (one, other) = (a.identity(), b.identity());
        let same = match self {
            SameInode::Never => false,
            SameInode::ByDevice => one == other,
            SameInode::ByLayers => one.ino == other.ino,
        };
        same && a.ctime() == b.ctime() && a.file_type() == b.file_type() && a.size() == b.size()
    }
}

/// Returns the ID of the mount that is visible at `path`.
fn mount_id_at(path: &Path) -> Option<u64> {
    mount_id(fs::File::open(path).ok()?.as_fd()).ok()
}

fn has_reliable_inode_numbers(root: BorrowedFd<'_>) -> bool {
    // Magic numbers have 32 bits; f_type has the width of a long.
    fstatfs(root).is_ok_and(|fs| RELIABLE_INODE_NUMBERS.contains(&(fs.f_type as u32)))
}

/// Returns whether the lower layers of the overlay `to` are exactly the layers of `from`: all
/// layers of `from` if it is an overlay too, and otherwise the directory `from` itself.
fn has_layers_of(mounts: &[Mount], from: &Path, to: &Path) -> bool {
    let real = |path: &Path| fs::canonicalize(path).ok();
    let layers = |path: &Path| Layers::of(mountinfo::at(mounts, path.as_os_str().as_bytes())?).ok();
    let all = |paths: Vec<PathBuf>| paths.iter().map(|path| real(path)).collect::<Option<Vec<_>>>();
    let (Some(from), Some(to)) = (real(from), real(to)) else { return false };
    let Some(over) = layers(&to).filter(|over| over.upper.is_some()) else { return false };
    let below = match layers(&from) {
        Some(below) => below.upper.into_iter().chain(below.lowers).chain(below.data_only).collect(),
        None => vec![from],
    };
    let over = all(over.lowers.into_iter().chain(over.data_only).collect());
    over.is_some() && over == all(below)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlays_of_the_same_lower_layers_are_recognised() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a", "b", "u", "over", "view", "one"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        std::os::unix::fs::symlink("a", dir.path().join("link")).unwrap();
        let at = |name: &str| dir.path().canonicalize().unwrap().join(name);
        let overlay = |name: &str, lowers: &[&str], upper: Option<&str>| {
            let lowers = lowers.iter().map(|lower| format!("lowerdir+={}", at(lower).display()));
            let upper = upper.map(|upper| format!("upperdir={}", at(upper).display()));
            Mount {
                mount_point: at(name).into_os_string().into_encoded_bytes(),
                fs_type: b"overlay".to_vec(),
                options: lowers.chain(upper).map(String::into_bytes).collect(),
                ..Mount::default()
            }
        };
        let mounts = [
            overlay("over", &["a", "b"], Some("u")),
            overlay("view", &["link", "b"], None),
            overlay("one", &["a"], Some("u")),
        ];
        for (from, to, expected) in [
            ("view", "over", true),
            ("a", "one", true),
            ("link", "one", true),
            ("a", "over", false),
            ("b", "one", false),
            ("view", "one", false),
            ("over", "view", false),
            ("a", "b", false),
            ("a", "missing", false),
        ] {
            assert_eq!(has_layers_of(&mounts, &at(from), &at(to)), expected, "{from} {to}");
        }
    }
}
