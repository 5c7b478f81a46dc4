//! The SELinux labels of a container config.

use crate::job::Job;
use crate::selinux;

/// Labels overwrite only where one is known: libpod writes an empty one over the base's.
pub fn set(job: &mut Job<'_>) -> anyhow::Result<()> {
    for (key, label) in [
        ("process.selinuxLabel", &job.container.process_label),
        ("linux.mountLabel", &job.container.mount_label),
    ] {
        if !label.is_empty() {
            selinux::check_label(label)?;
            job.spec.set(key, label.as_str());
        }
    }
    job.trace.because(&job.spec, || "SELinux labels".into());
    Ok(())
}
