//! Reading ahead where the disk is waited for: while one file is being read, another thread asks for those that come next.
//!
//! The kernel reads ahead within a file. Of many small ones in a cold cache each costs the time of the disk anew, and the disk
//! does one thing at a time, which is the slowest way to use it. A warm cache costs one system call for some thirty
//! files: whether anything was read from a disk since the last look.

use std::num::NonZeroU64;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::resource::{UsageWho, getrusage};
use rustix::fs::{Advice, FileType, fadvise};

use crate::fs::readdir::list;
use crate::path::TarPath;

/// Names that are asked for at once.
pub(crate) const FAR: usize = 64;
/// When no more than so many of these are to come, the next are asked for.
pub(crate) const NEAR: usize = 32;
/// Bytes of each file. Of a longer one the kernel reads the rest ahead by itself.
const BEGINNING: Option<NonZeroU64> = NonZeroU64::new(256 << 10);
/// Askings that may wait. The thread is behind when there are more, and what it would do then is too late.
const WAITING: usize = 4;

/// An object that is going to be read.
pub(crate) struct Coming {
    /// Below the tree's root.
    pub path: TarPath,
    /// Regular files are read, and directories listed.
    pub kind: FileType,
}

/// Asks for objects below one root.
#[derive(Default)]
pub(crate) struct ReadAhead {
    /// Blocks that this process has read from disks, when it was looked last.
    read: i64,
    asked: Asked,
}

#[derive(Default)]
enum Asked {
    #[default]
    Nobody,
    /// It ends when nobody can ask any more. Nobody waits for that: it may be in the middle of a slow read.
    Thread(SyncSender<Vec<Coming>>),
    /// There can be no thread.
    Never,
}

impl ReadAhead {
    /// Whether anything was read from a disk since this was asked last, by whichever thread.
    pub fn is_worth_it(&mut self) -> bool {
        let read = getrusage(UsageWho::RUSAGE_SELF).map_or(0, |usage| usage.block_reads());
        read > std::mem::replace(&mut self.read, read)
    }

    /// Asks for `coming`, which are below `root`, the same one each time.
    pub fn ask(&mut self, root: BorrowedFd<'_>, coming: Vec<Coming>) {
        if let Asked::Nobody = self.asked {
            self.asked = start(root).unwrap_or(Asked::Never);
        }
        if let Asked::Thread(to) = &self.asked {
            let _ = to.try_send(coming);
        }
    }
}

fn start(root: BorrowedFd<'_>) -> std::io::Result<Asked> {
    let root = root.try_clone_to_owned()?;
    let (to, coming) = sync_channel::<Vec<Coming>>(WAITING);
    thread::Builder::new().name("read-ahead".into()).spawn(move || {
        for object in coming.into_iter().flatten() {
            // Whatever is wrong with it shows when it is read.
            let _ = touch(&root, &object);
        }
    })?;
    Ok(Asked::Thread(to))
}

/// Brings an object into the cache. What its time of access tells must not change, so without the right to that it is left alone;
/// so is what is mounted below the root: it may not be for us, and to look would mount what is mounted on demand.
fn touch(root: &OwnedFd, Coming { path, kind }: &Coming) -> std::io::Result<()> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOATIME | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let more = if *kind == FileType::Directory { OFlag::O_DIRECTORY } else { OFlag::empty() };
    let resolve =
        ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_XDEV;
    let how = OpenHow::new().flags(flags | more).resolve(resolve);
    let fd = openat2(root, path.as_os_str(), how)?;
    if *kind == FileType::Directory {
        list(fd.as_fd())?;
    } else {
        fadvise(fd, 0, BEGINNING, Advice::WillNeed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn nothing_is_touched_by_way_of_a_link_or_on_another_file_system() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("d")).unwrap();
        fs::write(dir.path().join("d/f"), "x").unwrap();
        for link in ["link", "d/link"] {
            std::os::unix::fs::symlink("d", dir.path().join(link)).unwrap();
        }
        let open = |path| OwnedFd::from(fs::File::open(path).unwrap());
        let touched = |root: &OwnedFd, path: &str, kind| {
            touch(root, &Coming { path: TarPath::parse(path.as_bytes()).unwrap(), kind }).is_ok()
        };
        let root = open(dir.path());
        assert!(touched(&root, "d", FileType::Directory));
        assert!(touched(&root, "d/f", FileType::RegularFile));
        assert!(!touched(&root, "d/f", FileType::Directory));
        for name in ["link", "link/f", "d/link"] {
            assert!(!touched(&root, name, FileType::RegularFile), "{name}");
        }
        let root = open("/".as_ref());
        assert!(!touched(&root, "proc/version", FileType::RegularFile));
    }
}
