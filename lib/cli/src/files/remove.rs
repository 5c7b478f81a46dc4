//! Removes the files that a finished run no longer needs.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::Context;

use crate::messages::display::display_path;
use crate::messages::session::Session;

/// Removes the entries `names` of `dir` and prints a note for each. A directory is removed with its
/// content. A symbolic link is removed, but not its target. Missing entries are ignored.
///
/// # Errors
/// Returns an error for the first entry that cannot be removed. The entries before it are removed.
pub fn remove_from(dir: &Path, names: &[&str], session: &Session) -> anyhow::Result<()> {
    for entry in names {
        let path = dir.join(entry);
        let removed = match fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_dir() => fs::remove_dir_all(&path),
            Ok(_) => fs::remove_file(&path),
            Err(e) => Err(e),
        };
        match removed {
            Ok(()) => session.note(format_args!("{}: removed", display_path(&path))),
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(e).with_context(|| display_path(&path)),
        }
    }
    Ok(())
}
