//! The deletion lists next to the tar of a diff: FILE, a JSON array, and FILE0 with the names that
//! are not UTF-8.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use checkpoint::deleted_files;
use cli::Output;
use tartree::TarPath;

/// Deletion lists that have been written, but are not yet linked to their names.
pub struct DeletionLists {
    json: Output,
    raw: Option<Output>,
}

impl DeletionLists {
    /// Writes the lists. Always writes FILE, so that `apply --deleted FILE` works for every diff.
    /// Writes FILE0 only if there are names that are not UTF-8, and otherwise removes an existing
    /// FILE0.
    ///
    /// # Errors
    /// Returns an error if a list cannot be written, or the FILE0 of an earlier diff cannot be
    /// removed.
    pub fn write(
        file: &Path,
        json: Option<Vec<u8>>,
        raw: Option<Vec<u8>>,
        fsync: bool,
    ) -> anyhow::Result<DeletionLists> {
        let mut lists = DeletionLists { json: Output::text(Some(file))?.synced(fsync), raw: None };
        lists
            .json
            .write_all(&json.unwrap_or_else(|| b"[]\n".to_vec()))
            .with_context(|| cli::display_path(file))?;
        let raw_file = raw_list(file);
        match raw {
            Some(raw) => {
                let mut output = Output::text(Some(&raw_file))?.synced(fsync);
                output.write_all(&raw).with_context(|| cli::display_path(&raw_file))?;
                lists.raw = Some(output);
            }
            // `apply` would read the FILE0 of an earlier diff as part of this diff.
            None => match std::fs::remove_file(&raw_file) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(e).with_context(|| cli::display_path(&raw_file));
                }
                _ => {}
            },
        }
        Ok(lists)
    }

    /// Links the lists to their names.
    ///
    /// # Errors
    /// Returns an error if a file cannot be linked.
    pub fn commit(self) -> anyhow::Result<()> {
        self.json.commit()?;
        self.raw.map_or(Ok(()), Output::commit)
    }
}

/// Reads the paths of FILE, and of FILE0 if it exists.
///
/// # Errors
/// Returns an error if a list cannot be read or is malformed.
pub fn read(file: &Path) -> anyhow::Result<Vec<TarPath>> {
    let read = |path: &Path| -> anyhow::Result<Vec<u8>> {
        let input = File::open(path).with_context(|| cli::display_path(path))?;
        cli::read_document(input, &cli::display_path(path), deleted_files::LIMIT)
    };
    let mut paths = deleted_files::read(&read(file)?).with_context(|| cli::display_path(file))?;
    let raw = raw_list(file);
    if raw.exists() {
        paths.extend(deleted_files::read0(&read(&raw)?).with_context(|| cli::display_path(&raw))?);
    }
    Ok(paths)
}

/// Returns the path of the second list: `file` with `0` appended to its name.
pub fn raw_list(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push("0");
    name.into()
}
