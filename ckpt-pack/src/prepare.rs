//! `--prepare` and `--cleanup`: the bundle before a dump and after its export.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;

use anyhow::Context;
use cli::{Exit, Hint, Session};
use xattr::FileExt;

use crate::bundle::Bundle;

/// Makes an empty `dump.log`. CRIU's parasite writes to it from inside the container, so SELinux wants it to have the
/// container's label (podman `createCheckpointLog`).
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
        // The kernel takes the label with its final NUL, as libselinux writes it.
        let value = [label.as_bytes(), b"\0"].concat();
        file.set_xattr("security.selinux", &value)
            .with_context(|| format!("{}: label {label}", object()))
            .map_err(|e| Hint::on(e, "leave --mount-label out where SELinux is not enabled"))?;
    }
    Ok(Exit::Done)
}

/// What podman deletes after an export (libpod `Container.checkpoint`), and what an older one leaves behind: a stale
/// diff would be applied by the next local restore. CRIU's images stay.
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

/// Removes what a finished export no longer needs.
pub fn cleanup(bundle: &Bundle, session: &Session) -> anyhow::Result<Exit> {
    cli::remove_from(bundle.dir(), &EXPORTED, session)?;
    Ok(Exit::Done)
}
