//! Applies the rules in order, as podman's `generateSpec` does for a container that it is about to
//! start.
//!
//! All rules apply to a container config. For a plain spec, only the rules of the given flags
//! apply, so that spec-gen without flags changes nothing.

use anyhow::Context;

use crate::input::image_config::ImageConfig;
use crate::job::Job;
use crate::rules::engine::systemd_mode::{self, Hierarchy};
use crate::rules::engine::{self, secrets};
use crate::rules::mounts::{self, volume_mount::Phase};
use crate::rules::process::{self, environment, working_directory};
use crate::rules::security::{self, labels, masks};
use crate::rules::{
    annotations, cdi, container_flags, devices, hooks, labels_and_annotations, namespaces, oci_runtime_tool,
    resources, root, user,
};

/// Applies the rules.
///
/// # Errors
/// Returns the error of the first rule that cannot be applied.
pub fn run(job: &mut Job<'_>, image: Option<&ImageConfig>) -> anyhow::Result<()> {
    root::set(job)?;
    if let Some(image) = image {
        image.apply(&mut job.spec, &mut job.container).with_context(|| job.name.clone())?;
        job.trace.because(&job.spec, || "--image-config".into());
    }
    // Flags are applied after the config, because they replace its values.
    mounts::remove::apply(job, image)?;
    namespaces::namespace_flags::apply(job)?;
    process::apply(job)?;
    oci_runtime_tool::set_process(job)?;
    container_flags::to_container(&mut job.container, job.args, &job.spec)?;
    mounts::flag_volumes::make_anonymous(job)?;
    mounts::image_volumes::add(job, image)?;

    // The mounts are sorted only if a rule changed them: without flags, nothing changes.
    let mounts_before = job.spec.mounts().to_vec();
    oci_runtime_tool::add_mounts(job)?;
    let own = mounts::add(job, Phase::Bind)?;
    mounts::read_only::apply(&mut job.spec, job.args, job.container.is_libpod)?;
    job.trace.because(&job.spec, || "mount flags".into());

    let user = user::look_up(job)?;
    user::set_ids(job, user.as_ref());
    security::apply(job)?;
    if job.container.all_devices {
        if job.container.rootless {
            devices::bind_all(&mut job.spec)?;
        } else {
            devices::add_all(&mut job.spec, job.container.systemd)?;
        }
        job.trace.because(&job.spec, || "privileged: every device of this host".into());
    }
    devices::apply_flags(job)?;
    namespaces::set_network(job);
    mounts::engine_options::apply(job, &own)?;
    labels::set(job)?;
    engine::bind_files(job)?;
    mounts::add(job, Phase::Overlay)?;
    mounts::add(job, Phase::Image)?;
    user::set(job, user.as_ref())?;
    if job.container.systemd {
        // A version that the user gives belongs to another host, whose mounts cannot be inspected.
        let hierarchy = match job.args.cgroups.cgroup_version {
            Some(_) => Hierarchy::Mounted(Vec::new()),
            None => Hierarchy::of_host(),
        };
        systemd_mode::apply(&mut job.spec, &job.container, job.cgroups, &hierarchy)?;
        job.trace.because(&job.spec, || "systemd mode".into());
    }
    user::add_member_groups(job, user.as_ref())?;
    namespaces::share(job)?;
    namespaces::id_maps::set_automatic(job);
    namespaces::id_maps::fit(job)?;
    namespaces::hostname::set(job)?;
    set_annotations(job)?;
    resources::cgroup_path::set(job)?;
    cdi::apply(job)?;
    if job.container.is_libpod || *job.spec.mounts() != *mounts_before {
        mounts::settle::apply(job)?;
    }
    working_directory::apply(job)?;
    resources::apply(&mut job.spec, &job.args.resources, &mut job.trace)?;
    oci_runtime_tool::finish(job)?;
    if job.container.rootless {
        if let Some(wanted) = resources::raise_oom_score(&mut job.spec)? {
            job.session.warn(format_args!(
                "process.oomScoreAdj: {wanted} is lower than spec-gen's own score; raised to that score"
            ));
        }
        job.trace.because(&job.spec, || "--rootless: an unprivileged user cannot lower the score".into());
    }
    hooks::apply(job)?;
    let secret_files = secrets::env_files(&job.args.engine, &job.args.process.secret_env)?;
    secrets::apply(&mut job.spec, &job.container.secret_env, &secret_files)?;
    job.trace.because(&job.spec, || "secrets".into());
    if job.args.process.listen_fds {
        environment::listen_fds(&mut job.spec);
        job.trace.because(&job.spec, || "--listen-fds".into());
    }
    if job.args.resources.default_rlimits {
        resources::rlimits::set_default(&mut job.spec)?;
        job.trace.because(&job.spec, || "--default-rlimits".into());
    }
    // With `--unmask`, the masks were added before it, so that it unmasks only the paths that it
    // names.
    if job.container.is_libpod && job.args.security.unmask.is_empty() {
        masks::of_libpod(&mut job.spec, job.container.privileged, job.args.hooks.compat);
        job.trace.because(&job.spec, || "paths that are always masked, once".into());
    }
    hooks::run_precreate(job)
}

fn set_annotations(job: &mut Job<'_>) -> anyhow::Result<()> {
    if job.container.is_libpod {
        annotations::apply_libpod(&mut job.spec, &job.container, job.args.hooks.compat);
        job.trace.because(&job.spec, || "annotations of the container engine".into());
    }
    labels_and_annotations::apply(job)
}
