//! SELinux through libselinux.

use std::ffi::{CString, OsStr};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use selinux::SecurityContext;

use crate::directory_walk;

/// Reports whether SELinux is enabled on this host.
pub fn is_enabled() -> bool {
    !matches!(selinux::kernel_support(), selinux::KernelSupport::Unsupported)
}

/// Checks a label against the policy of the kernel, if SELinux is enabled.
///
/// # Errors
/// Returns an error if the policy does not know the label.
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

/// Relabels a tree. Does nothing if SELinux is disabled.
///
/// # Errors
/// Returns an error if a file cannot be relabeled. Files before it have the new label.
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
        // libselinux has no lsetfileconat. The descriptor pins the directory, and the last
        // component is not followed.
        let object = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd()))
            .join(OsStr::from_bytes(name.to_bytes()));
        context
            .set_for_path(&object, false, false)
            .with_context(|| cli::display_path(OsStr::from_bytes(name.to_bytes())))
    })
}
