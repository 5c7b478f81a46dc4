//! What a spec-gen built without libselinux can do: pass labels through, and refuse what needs the library.

use std::path::Path;

use cli::Hint;

/// Whether this host enforces or permits by SELinux, as far as this build can tell: the file system libselinux looks for.
fn is_enabled() -> bool {
    Path::new("/sys/fs/selinux/enforce").exists()
}

/// Every label passes: only the kernel's policy knows.
///
/// # Errors
/// Never in this build.
pub fn check_label(_label: &str) -> anyhow::Result<()> {
    Ok(())
}

/// Cannot be done.
///
/// # Errors
/// On a host with SELinux; without it there is nothing to label.
pub fn relabel(path: &Path, label: &str) -> anyhow::Result<()> {
    if !is_enabled() {
        return Ok(());
    }
    Err(Hint::on(
        anyhow::anyhow!("this spec-gen was built without SELinux support"),
        format!("chcon -R {label} {}, or build with --features selinux", cli::name(path)),
    ))
}
