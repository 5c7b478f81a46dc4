//! The flags for labels and annotations, which also apply to the spec of a restored container.

use crate::job::Job;
use crate::rules::annotations;
use crate::rules::security::{apparmor, selinux_fields};
use crate::runtime_spec::key;

/// Applies the flags that also apply to the spec of a restored container: SELinux labels of this
/// host, annotations, version.
///
/// # Errors
/// Returns an error that names the invalid flag.
pub fn apply(job: &mut Job<'_>) -> anyhow::Result<()> {
    let Job { spec, trace, args, session, .. } = job;
    let s = &args.security;
    for (key, flag, value) in [
        (key::PROCESS_APPARMOR_PROFILE, "--apparmor", &s.apparmor),
        (key::PROCESS_SELINUX_LABEL, "--selinux-label", &s.selinux_label),
        (key::LINUX_MOUNT_LABEL, "--mount-label", &s.mount_label),
        (key::OCI_VERSION, "--oci-version", &args.input.oci_version),
    ] {
        match value.as_deref() {
            None => {}
            Some("") => {
                spec.remove(key);
            }
            Some(value) => spec.set(key, value),
        }
        trace.because(spec, || flag.to_owned());
    }
    for (field, value) in &s.label_fields {
        if !selinux_fields::set_field(spec, field, value)? {
            session
                .warn(format_args!("--security-opt label={field}:{value} ignored: the host has no SELinux"));
        }
        trace.because(spec, || format!("--security-opt label={field}:{value}"));
    }
    annotations::apply_flags(spec, trace, &args.hooks)?;
    if let Some(signal) = args.hooks.stop_signal {
        spec.annotate("org.opencontainers.image.stopSignal", signal.to_string());
        spec.annotate("org.systemd.property.KillSignal", signal.to_string());
    }
    if let Some(timeout) = args.hooks.stop_timeout {
        const TIMEOUT: &str = "org.systemd.property.TimeoutStopUSec";
        match timeout.saturating_mul(1_000_000) {
            // 0 is systemd's default, as in podman.
            0 => {
                spec.remove_annotation(TIMEOUT);
            }
            micros => spec.annotate(TIMEOUT, format!("uint64 {micros}")),
        }
    }
    trace.because(spec, || "--stop-signal, --stop-timeout".into());
    apparmor::settle(job)
}
