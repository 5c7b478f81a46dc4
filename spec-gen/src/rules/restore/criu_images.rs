//! `--images`: reports images of CRIU that only the runtime that made them can restore.

use std::fs::{self, File};
use std::path::Path;

use anyhow::Context;
use checkpoint::external_mounts::{self, Maker};
use cli::Session;

/// Warns if crun made the images in `dir`.
///
/// # Errors
/// Returns an error if there are no images of mounts, or if one is damaged.
pub fn report_maker(dir: &Path, session: &Session) -> anyhow::Result<()> {
    let object = || cli::display_path(dir);
    let mut found = false;
    for entry in fs::read_dir(dir).with_context(object)? {
        let entry = entry.with_context(object)?;
        let Some(name) = entry
            .file_name()
            .to_str()
            .filter(|name| external_mounts::is_mountpoints(name))
            .map(str::to_owned)
        else {
            continue;
        };
        // Skips a FIFO, which would block, and links.
        if !entry.file_type().with_context(object)?.is_file() {
            continue;
        }
        found = true;
        let path = entry.path();
        let file = File::open(&path).with_context(|| cli::display_path(&path))?;
        let image = cli::read_document(file, &cli::display_path(&path), external_mounts::LIMIT)?;
        if external_mounts::maker(&name, &image).with_context(object)? == Some(Maker::Crun) {
            session.warn(format_args!(
                "{}: crun made the images and runc cannot restore them: restore with crun, or unpack with ckpt-unpack --runtime runc",
                cli::display_path(&path)
            ));
        }
    }
    if !found {
        anyhow::bail!("{}: expected CRIU's images, found no mountpoints-*.img", object());
    }
    Ok(())
}
