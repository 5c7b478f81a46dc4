//! Lets the root user of a container with a user namespace read the images. CRIU opens them as that
//! user, who is not root on the host.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::Path;

use anyhow::Context;
use checkpoint::spec_dump::SpecDump;
use cli::Session;

/// Lets the group of the container's root read the images in `staging`, which becomes the bundle.
///
/// The owner does not change, and the group may not write, because spec.dump comes from the archive
/// and could name any user of the host. No other user gets access.
///
/// # Errors
/// Returns an error if chown(2) or chmod(2) fails.
pub fn open_to_container(staging: &Path, bundle: &Path, session: &Session) -> anyhow::Result<()> {
    let Some(group) = container_group(staging)? else { return Ok(()) };
    if !nix::unistd::geteuid().is_root() {
        session.warn(format_args!(
            "checkpoint/: not readable for group {group}, the container's root, as which CRIU reads the images: unpack as root"
        ));
        return Ok(());
    }
    session.note(format_args!("checkpoint/: readable for group {group}, the container's root"));
    let mut names = vec!["checkpoint".to_owned(), "pre-checkpoint".to_owned()];
    while let Some(name) = names.pop() {
        let dir = staging.join(&name);
        // A link `parent` leads to a directory of the list.
        if !dir.symlink_metadata().is_ok_and(|meta| meta.is_dir()) {
            continue;
        }
        let object = || name.clone();
        for entry in fs::read_dir(&dir).with_context(object)? {
            let entry = entry.with_context(object)?;
            if entry.file_type().with_context(object)?.is_file() {
                give(&entry.path(), group, 0o640).with_context(|| cli::display_path(entry.path()))?;
            }
        }
        give(&dir, group, 0o750).with_context(object)?;
        names.push(format!("{name}/parent"));
    }
    // Search permission only: the other files in the bundle stay private to the owner.
    give(staging, group, 0o710).with_context(|| cli::display_path(bundle))?;
    warn_of_closed_parents(bundle, group, session);
    Ok(())
}

/// Gives `path` to `group`.
fn give(path: &Path, group: u32, mode: u32) -> std::io::Result<()> {
    lchown(path, None, Some(group))?;
    fs::set_permissions(path, Permissions::from_mode(mode))
}

/// Warns of directories above the bundle that the container's root cannot enter, because CRIU then
/// fails with "Permission denied".
fn warn_of_closed_parents(bundle: &Path, group: u32, session: &Session) {
    let Ok(bundle) = std::path::absolute(bundle) else { return };
    // The list includes the bundle: an existing bundle keeps its mode. A new one does not exist
    // yet.
    for dir in bundle.ancestors() {
        let Ok(meta) = fs::metadata(dir) else { continue };
        let is_open = meta.mode() & 0o001 != 0 || meta.gid() == group && meta.mode() & 0o010 != 0;
        if !is_open {
            session.warn(format_args!(
                "{}: group {group}, the container's root, cannot enter this directory, and CRIU reads the images as that user: chmod o+x",
                cli::display_path(dir)
            ));
        }
    }
}

/// Returns the host group ID of the container's root, or `None` if it is 0.
fn container_group(staging: &Path) -> anyhow::Result<Option<u32>> {
    let Ok(file) = fs::File::open(staging.join("spec.dump")) else { return Ok(None) };
    let spec = SpecDump::read(&cli::read_document(file, "spec.dump", SpecDump::LIMIT)?)?;
    Ok(spec.root_group().filter(|group| *group != 0))
}
