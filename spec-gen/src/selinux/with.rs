//! SELinux through libselinux.

use std::ffi::CString;
use std::path::Path;

use anyhow::{Context, bail};
use selinux::SecurityContext;

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
    let mut todo = vec![path.to_path_buf()];
    while let Some(path) = todo.pop() {
        // The link itself and not what it leads to: the tree may not be ours.
        context.set_for_path(&path, false, false).with_context(|| cli::name(path.as_os_str()))?;
        if path.symlink_metadata()?.is_dir() {
            for entry in path.read_dir().with_context(|| cli::name(path.as_os_str()))? {
                todo.push(entry?.path());
            }
        }
    }
    Ok(())
}
