//! `--check`: the files that processes have open or mapped, and the root directory.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use checkpoint::criu::requirements::{Place, RequiredFile, Requirements};
use nix::libc;
use tartree::TarPath;

use super::restore::{Findings, Form, Restore};
use super::trees::{self, Lookup, below, text};

/// The most files that are reported individually.
const MAX_REPORTED: usize = 20;

/// Checks that the root directory exists and has the mode that CRIU requires.
pub fn root(required: &Requirements, restore: &Restore, findings: &mut Findings) {
    let Some(rootfs) = &restore.rootfs else {
        findings.passed.push("the files of processes were not compared: no --rootfs given".into());
        return;
    };
    let name = cli::display_path(rootfs);
    let found = match fs::metadata(rootfs) {
        Ok(meta) if meta.is_dir() => meta.permissions().mode() & 0o7777,
        Ok(_) => return findings.fails(format!("{name}: not a directory"), MOUNT_IMAGE),
        Err(e) => return findings.fails(format!("{name}: {e}"), MOUNT_IMAGE),
    };
    let Some(mode) = required.root_mode.filter(|mode| *mode != found) else { return };
    match restore.form {
        Form::Bundle(_) => findings.fails(
            format!("{name}: the mode is {found:04o}, but CRIU requires {mode:04o}"),
            format!("chmod {mode:04o} {name}"),
        ),
        // ckpt-unpack sets the mode.
        Form::Archive(_) => findings.passed.push(format!("{name}: will get mode {mode:04o}")),
    }
}

const MOUNT_IMAGE: &str = "copy or mount the root file system of the container's image there";

/// Compares the files with the host, except those on the mounts in `skipped`.
pub fn check(
    required: &Requirements,
    restore: &Restore,
    skipped: &BTreeSet<Vec<u8>>,
    findings: &mut Findings,
) {
    let files: Vec<_> = required
        .files
        .iter()
        .filter(|file| !matches!(&file.place, Place::External(key) if skipped.contains(key)))
        .map(|file| (file, lookup(file, restore)))
        .collect();
    // Without the image, one message is clearer than one for each file.
    if let Some(rootfs) = restore.rootfs.as_ref().filter(|dir| dir.is_dir()) {
        let in_root: Vec<_> = files
            .iter()
            .filter(|(file, _)| file.place == Place::Root && is_regular(file))
            .filter(|(_, found)| *found != Lookup::Unknown)
            .collect();
        let all_missing = in_root.iter().all(|(_, found)| *found == Lookup::Missing);
        if let (Some((first, _)), true) = (in_root.first(), all_missing) {
            findings.fails(
                format!(
                    "{}: has neither {} nor any other file that a process uses",
                    cli::display_path(rootfs),
                    text(&first.path)
                ),
                MOUNT_IMAGE,
            );
            return;
        }
    }
    let mut more = 0;
    for (file, found) in files {
        let Some((problem, hint)) = problem(file, found, restore) else { continue };
        if findings.found.len() < MAX_REPORTED {
            findings.fails(problem, hint);
        } else {
            more += 1;
        }
    }
    if more > 0 {
        findings.fails(format!("{more} more files differ"), MOUNT_IMAGE);
    }
}

fn is_regular(file: &RequiredFile) -> bool {
    file.mode.is_none_or(|mode| mode & libc::S_IFMT == libc::S_IFREG)
}

/// Compares a file as CRIU does.
fn problem(file: &RequiredFile, found: Lookup, restore: &Restore) -> Option<(String, String)> {
    let path = match (&file.place, &restore.rootfs) {
        (Place::Root, Some(rootfs)) => format!("{}{}", cli::display_path(rootfs), text(&file.path)),
        _ => text(&file.path),
    };
    let other = match file.place {
        Place::Root => "use the image from which the container was created, and apply rootfs-diff.tar",
        Place::External(_) => "copy the file from the other host",
    };
    match found {
        Lookup::Unknown => None,
        Lookup::Missing => Some((format!("{path}: no such file, but a process uses it"), other.into())),
        Lookup::Found { mode, size } => {
            let is_regular = mode & libc::S_IFMT == libc::S_IFREG;
            if let Some(expected) = file.mode.filter(|expected| *expected != mode) {
                let text =
                    format!("{path}: the type and mode are {mode:07o}, but CRIU requires {expected:07o}");
                let same_type = expected & libc::S_IFMT == mode & libc::S_IFMT;
                let chmod = format!("chmod {:04o} {path}", expected & 0o7777);
                return Some((text, if same_type { chmod } else { other.into() }));
            }
            let expected = file.size.filter(|expected| is_regular && *expected != size)?;
            Some((format!("{path}: the size is {size} bytes, but CRIU requires {expected}"), other.into()))
        }
    }
}

/// Looks up a file where it will be at the restore.
fn lookup(file: &RequiredFile, restore: &Restore) -> Lookup {
    match &file.place {
        Place::Root => {
            let Some(path) = below(&file.path, b"/") else { return Lookup::Unknown };
            let changed = restore.archived.rootfs.changed(&path);
            changed
                .or_else(|| Some(trees::on_host(restore.rootfs.as_deref()?, &path)))
                .unwrap_or(Lookup::Unknown)
        }
        Place::External(key) => match below(&file.path, key) {
            Some(path) => on_mount(key, &path, restore),
            None => Lookup::Unknown,
        },
    }
}

fn on_mount(key: &[u8], path: &TarPath, restore: &Restore) -> Lookup {
    let to = text(key);
    if let Some(volume) = restore.volume_at(&to).filter(|_| matches!(restore.form, Form::Archive(_))) {
        return match (restore.archived.volumes.get(volume), restore.volume_dir(volume)) {
            (Some(tree), _) => tree.file(path),
            (None, Some(dir)) => on_source(dir, path),
            (None, None) => Lookup::Unknown,
        };
    }
    if let (Some(shm), "/dev/shm") = (&restore.archived.shm, &*to) {
        return shm.file(path);
    }
    match (&restore.form, restore.source(&to)) {
        (Form::Bundle(_), Some(Some(source))) => on_source(source, path),
        _ => Lookup::Unknown,
    }
}

/// Looks up a file below the source of a mount, which may be the file itself.
fn on_source(source: &Path, path: &TarPath) -> Lookup {
    if !path.is_root() {
        return trees::on_host(source, path);
    }
    match fs::metadata(source) {
        Ok(meta) => Lookup::Found { mode: meta.permissions().mode(), size: meta.len() },
        Err(_) => Lookup::Unknown,
    }
}
