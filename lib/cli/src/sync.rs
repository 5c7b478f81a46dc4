//! What survives a power loss (`--fsync`).
//!
//! Always in the order content, then name, then the directory that holds the name: after a crash at any moment a name either
//! leads to all of the content, or is not there.

use std::fs::File;
use std::io;
use std::path::Path;

use anyhow::Context;
use nix::unistd::{fsync, syncfs};

use crate::message::name;

/// Writes the file system of `dir` to its disk, with all that was extracted below it. What is mounted below it is another
/// file system.
///
/// # Errors
/// The kernel's, which include those of writes that were thought done (Linux 5.8).
pub fn file_system(dir: &Path) -> anyhow::Result<()> {
    open(dir)
        .and_then(|fd| Ok(syncfs(fd)?))
        .with_context(|| format!("{}: not written to the disk", name(dir)))
}

/// Writes the names in `dir` to its disk.
///
/// # Errors
/// The kernel's.
pub fn directory(dir: &Path) -> anyhow::Result<()> {
    open(dir).and_then(|fd| Ok(fsync(fd)?)).with_context(|| format!("{}: not written to the disk", name(dir)))
}

fn open(dir: &Path) -> io::Result<File> {
    File::open(dir)
}
