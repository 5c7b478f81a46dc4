//! The annotations that libpod sets for runtimes and systemd, and the annotations of flags.

use anyhow::bail;
use cli::usage;

use crate::args::HookArgs;
use crate::input::container::Container;
use crate::input::lines::each_line;
use crate::notation::compat::Compat;
use crate::runtime_spec::Spec;
use crate::runtime_spec::explain::Trace;

/// Sets the annotations that this version of libpod sets on every container.
pub fn apply_libpod(spec: &mut Spec, container: &Container, compat: Compat) {
    if compat == Compat::Podman43 {
        spec.annotate("io.kubernetes.cri-o.Created", container.created.as_str());
    }
    let signal = container.stop_signal.to_string();
    spec.annotate("org.opencontainers.image.stopSignal", signal.as_str());
    if compat != Compat::Podman43 {
        // Properties of the scope that systemd creates for the container. 0 is systemd's default.
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

/// Sets labels and annotations: first from files, then from the command line.
///
/// # Errors
/// Returns an error that names the invalid flag or line.
pub fn apply_flags(spec: &mut Spec, trace: &mut Trace, args: &HookArgs) -> anyhow::Result<()> {
    for file in &args.label_file {
        each_line(file, "KEY=VALUE lines", &mut |at, line| {
            set_label(spec, line)?;
            trace.because(spec, || format!("--label-file: {at}"));
            Ok(())
        })?;
    }
    for label in &args.label {
        set_label(spec, label).map_err(|e| usage(format!("--label {label}: {e:#}")))?;
        trace.because(spec, || format!("--label {label}"));
    }
    for pair in &args.annotation {
        let Some((key, value)) = pair.split_once('=').filter(|(key, _)| !key.is_empty()) else {
            return Err(usage(format!("--annotation {pair}: expected KEY=VALUE")));
        };
        spec.annotate(key, value);
        trace.because(spec, || format!("--annotation {pair}"));
    }
    Ok(())
}

/// Sets a label, written `KEY[=VALUE]` as in podman.
fn set_label(spec: &mut Spec, label: &str) -> anyhow::Result<()> {
    let (key, value) = label.split_once('=').unwrap_or((label, ""));
    if key.is_empty() || key.contains([' ', '\t']) {
        bail!("expected KEY[=VALUE], KEY without blanks");
    }
    spec.annotate(key, value);
    Ok(())
}
