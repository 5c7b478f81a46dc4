//! `--prepare` and `--cleanup`: prepare the bundle for a dump, and clean it up after the export.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;

use anyhow::Context;
use cli::{Exit, Hint, Session};
use xattr::FileExt;

use crate::bundle::Bundle;

/// Creates an empty `dump.log` with the container's SELinux label (podman `createCheckpointLog`).
/// CRIU's parasite code writes to it from inside the container, and SELinux allows that only with
/// this label.
pub fn prepare(bundle: &Bundle, label: Option<&str>) -> anyhow::Result<Exit> {
    let path = bundle.path("dump.log");
    let object = || cli::display_path(&path);
    let mut options = OpenOptions::new();
    options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let file = options.open(&path).with_context(object)?;
    cli::private::file(&file).with_context(object)?;
    if let Some(label) = label {
        // libselinux includes the final NUL in the label.
        let value = [label.as_bytes(), b"\0"].concat();
        file.set_xattr("security.selinux", &value)
            .with_context(|| format!("{}: label {label}", object()))
            .map_err(|e| Hint::on(e, "if SELinux is disabled, leave out --mount-label"))?;
    }
    Ok(Exit::Done)
}

/// The files that podman deletes after an export (libpod `Container.checkpoint`), and the files
/// that an older podman leaves there: the next local restore would apply a stale diff. CRIU's
/// images are kept.
const EXPORTED: [&str; 8] = [
    "config.dump",
    "deleted.files",
    "deleted.files0",
    "dump.log",
    "rootfs-diff.tar",
    "spec.dump",
    "stats-dump",
    "volumes",
];

/// Removes files from the bundle that are not needed after an export.
pub fn cleanup(bundle: &Bundle, session: &Session) -> anyhow::Result<Exit> {
    cli::remove_from(bundle.dir(), &EXPORTED, session)?;
    Ok(Exit::Done)
}
