//! The privileges of the process: `--privileged`, capabilities, seccomp, masked paths.

pub mod apparmor;
pub mod capabilities;
pub mod labels;
pub mod masks;
mod seccomp;
pub mod security_opt;
pub mod selinux_fields;

use anyhow::Context;

use crate::input;
use crate::job::Job;
use crate::runtime_spec::key;
use crate::runtime_spec::{Spec, mounts};

/// Applies the security flags. The user must be set before, because the capabilities depend on it.
///
/// # Errors
/// Returns an error that names the invalid flag.
pub fn apply(job: &mut Job<'_>) -> anyhow::Result<()> {
    let s = &job.args.security;
    let compat = job.args.hooks.compat;
    let (is_libpod, privileged) = (job.container.is_libpod, job.container.privileged);
    let Job { spec, trace, session, .. } = job;
    if s.privileged == Some(true) {
        make_privileged(spec);
        trace.because(spec, || "--privileged".into());
    }
    capabilities::apply(spec, &s.cap_add, &s.cap_drop)?;
    trace.because(spec, || "--cap-add, --cap-drop".into());
    if let Some(value) = s.no_new_privileges {
        spec.set(key::PROCESS_NO_NEW_PRIVILEGES, value);
        trace.because(spec, || "--no-new-privileges".into());
    }
    match s.seccomp.as_deref() {
        None => {}
        Some("unconfined") => {
            spec.remove(key::LINUX_SECCOMP);
        }
        Some(file) => {
            let (value, name) = input::read_json(Some(file.as_ref()), "a seccomp profile")?;
            let facts = seccomp::Facts {
                capabilities: &spec.texts(key::PROCESS_CAPABILITIES_BOUNDING),
                kernel: seccomp::kernel(),
            };
            let profile = seccomp::profile(&value, &facts).context(name)?;
            spec.set(key::LINUX_SECCOMP, profile);
        }
    }
    trace.because(spec, || "--seccomp".into());
    add_proc_options(spec, &s.proc_opts)?;
    trace.because(spec, || "--security-opt proc-opts".into());
    if is_libpod && !s.unmask.is_empty() {
        // These come before `--unmask` is applied, so that `--unmask` also applies to them.
        masks::of_libpod(spec, privileged, compat);
    }
    masks::unmask(spec, &s.unmask);
    trace.because(spec, || "--unmask".into());
    // As in podman (pkg/specgen/generate, BlockAccessToKernelFilesystems), `--unmask` does not apply to
    // the paths of `--mask`.
    for path in masks::mask(spec, &s.mask) {
        session.warn(format_args!("--mask {path}: not an absolute path, ignored"));
    }
    trace.because(spec, || "--mask".into());
    Ok(())
}

fn add_proc_options(spec: &mut Spec, wanted: &[String]) -> anyhow::Result<()> {
    if wanted.is_empty() {
        return Ok(());
    }
    let Some(proc) = spec.mounts_mut().iter_mut().find(|m| mounts::kind(m) == "proc") else {
        return Err(cli::usage("--security-opt proc-opts: the spec has no mount of proc"));
    };
    // As in podman, these options replace all earlier options.
    mounts::set_options(proc, wanted.iter().filter(|o| !o.is_empty()).cloned().collect());
    Ok(())
}

/// Removes the restrictions that separate the container from the host, as podman does.
fn make_privileged(spec: &mut Spec) {
    capabilities::set_all(spec);
    for key in [
        key::LINUX_SECCOMP,
        key::LINUX_MASKED_PATHS,
        key::LINUX_READONLY_PATHS,
        key::PROCESS_APPARMOR_PROFILE,
    ] {
        spec.remove(key);
    }
    if spec.is_true(key::PROCESS_NO_NEW_PRIVILEGES) {
        spec.set(key::PROCESS_NO_NEW_PRIVILEGES, false);
    }
    for mount in spec.mounts_mut().iter_mut() {
        if matches!(mounts::kind(mount), "sysfs" | "cgroup" | "cgroup2") {
            let writable =
                mounts::options(mount).map(|o| if o == "ro" { "rw" } else { o }.to_owned()).collect();
            mounts::set_options(mount, writable);
        }
    }
    spec.annotate("io.podman.annotations.privileged", "TRUE");
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_privileged_container_has_no_restrictions() {
        let mut spec = Spec::new(json!({
            "process": {"noNewPrivileges": true, "apparmorProfile": "p", "capabilities": {"bounding": []}},
            "mounts": [
                {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "ro"]},
                {"destination": "/c1", "type": "cgroup", "source": "cgroup", "options": ["ro", "nodev"]},
                {"destination": "/c2", "type": "cgroup2", "source": "cgroup", "options": ["ro"]},
                {"destination": "/d", "type": "bind", "source": "/d", "options": ["ro", "rbind"]},
            ],
            "linux": {"seccomp": {}, "maskedPaths": ["/a"], "readonlyPaths": ["/b"], "rootfsPropagation": "slave"}
        }));
        make_privileged(&mut spec);
        assert_eq!(spec.value()["linux"], json!({"rootfsPropagation": "slave"}));
        assert_eq!(spec.value()["process"]["noNewPrivileges"], false);
        assert_eq!(spec.value()["process"].get("apparmorProfile"), None);
        assert_ne!(spec.value()["process"]["capabilities"]["bounding"], json!([]));
        let options: Vec<&Value> = spec.mounts().iter().map(|m| &m["options"]).collect();
        assert_eq!(
            options,
            [&json!(["nosuid", "rw"]), &json!(["rw", "nodev"]), &json!(["rw"]), &json!(["ro", "rbind"])]
        );
        assert_eq!(spec.annotation("io.podman.annotations.privileged"), Some("TRUE"));
        // A spec without the key does not get it.
        let mut spec = Spec::new(json!({"process": {}}));
        make_privileged(&mut spec);
        assert_eq!(spec.get(key::PROCESS_NO_NEW_PRIVILEGES), None);
    }
}
