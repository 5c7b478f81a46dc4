//! The SELinux labels of a container config.

use crate::job::Job;
use crate::runtime_spec::key;
use crate::selinux;

/// Sets the labels of the config. An empty label does not replace a label in the spec, although
/// libpod writes empty labels.
pub fn set(job: &mut Job<'_>) -> anyhow::Result<()> {
    for (key, label) in [
        (key::PROCESS_SELINUX_LABEL, &job.container.process_label),
        (key::LINUX_MOUNT_LABEL, &job.container.mount_label),
    ] {
        if !label.is_empty() {
            selinux::check_label(label)?;
            job.spec.set(key, label.as_str());
        }
    }
    job.trace.because(&job.spec, || "SELinux labels".into());
    Ok(())
}
