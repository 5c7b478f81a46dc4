//! Annotations: the ones libpod leaves for runtimes and systemd, and the user's.

use crate::compat::Compat;
use crate::container::Container;
use crate::spec::Spec;

/// Sets what libpod of that version sets on every container.
pub fn apply_libpod(spec: &mut Spec, container: &Container, compat: Compat) {
    if compat == Compat::Podman43 {
        spec.annotate("io.kubernetes.cri-o.Created", container.created.as_str());
    }
    let signal = container.stop_signal.to_string();
    spec.annotate("org.opencontainers.image.stopSignal", signal.as_str());
    if compat != Compat::Podman43 {
        // Properties of the scope systemd makes for the container; 0 is systemd's own default.
        if container.stop_signal != 0 {
            spec.annotate("org.systemd.property.KillSignal", signal);
        }
        if container.stop_timeout != 0 {
            let micros = container.stop_timeout.saturating_mul(1_000_000);
            spec.annotate("org.systemd.property.TimeoutStopUSec", format!("uint64 {micros}"));
        }
    }
    if spec.annotation("io.container.manager").is_none() {
        spec.annotate("io.container.manager", "libpod");
    }
}
