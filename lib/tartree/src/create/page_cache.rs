//! Prefetches files into the page cache while the disk is the bottleneck: while one file is read,
//! another thread asks the kernel for the files that come next.
//!
//! The kernel prefetches only within one file. With many small files and a cold cache, each read
//! waits for the disk, which then serves only one request at a time. With a warm cache, this module
//! costs one system call for about thirty files: getrusage(2) reports whether anything was read
//! from a disk.

use std::io;
use std::num::NonZeroU64;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::resource::{UsageWho, getrusage};
use rustix::fs::{Advice, FileType, fadvise};

use crate::fs::readdir::list;
use crate::parallel::policy::PREFETCH;
use crate::parallel::prefetch::Prefetch;
use crate::path::TarPath;

/// The number of names that are submitted at a time.
pub(crate) const WINDOW: usize = 64;
/// The next names are submitted when at most this many submitted names are still to be read.
pub(crate) const REFILL_AT: usize = 32;
/// The number of bytes that are prefetched of each file. The kernel prefetches the rest of a longer
/// file.
const PREFETCHED: Option<NonZeroU64> = NonZeroU64::new(256 << 10);

/// An inode that is going to be read.
pub(crate) struct Target {
    /// The path below the tree's root.
    pub path: TarPath,
    /// The type: the start of a regular file is read, and a directory is listed.
    pub kind: FileType,
}

/// Prefetches inodes below one root.
pub(crate) struct FilePrefetch {
    /// The number of blocks that this process had read from disks at the last call of
    /// [`has_read_disk`](FilePrefetch::has_read_disk).
    blocks_read: i64,
    prefetch: Prefetch<Target>,
}

impl Default for FilePrefetch {
    fn default() -> FilePrefetch {
        FilePrefetch { blocks_read: 0, prefetch: Prefetch::new(&PREFETCH) }
    }
}

impl FilePrefetch {
    /// Returns whether any thread of this process has read from a disk since the last call. If not,
    /// the cache is warm, and prefetching gains nothing.
    pub fn has_read_disk(&mut self) -> bool {
        let blocks = getrusage(UsageWho::RUSAGE_SELF).map_or(0, |usage| usage.block_reads());
        blocks > std::mem::replace(&mut self.blocks_read, blocks)
    }

    /// Prefetches `targets` below `root`, which must be the same directory in every call.
    pub fn submit(&mut self, root: BorrowedFd<'_>, targets: Vec<Target>) {
        self.prefetch.submit(targets, || {
            let root = root.try_clone_to_owned()?;
            Ok(move |target: Target| {
                // An error is ignored, because it occurs again when the walk reads the inode.
                let _ = read(&root, &target);
            })
        });
    }
}

/// Brings an inode into the page cache.
///
/// The access time must not change, so inodes that do not permit `O_NOATIME` are skipped. File
/// systems that are mounted below the root are skipped too: they may not belong to the tree, and
/// reading them would trigger automounts.
fn read(root: &OwnedFd, Target { path, kind }: &Target) -> io::Result<()> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOATIME | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let more = if *kind == FileType::Directory { OFlag::O_DIRECTORY } else { OFlag::empty() };
    let resolve =
        ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_XDEV;
    let how = OpenHow::new().flags(flags | more).resolve(resolve);
    let fd = openat2(root, path.as_os_str(), how)?;
    if *kind == FileType::Directory {
        list(fd.as_fd())?;
    } else {
        fadvise(fd, 0, PREFETCHED, Advice::WillNeed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn symbolic_links_and_other_file_systems_are_not_read() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("d")).unwrap();
        fs::write(dir.path().join("d/f"), "x").unwrap();
        for link in ["link", "d/link"] {
            std::os::unix::fs::symlink("d", dir.path().join(link)).unwrap();
        }
        let open = |path| OwnedFd::from(fs::File::open(path).unwrap());
        let is_read = |root: &OwnedFd, path: &str, kind| {
            read(root, &Target { path: TarPath::parse(path.as_bytes()).unwrap(), kind }).is_ok()
        };
        let root = open(dir.path());
        assert!(is_read(&root, "d", FileType::Directory));
        assert!(is_read(&root, "d/f", FileType::RegularFile));
        assert!(!is_read(&root, "d/f", FileType::Directory));
        for name in ["link", "link/f", "d/link"] {
            assert!(!is_read(&root, name, FileType::RegularFile), "{name}");
        }
        let root = open("/".as_ref());
        assert!(!is_read(&root, "proc/version", FileType::RegularFile));
    }
}
