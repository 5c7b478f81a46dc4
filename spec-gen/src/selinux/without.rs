//! SELinux without libselinux: passes labels through and rejects actions that need the library.

use std::path::Path;

use cli::Hint;

/// Reports whether SELinux is enabled on this host, by the filesystem that libselinux looks for.
fn is_enabled() -> bool {
    Path::new("/sys/fs/selinux/enforce").exists()
}

/// Accepts every label, because only the policy of the kernel could reject it.
///
/// # Errors
/// Never returns an error in this build.
pub fn check_label(_label: &str) -> anyhow::Result<()> {
    Ok(())
}

/// Reports that this build cannot relabel.
///
/// # Errors
/// Returns an error if SELinux is enabled on this host. Otherwise there is nothing to relabel.
pub fn relabel(path: &Path, label: &str) -> anyhow::Result<()> {
    if !is_enabled() {
        return Ok(());
    }
    Err(Hint::on(
        anyhow::anyhow!("this spec-gen was built without SELinux support"),
        format!("chcon -R {label} {}, or build with --features selinux", cli::display_path(path)),
    ))
}
