//! Removing what a finished run no longer needs.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::Context;

use crate::message::{Session, name};

/// Removes the `names` in `dir`, directories with all that is in them; what is not there is passed over, and each that was is
/// noted. A symbolic link is removed, not what it names.
///
/// # Errors
/// At the first that cannot be removed; those before it are gone.
pub fn remove_from(dir: &Path, names: &[&str], session: &Session) -> anyhow::Result<()> {
    for entry in names {
        let path = dir.join(entry);
        let removed = match fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_dir() => fs::remove_dir_all(&path),
            Ok(_) => fs::remove_file(&path),
            Err(e) => Err(e),
        };
        match removed {
            Ok(()) => session.note(format_args!("{}: removed", name(&path))),
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(e).with_context(|| name(&path)),
        }
    }
    Ok(())
}
