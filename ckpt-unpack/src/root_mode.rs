//! Sets the mode of the root directory that CRIU requires.
//!
//! CRIU refuses to restore a process whose root directory has another mode than at the dump ("File .
//! has bad mode"). The mode is often in no archive, because it is not a change of the container:
//! podman and CRI-O mount a root file system with mode 0555 if the image does not define a mode, and
//! other engines with 0755.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::Context;
use checkpoint::root_process::{self, RootProcess};
use cli::Session;

/// Gives `rootfs` the mode that the images in `images` record. `name` is its name for messages.
///
/// # Errors
/// Returns an error if an image is damaged, or if the mode cannot be changed.
pub fn set(rootfs: &Path, name: &Path, images: &Path, session: &Session) -> anyhow::Result<()> {
    let object = || cli::display_path(name);
    let Some(mode) = dumped_mode(images)? else {
        session.warn(format_args!(
            "{}: mode not set, the images in checkpoint/ do not record the mode that CRIU requires",
            object()
        ));
        return Ok(());
    };
    let found = fs::metadata(rootfs).with_context(object)?.permissions().mode() & 0o7777;
    if found != mode {
        fs::set_permissions(rootfs, Permissions::from_mode(mode))
            .with_context(|| format!("{}: mode {mode:04o}", object()))?;
        session.note(format_args!(
            "{}: mode changed from {found:04o} to {mode:04o}, which CRIU requires",
            object()
        ));
    }
    Ok(())
}

/// Returns the mode of the root directory at the dump, or `None` if the images do not record it.
fn dumped_mode(images: &Path) -> anyhow::Result<Option<u32>> {
    if !images.is_dir() {
        return Ok(None);
    }
    let read = root_process::reader(images).context("checkpoint")?;
    let Some(mut process) = RootProcess::find(read)? else { return Ok(None) };
    Ok(process.root_mode()?)
}
