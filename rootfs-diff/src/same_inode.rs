//! When the status of an object in both trees proves that they show one inode, and nothing more need be read.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::fstatfs;
use tartree::{Root, Status};

use crate::layers::Layers;
use crate::mountinfo::{self, Mount};
use crate::overlay::mount_id;

/// File systems on which device and inode number name one file (linux/magic.h): ext2 to ext4, xfs, btrfs, tmpfs,
/// overlayfs, f2fs. One in user space numbers inodes as it likes, and bcachefs numbers those of a snapshot as the others.
const NUMBERED: [u32; 6] = [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x794c_7630, 0xf2f5_2010];

/// What proves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SameInode {
    /// Nothing.
    Never,
    /// Device and inode number.
    Device,
    /// The inode number: both are views of the same layers, each with a device of its own (overlayfs.rst, "Inode properties").
    Layers,
}

impl SameInode {
    /// What proves it in two trees that the user has named.
    pub fn of_trees(from: (&Path, &Root), to: (&Path, &Root)) -> SameInode {
        let mut mounts =
            fs::read("/proc/self/mountinfo").map(|text| mountinfo::parse(&text)).unwrap_or_default();
        // Not of a hidden mount, and not of a directory inside an overlay: its inodes are compared one by one.
        let shown = [shown(from.0), shown(to.0)];
        mounts.retain(|mount| shown.contains(&Some(mount.id)) && mount.root == b"/");
        if is_below(&mounts, from.0, to.0) {
            SameInode::Layers
        } else if is_numbered(from.1.fd()) && is_numbered(to.1.fd()) {
            SameInode::Device
        } else {
            SameInode::Never
        }
    }

    /// Whether `a` and `b` are of one inode that nobody has touched between the two looks: a change of anything sets the change time.
    pub fn holds(self, a: &Status, b: &Status) -> bool {
        let (one, other) = (a.identity(), b.identity());
        let same = match self {
            SameInode::Never => false,
            SameInode::Device => one == other,
            SameInode::Layers => one.ino == other.ino,
        };
        same && a.ctime() == b.ctime() && a.file_type() == b.file_type() && a.size() == b.size()
    }
}

/// Returns the ID of the mount that the path leads to.
fn shown(path: &Path) -> Option<u64> {
    mount_id(fs::File::open(path).ok()?.as_fd()).ok()
}

fn is_numbered(root: BorrowedFd<'_>) -> bool {
    // Magic numbers have 32 bits, f_type has the width of a long.
    fstatfs(root).is_ok_and(|fs| NUMBERED.contains(&(fs.f_type as u32)))
}

/// Whether `to` is an overlay over what `from` is: its only lower directory, or another overlay of the same ones.
fn is_below(mounts: &[Mount], from: &Path, to: &Path) -> bool {
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
    fn an_overlay_is_over_its_only_lower_directory_and_over_a_mount_of_the_same_ones() {
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
            assert_eq!(is_below(&mounts, &at(from), &at(to)), expected, "{from} {to}");
        }
    }
}
