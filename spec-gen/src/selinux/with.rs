//! SELinux through libselinux.

use std::ffi::{CString, OsStr};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use selinux::SecurityContext;

use crate::directory_walk;

/// Whether this host enforces or permits by SELinux.
fn is_enabled() -> bool {
    !matches!(selinux::kernel_support(), selinux::KernelSupport::Unsupported)
}

/// Checks a label against the kernel's policy, where there is one.
///
/// # Errors
/// When the policy does not know it.
pub fn check_label(label: &str) -> anyhow::Result<()> {
    if !is_enabled() {
        return Ok(());
    }
    let text = CString::new(label).context("a label cannot hold a NUL byte")?;
    if SecurityContext::from_c_str(&text, false).check() != Some(true) {
        bail!("{label}: the SELinux policy does not know this label");
    }
    Ok(())
}

/// Labels a tree; nothing to do where the kernel has no SELinux.
///
/// # Errors
/// Files before the one that failed have the new label.
pub fn relabel(path: &Path, label: &str) -> anyhow::Result<()> {
    if !is_enabled() {
        return Ok(());
    }
    check_label(label)?;
    let text = CString::new(label).context("a label cannot hold a NUL byte")?;
    let context = SecurityContext::from_c_str(&text, false);
    context.set_for_path(path, false, false)?;
    if !path.symlink_metadata()?.is_dir() {
        return Ok(());
    }
    directory_walk::walk(path, &mut |dir, name, _| {
        // The directory is pinned by its descriptor and the last component is not followed: there is no lsetfileconat.
        let object = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd()))
            .join(OsStr::from_bytes(name.to_bytes()));
        context
            .set_for_path(&object, false, false)
            .with_context(|| cli::name(OsStr::from_bytes(name.to_bytes())))
    })
}
