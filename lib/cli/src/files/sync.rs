//! Writes data to the disk so that it survives a power loss (`--fsync`).
//!
//! The order is always: content, name, directory of the name. After a crash at any moment, a name
//! either refers to the complete content or does not exist.

use std::fs::File;
use std::io;
use std::path::Path;

use anyhow::Context;
use nix::unistd::{fsync, syncfs};

use crate::messages::display::display_path;

/// Writes the file system of `dir` to its disk, with everything that was extracted below `dir`.
/// File systems that are mounted below `dir` are not written.
///
/// # Errors
/// Returns any errno of syncfs(2). Since Linux 5.8 that includes the errors of earlier writes.
pub fn file_system(dir: &Path) -> anyhow::Result<()> {
    open(dir)
        .and_then(|fd| Ok(syncfs(fd)?))
        .with_context(|| format!("{}: not written to the disk", display_path(dir)))
}

/// Writes the entries of the directory `dir` to its disk.
///
/// # Errors
/// Returns any errno of open(2) or fsync(2).
pub fn directory(dir: &Path) -> anyhow::Result<()> {
    open(dir)
        .and_then(|fd| Ok(fsync(fd)?))
        .with_context(|| format!("{}: not written to the disk", display_path(dir)))
}

fn open(dir: &Path) -> io::Result<File> {
    File::open(dir)
}
