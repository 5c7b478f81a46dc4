//! SELinux labels through the interfaces of the kernel, as runc and podman set them
//! (opencontainers/selinux).

use std::ffi::{CStr, OsStr};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};

use crate::directory_walk;

const XATTR: &str = "security.selinux";

/// Reports whether SELinux is enabled on this host.
pub fn is_enabled() -> bool {
    // Until a policy is loaded, every process has the label "kernel".
    Path::new("/sys/fs/selinux/enforce").exists()
        && fs::read("/proc/self/attr/current")
            .is_ok_and(|label| without_nul(&label).trim_ascii_end() != b"kernel")
}

/// Checks a label against the policy of the kernel, if SELinux is enabled.
///
/// # Errors
/// Returns an error if the policy does not know the label.
pub fn check_label(label: &str) -> anyhow::Result<()> {
    if !is_enabled() {
        return Ok(());
    }
    let path = Path::new("/sys/fs/selinux/context");
    let mut file = OpenOptions::new().write(true).open(path).with_context(|| cli::display_path(path))?;
    // The kernel parses the label during this call and must get all of it.
    match file.write(label.as_bytes()) {
        Ok(_) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::InvalidInput => {
            Err(anyhow!("{label}: the SELinux policy does not know this label"))
        }
        Err(e) => Err(e).with_context(|| cli::display_path(path)),
    }
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
    set_label(path, label)?;
    if !path.symlink_metadata()?.is_dir() {
        return Ok(());
    }
    directory_walk::walk(path, &mut |dir, name: &CStr, _| {
        // Linux before 6.13 has no setxattrat(2). The descriptor pins the directory, and the last
        // component is not followed.
        let name = OsStr::from_bytes(name.to_bytes());
        let object = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd())).join(name);
        set_label(&object, label).with_context(|| cli::display_path(name))
    })
}

/// Sets the label of an inode, without following a link.
fn set_label(path: &Path, label: &str) -> io::Result<()> {
    // The value ends with a NUL byte, as in the labels that chcon(1) and restorecon(8) set.
    let value = [label.as_bytes(), b"\0"].concat();
    match xattr::set(path, XATTR, &value) {
        // Mounted with the option context=: all inodes have the same label, which cannot be changed.
        Err(e) if e.raw_os_error() == Some(libc::ENOTSUP) => match xattr::get(path, XATTR) {
            Ok(Some(present)) if without_nul(&present) == label.as_bytes() => Ok(()),
            _ => Err(e),
        },
        result => result,
    }
}

fn without_nul(label: &[u8]) -> &[u8] {
    label.strip_suffix(b"\0").unwrap_or(label)
}
