//! Removing a tree by descriptors, nothing followed, and sparing what shall stay.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::descent::{Descent, open_dir};
use crate::path::TarPath;

/// What to do with an object of a tree that is being removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Remove it, with all that is in it and not kept.
    Remove,
    /// Leave it alone, with all that is in it.
    Keep,
    /// Leave the directory itself, but look at what is in it.
    KeepEmpty,
}

/// Removes `name` in `dir`, which is `path` in messages and for `keep`. Gives whether all of it is gone;
/// what does not exist is.
///
/// # Errors
/// The kernel's; part of the tree may be gone then.
pub fn remove_tree(
    dir: BorrowedFd<'_>,
    name: &OsStr,
    path: &TarPath,
    keep: &mut dyn FnMut(&TarPath) -> Keep,
) -> io::Result<bool> {
    let top = keep(path);
    if top == Keep::Keep {
        return Ok(false);
    }
    if top == Keep::Remove {
        match unlinkat(dir, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => return Ok(true),
            // EPERM is POSIX's answer for a directory, EISDIR is Linux's.
            Err(Errno::EISDIR | Errno::EPERM) => {}
            Err(e) => return Err(e.into()),
        }
    }
    let opened = match open_dir(dir, name) {
        // Kept, and not a directory.
        Err(e) if top == Keep::KeepEmpty && e.raw_os_error() == Some(Errno::ENOTDIR as i32) => {
            return Ok(false);
        }
        Err(e) if e.raw_os_error() == Some(Errno::ENOENT as i32) => return Ok(true),
        opened => opened?,
    };
    let mut descent = Descent::new(opened.as_fd())?;
    // For every directory on the way: whether something in it stays, so that rmdir need not be tried.
    let mut stays = vec![top == Keep::KeepEmpty];
    while let Some(here) = descent.path().cloned() {
        let Some(child) = descent.next_name() else {
            let kept = stays.pop().unwrap_or(true);
            descent.leave();
            let Some(parent_stays) = stays.last_mut() else {
                if !kept {
                    remove_dir(dir, name)?;
                }
                return Ok(!kept);
            };
            if kept {
                *parent_stays = true;
            } else if let Some((_, child)) = here.split() {
                remove_dir(descent.dir()?.as_fd(), child)?;
            }
            continue;
        };
        let child = OsStr::from_bytes(child.name.to_bytes());
        let full = join(path, &here).child(child.as_bytes());
        let choice = keep(&full);
        if choice != Keep::Remove {
            if let Some(stays) = stays.last_mut() {
                *stays = true;
            }
        }
        if choice == Keep::Keep {
            continue;
        }
        if choice == Keep::Remove {
            match unlinkat(descent.dir()?, child, UnlinkatFlags::NoRemoveDir) {
                Ok(()) | Err(Errno::ENOENT) => continue,
                Err(Errno::EISDIR | Errno::EPERM) => {}
                Err(e) => return Err(e.into()),
            }
        }
        match descent.enter(child) {
            Ok(()) => stays.push(choice == Keep::KeepEmpty),
            // Kept, and not a directory.
            Err(e) if choice == Keep::KeepEmpty && e.raw_os_error() == Some(Errno::ENOTDIR as i32) => {}
            Err(e) if e.raw_os_error() == Some(Errno::ENOENT as i32) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(true)
}

fn remove_dir(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    match unlinkat(dir, name, UnlinkatFlags::RemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(e) => Err(e.into()),
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
    fn only_what_is_kept_stays_with_its_parents() {
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
        assert!(!remove_tree(root.fd(), OsStr::new("d"), &path, &mut keep).unwrap());
        assert!(at("d/a/keep").exists());
        assert_eq!(fs::read_dir(at("d")).unwrap().count(), 1);
        assert_eq!(fs::read_dir(at("d/a")).unwrap().count(), 1);
        let keep_file = TarPath::parse(b"d/a/keep").unwrap();
        let dir = root.fd();
        assert!(!remove_tree(dir, OsStr::new("d/a/keep"), &keep_file, &mut |_| Keep::KeepEmpty).unwrap());
        assert!(at("d/a/keep").exists());
        assert!(remove_tree(root.fd(), OsStr::new("d"), &path, &mut |_| Keep::Remove).unwrap());
        assert!(!at("d").exists());
        assert!(remove_tree(root.fd(), OsStr::new("d"), &path, &mut |_| Keep::Remove).unwrap());
    }
}
