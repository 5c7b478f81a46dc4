//! Removes a tree by descriptors. Never follows a symbolic link, crosses mounts only if the caller
//! allows it, and keeps the entries that the caller selects.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use nix::fcntl::ResolveFlag;
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::error::{Error, Result};
use crate::fs::descent::Descent;
use crate::fs::errno;
use crate::fs::openat::open_dir_with;
use crate::path::TarPath;

/// How an inode of a tree that is being removed is handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Remove the inode, together with all its content that is not kept.
    Remove,
    /// Keep the inode and its content.
    Keep,
    /// Keep the directory, but decide about each entry in it.
    KeepEmpty,
}

/// Removes `name` in `dir`. `path` is its path in messages and for `keep`. Directories are opened
/// with `resolve`. If `name` is a directory, calls `before` before the first removal. Returns
/// whether nothing of `name` is left, which is also the case if `name` did not exist.
///
/// # Errors
/// Returns an error if an entry cannot be removed or `before` fails. Part of the tree may be
/// removed by then.
pub(crate) fn remove_tree(
    dir: BorrowedFd<'_>,
    name: &OsStr,
    path: &TarPath,
    keep: &mut dyn FnMut(&TarPath) -> Keep,
    resolve: ResolveFlag,
    before: &dyn Fn() -> Result<()>,
) -> Result<bool> {
    let top = keep(path);
    if top == Keep::Keep {
        return Ok(false);
    }
    let opened = match open(dir, name, path, top, resolve)? {
        Opened::Gone => return Ok(true),
        Opened::Kept => return Ok(false),
        Opened::Dir(opened) => opened,
    };
    before()?;
    let mut descent = Descent::by(opened.as_fd(), resolve).map_err(|e| Error::io(path, e))?;
    // Records for each directory on the path whether an entry in it is kept, so that rmdir(2) would
    // fail.
    let mut stays = vec![top == Keep::KeepEmpty];
    while let Some(here) = descent.path().cloned() {
        let at = join(path, &here);
        let Some(child) = descent.next_name() else {
            let kept = stays.pop().unwrap_or(true);
            descent.leave();
            let Some(parent_stays) = stays.last_mut() else {
                if !kept {
                    remove_dir(dir, name, path)?;
                }
                return Ok(!kept);
            };
            if kept {
                *parent_stays = true;
            } else if let Some((_, child)) = here.split() {
                remove_dir(descent.dir().map_err(|e| Error::io(&at, e))?.as_fd(), child, &at)?;
            }
            continue;
        };
        let child = OsStr::from_bytes(child.name.to_bytes());
        let full = at.child(child.as_bytes());
        let choice = keep(&full);
        if choice != Keep::Remove {
            if let Some(stays) = stays.last_mut() {
                *stays = true;
            }
        }
        if choice == Keep::Keep {
            continue;
        }
        let parent = descent.dir().map_err(|e| Error::io(&at, e))?.clone();
        if let Opened::Dir(opened) = open(parent.as_fd(), child, &full, choice, resolve)? {
            descent.enter_opened(child, opened).map_err(|e| Error::io(&full, e))?;
            stays.push(choice == Keep::KeepEmpty);
        }
    }
    Ok(true)
}

/// The state of an inode after [`open`].
enum Opened {
    /// Removed, or it did not exist.
    Gone,
    /// Kept, and not a directory.
    Kept,
    /// An open directory.
    Dir(std::os::fd::OwnedFd),
}

/// Removes `name` in `dir` if it is not a directory and is to be removed. If `name` is a directory,
/// opens it.
fn open(
    dir: BorrowedFd<'_>,
    name: &OsStr,
    path: &TarPath,
    choice: Keep,
    resolve: ResolveFlag,
) -> Result<Opened> {
    let mut refused = None;
    if choice == Keep::Remove {
        match unlinkat(dir, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => return Ok(Opened::Gone),
            // Linux returns EISDIR for a directory. EPERM is the POSIX equivalent, but also means
            // an immutable or append-only file, or a file of another user in a sticky directory.
            Err(e @ (Errno::EISDIR | Errno::EPERM)) => refused = Some(e),
            Err(e) => return Err(errno::error(dir, name, path, e)),
        }
    }
    let e = match open_dir_with(dir, name, resolve) {
        Ok(opened) => return Ok(Opened::Dir(opened)),
        Err(e) => e,
    };
    match (e.raw_os_error().map(Errno::from_raw), refused) {
        (Some(Errno::ENOENT), _) => Ok(Opened::Gone),
        (Some(Errno::EXDEV), _) => Err(Error::mounted(path, path)),
        (Some(Errno::ENOTDIR | Errno::ELOOP), None) => Ok(Opened::Kept),
        (Some(Errno::ENOTDIR | Errno::ELOOP), Some(refused)) => Err(errno::error(dir, name, path, refused)),
        _ => Err(Error::io(path, e)),
    }
}

fn remove_dir(dir: BorrowedFd<'_>, name: &OsStr, path: &TarPath) -> Result<()> {
    match unlinkat(dir, name, UnlinkatFlags::RemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(e) => Err(errno::error(dir, name, path, io::Error::from(e))),
    }
}

fn join(path: &TarPath, below: &TarPath) -> TarPath {
    if below.is_root() { path.clone() } else { path.child(below.as_bytes()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Root;
    use std::fs;

    #[test]
    fn only_kept_entries_and_their_parents_remain() {
        let dir = tempfile::tempdir().unwrap();
        let at = |p: &str| dir.path().join(p);
        fs::create_dir_all(at("d/a/b")).unwrap();
        fs::create_dir_all(at("d/x/y")).unwrap();
        for file in ["d/f", "d/a/keep", "d/a/b/f", "d/x/y/f"] {
            fs::write(at(file), "").unwrap();
        }
        std::os::unix::fs::symlink("/", at("d/link")).unwrap();
        let root = Root::open(dir.path()).unwrap();
        let path = TarPath::parse(b"d").unwrap();
        let mut keep = |p: &TarPath| match p.as_bytes() {
            b"d/a/keep" => Keep::Keep,
            b"d/a" => Keep::KeepEmpty,
            _ => Keep::Remove,
        };
        let remove = |name: &str, path: &TarPath, keep: &mut dyn FnMut(&TarPath) -> Keep| {
            let resolve = ResolveFlag::RESOLVE_NO_XDEV;
            remove_tree(root.fd(), OsStr::new(name), path, keep, resolve, &|| Ok(())).unwrap()
        };
        assert!(!remove("d", &path, &mut keep));
        assert!(at("d/a/keep").exists());
        assert_eq!(fs::read_dir(at("d")).unwrap().count(), 1);
        assert_eq!(fs::read_dir(at("d/a")).unwrap().count(), 1);
        let keep_file = TarPath::parse(b"d/a/keep").unwrap();
        assert!(!remove("d/a/keep", &keep_file, &mut |_| Keep::KeepEmpty));
        assert!(at("d/a/keep").exists());
        assert!(remove("d", &path, &mut |_| Keep::Remove));
        assert!(!at("d").exists());
        assert!(remove("d", &path, &mut |_| Keep::Remove));
    }
}
