//! Performs the actions of a run on the host.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown, lchown};
use std::path::Path;

use anyhow::Context;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{Gid, Uid, fchownat};

use crate::actions::Action;
use crate::{directory_walk, selinux};

impl Action {
    /// Performs the action.
    ///
    /// # Errors
    /// Returns an error if a step fails. Earlier steps are not undone: part of a tree may have its
    /// new owner.
    pub fn apply(&self) -> anyhow::Result<()> {
        match self {
            Action::Chown { path, uid, gid } => {
                chown_tree(Path::new(path), *uid, *gid).with_context(|| path.clone())
            }
            Action::Relabel { path, label, .. } => {
                selinux::relabel(Path::new(path), label).with_context(|| path.clone())
            }
            Action::Directory { path, mode, uid, gid, like } => {
                make_directory(Path::new(path), *mode, *uid, *gid, like.as_deref())
                    .with_context(|| path.clone())
            }
            Action::Copy { from, to, mode, uid, gid } => {
                copy_file(Path::new(from), Path::new(to), *mode, *uid, *gid)
                    .with_context(|| format!("{from} -> {to}"))
            }
            Action::File { path, content } => {
                make_file(Path::new(path), content).with_context(|| path.clone())
            }
            Action::MountPoint { directory, path, is_file } => {
                make_mount_point(Path::new(directory), path, *is_file)
                    .with_context(|| format!("{directory}/{path}"))
            }
        }
    }
}

/// Changes the owner of a tree. Changes symbolic links themselves, not their targets.
fn chown_tree(path: &Path, uid: u32, gid: u32) -> anyhow::Result<()> {
    lchown(path, Some(uid), Some(gid))?;
    if !fs::symlink_metadata(path)?.is_dir() {
        return Ok(());
    }
    let (user, group) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    directory_walk::walk(path, &mut |dir, name, stat| {
        if (stat.st_uid, stat.st_gid) != (uid, gid) {
            let shown = || name.to_string_lossy().into_owned();
            fchownat(dir, name, user, group, AtFlags::AT_SYMLINK_NOFOLLOW).with_context(shown)?;
        }
        Ok(())
    })
}

fn make_directory(path: &Path, mode: u32, uid: u32, gid: u32, like: Option<&str>) -> anyhow::Result<()> {
    let (mode, uid, gid) = match like {
        Some(like) => {
            let meta = fs::metadata(like).with_context(|| like.to_owned())?;
            (meta.mode() & 0o7777, meta.uid(), meta.gid())
        }
        None => (mode, uid, gid),
    };
    if let Some(parent) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    }
    if !cli::private::dir(path)? {
        return match fs::symlink_metadata(path)?.is_dir() {
            true => Ok(()),
            false => Err(io::Error::from(io::ErrorKind::AlreadyExists).into()),
        };
    }
    let dir = File::open(path)?;
    fchown(&dir, Some(uid), Some(gid))?;
    dir.set_permissions(fs::Permissions::from_mode(mode))?;
    Ok(())
}

/// Copies a secret. Only root can read the copy until it has its owner and mode. An old copy is
/// replaced.
fn copy_file(from: &Path, to: &Path, mode: u32, uid: u32, gid: u32) -> anyhow::Result<()> {
    let mut source = File::open(from)?;
    if let Some(parent) = to.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    }
    match fs::remove_file(to) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e.into()),
        _ => {}
    }
    let mut copy = File::options().write(true).create_new(true).mode(0o600).open(to)?;
    cli::private::file(&copy)?;
    io::copy(&mut source, &mut copy)?;
    fchown(&copy, Some(uid), Some(gid))?;
    copy.set_permissions(fs::Permissions::from_mode(mode))?;
    Ok(())
}

fn make_file(path: &Path, content: &str) -> anyhow::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    match File::options().write(true).create_new(true).mode(0o644).open(path) {
        Ok(mut file) => Ok(io::Write::write_all(&mut file, content.as_bytes())?),
        // An earlier run may have created the container's /etc/hosts.
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// Creates a mount point below `directory` without following symbolic links, because the links in a
/// volume come from the archive.
fn make_mount_point(directory: &Path, path: &str, is_file: bool) -> anyhow::Result<()> {
    let as_directory = OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    let mut at = openat(AT_FDCWD, directory, as_directory, Mode::empty())?;
    let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
    for (i, name) in names.iter().enumerate() {
        if is_file && i + 1 == names.len() {
            let new = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_CLOEXEC;
            return match openat(&at, *name, new, Mode::from_bits_truncate(0o644)) {
                Ok(_) | Err(Errno::EEXIST) => Ok(()),
                Err(e) => Err(e.into()),
            };
        }
        match mkdirat(&at, *name, Mode::from_bits_truncate(0o755)) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(e) => return Err(e.into()),
        }
        at = openat(&at, *name, as_directory | OFlag::O_NOFOLLOW, Mode::empty())
            .with_context(|| format!("{name}: expected a directory"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_mount_point_is_created_only_inside_its_directory() {
        let dir = tempfile::tempdir().unwrap();
        let (volume, outside) = (dir.path().join("volume"), dir.path().join("outside"));
        fs::create_dir(&volume).unwrap();
        fs::create_dir(&outside).unwrap();
        symlink(&outside, volume.join("link")).unwrap();
        make_mount_point(&volume, "a/b/file", true).unwrap();
        make_mount_point(&volume, "a/b/file", true).unwrap();
        make_mount_point(&volume, "a/c/dir", false).unwrap();
        assert!(volume.join("a/b/file").is_file() && volume.join("a/c/dir").is_dir());
        assert!(make_mount_point(&volume, "link/file", true).is_err());
        assert!(make_mount_point(&volume, "link", false).is_err());
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    }

    #[test]
    fn changing_the_owner_of_a_tree_follows_no_symbolic_link() {
        let dir = tempfile::tempdir().unwrap();
        let (tree, outside) = (dir.path().join("tree"), dir.path().join("outside"));
        fs::create_dir_all(tree.join("a/b")).unwrap();
        fs::write(tree.join("a/b/f"), "").unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("f"), "").unwrap();
        symlink(&outside, tree.join("a/link")).unwrap();
        let own = fs::metadata(&outside).unwrap();
        // Only root may change the owner to another user.
        let (uid, gid) = if own.uid() == 0 { (12, 34) } else { (own.uid(), own.gid()) };
        chown_tree(&tree, uid, gid).unwrap();
        for path in ["", "a", "a/b", "a/b/f", "a/link"] {
            let meta = fs::symlink_metadata(tree.join(path)).unwrap();
            assert_eq!((meta.uid(), meta.gid()), (uid, gid), "{path}");
        }
        assert_eq!(fs::metadata(outside.join("f")).unwrap().uid(), own.uid());
    }
}
