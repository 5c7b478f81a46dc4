//! `--restore`: adapts the spec of a checkpointed container to this host.
//!
//! A `spec.dump` is the final `config.json` of a container on another host, and the author of the
//! archive controls its content. A hook in it is a command that the runtime runs as root on this
//! host, and a bind mount gives access to any directory of the host. Therefore each key that names
//! something on the host is dropped, re-pointed by a flag, or an error. [`keys`] has the table, and
//! `--trust-archive` keeps everything. Keys that describe the container (arguments, user,
//! environment, limits, seccomp) are kept: CRIU restores the process from its images.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::bail;
use cli::{Hint, usage};
use serde_json::{Value, json};

use crate::job::Job;
use crate::notation::device::DeviceFlag;
use crate::notation::mounts::mount_options::{self, MountClass};
use crate::notation::mounts::volume::{self, Volume};
use crate::notation::namespace::Mode;
use crate::notation::user_namespace::UserNs;
use crate::path;
use crate::rules::engine::{self, bound_files};
use crate::rules::mounts::{remove, settle, volume_directory};
use crate::rules::namespaces::{modes, namespace_flags};
use crate::rules::resources::{self, cgroup_path};
use crate::rules::{devices, labels_and_annotations, root};
use crate::runtime_spec::key;
use crate::runtime_spec::{Spec, mounts, namespaces};

mod criu_images;
mod engine_files;
mod harmless;
mod keys;
mod origins;

use criu_images::Dumped;

/// Adapts the spec of a checkpointed container to this host.
///
/// # Errors
/// Returns an error that lists every name of the other host that is not re-pointed, each with the
/// flag that does so.
pub fn run(job: &mut Job<'_>) -> anyhow::Result<()> {
    if matches!(job.args.namespaces.userns, Some(UserNs::KeepId { .. } | UserNs::NoMap)) {
        return Err(usage("--userns: the mappings of a restored container are in its checkpoint"));
    }
    let dumped = match &job.args.restore.images {
        Some(dir) => {
            criu_images::report_maker(dir, job.session)?;
            Dumped::read(dir)?
        }
        None => Dumped::default(),
    };
    root::set(job)?;
    if let Some(path) = job.spec.text(key::ROOT_PATH) {
        dumped.check_root_mode(
            &job.args.what.bundle.as_deref().unwrap_or(Path::new("")).join(path),
            job.session,
        );
    }
    let devices = device_destinations(job)?;
    if !job.args.restore.trust_archive {
        drop_host_names(job, &devices);
        warn_of_shared_namespaces(job);
    }
    devices::apply_flags(job)?;
    remove::apply(job, None)?;
    let args = job.args;
    let namespaces = namespace_flags::requested(&args.namespaces);
    let volumes: Vec<Volume> =
        args.mounts.volume.iter().map(|v| volume::parse_volume(v)).collect::<anyhow::Result<_>>()?;
    origins::check(&job.spec, &namespaces, &dumped)?;
    let mut repointed = repoint_volumes(job, &volumes)?;
    job.trace.because(&job.spec, || "--volume".into());
    let mut files = match &args.restore.manager_files {
        Some(dir) => engine_files::in_directory(job, dir)?,
        None => BTreeMap::new(),
    };
    files.retain(|destination, _| !repointed.contains(destination));
    let made = files.clone();
    files.extend(std::mem::take(&mut job.container.bind_map));
    files.extend(engine::flag_files(&args.mounts)?);
    engine_files::replace(&mut job.spec, &files, &mut repointed, job.session);
    job.trace.because(&job.spec, || "files of the container engine".into());
    for (kind, mode) in &namespaces {
        if let Some(mode) = mode {
            modes::apply_restored(&mut job.spec, kind, mode, &args.namespaces.container_pid)?;
            job.trace.because(&job.spec, || format!("--{} {mode}", namespace_flags::name_of(kind)));
        }
    }
    if args.namespaces.network.is_none()
        && !job.container.netns.is_empty()
        && namespaces::find(&job.spec, "network").is_some_and(|n| namespaces::path(n).is_some())
    {
        namespaces::set(&mut job.spec, "network", Some(&job.container.netns));
        job.trace.because(&job.spec, || "network namespace of the state".into());
    }
    settle::sort(&mut job.spec);
    job.trace.because(&job.spec, || "parents are mounted before children".into());
    engine_files::mount_points(job, &made);
    job.container.cgroup_manager = args.cgroups.cgroup_manager.clone().unwrap_or_default();
    job.container.cgroup_parent = args.cgroups.cgroup_parent.clone().unwrap_or_default();
    job.container.cgroups_mode = args.cgroups.cgroups.clone().unwrap_or_default();
    cgroup_path::set(job)?;
    // Labels and profiles come from this host. The checkpoint determines all other privileges of
    // the process.
    labels_and_annotations::apply(job)?;
    resources::apply(&mut job.spec, &args.resources, &mut job.trace)?;
    if args.restore.trust_archive { Ok(()) } else { refuse_foreign(job, &repointed, &namespaces) }
}

/// Reports every remaining name of the other host.
fn refuse_foreign(
    job: &Job<'_>,
    repointed: &BTreeSet<String>,
    namespaces: &[(&'static str, Option<Mode>)],
) -> anyhow::Result<()> {
    let found = foreign(job, repointed, namespaces);
    let Some(((last, _), others)) = found.split_last() else { return Ok(()) };
    let text =
        |what: &str| format!("{}: {what}: belongs to the host on which the checkpoint was made", job.name);
    for (what, _) in others {
        job.session.error(text(what));
    }
    let mut hints: Vec<&str> = found.iter().map(|(_, hint)| hint.as_str()).collect();
    if hints.iter().any(|hint| hint.starts_with("--bind-mount")) {
        hints.retain(|hint| !hint.starts_with("--bind-mount"));
        hints.push("--manager-files DIR --apply");
    }
    Err(Hint::on(anyhow::anyhow!(text(last)), format!("add {}", hints.join(" "))))
}

/// Removes keys that name something on the host, each with a warning.
fn drop_host_names(job: &mut Job<'_>, devices: &[String]) {
    let cgroups = &job.args.cgroups;
    let given = cgroups.cgroups_path.is_some()
        || cgroups.cgroup_manager.is_some()
        || cgroups.cgroup_parent.is_some()
        || cgroups.cgroups.is_some();
    let spec = &mut job.spec;
    let mut dropped = keys::drop_keys(spec);
    dropped.extend(harmless::annotations(spec));
    dropped.extend(harmless::kernel_parameters(spec));
    dropped.extend(harmless::unified(spec));
    dropped.extend(harmless::propagation(spec));
    dropped.extend(harmless::cgroups_path(spec, given, job.args.input.id.as_deref()));
    dropped.extend(harmless::devices(spec, devices));
    for text in dropped {
        job.session.warn(format_args!("{}: {text}", job.name));
    }
    job.trace.because(&job.spec, || "--restore: an archive must not name anything on the host".into());
}

/// Warns about namespaces that the container shares with the host because the archive does not list
/// them.
fn warn_of_shared_namespaces(job: &Job<'_>) {
    for (kind, mode) in namespace_flags::requested(&job.args.namespaces) {
        let matters = matches!(kind, "pid" | "network" | "ipc" | "uts");
        if matters && mode.is_none() && namespaces::find(&job.spec, kind).is_none() {
            job.session.warn(format_args!(
                "{}: linux.namespaces: no {kind} namespace: the container shares the host's",
                job.name
            ));
        }
    }
}

/// Returns the destinations of `--device`. Each must be a device of the checkpointed container.
fn device_destinations(job: &Job<'_>) -> anyhow::Result<Vec<String>> {
    let path = |device: &Value| device.get("path").and_then(Value::as_str).map(path::clean);
    let there: Vec<String> = job.spec.list(key::LINUX_DEVICES).iter().filter_map(path).collect();
    let mut destinations = Vec::new();
    for flag in &job.args.devices.device {
        let destination = path::clean(&DeviceFlag::parse(flag)?.destination);
        if !there.contains(&destination) {
            let error = anyhow::anyhow!("--device {flag}: the checkpointed container has no device there");
            return Err(Hint::on(error, format!("its devices are {}", there.join(" "))));
        }
        destinations.push(destination);
    }
    Ok(destinations)
}

/// Re-points mounts to directories of this host. A mount keeps its destination, by which CRIU
/// identifies it, and its options unless the flag sets other options.
///
/// # Errors
/// Returns an error if a flag names a destination at which the container has no mount, because CRIU
/// would not create it.
fn repoint_volumes(job: &mut Job<'_>, volumes: &[Volume]) -> anyhow::Result<BTreeSet<String>> {
    let mut repointed = BTreeSet::new();
    for volume in volumes {
        let kind = if matches!(volume, Volume::Named { .. }) { MountClass::Named } else { MountClass::Bind };
        let default_options = mount_options::complete(Vec::new(), kind)?;
        let (source, destination, options) = match volume {
            Volume::Mount(m) => (m.source.clone(), &m.destination, &m.options),
            Volume::Named { name, destination, options, .. } => {
                let Some(dir) = volume_directory::find(job, name) else {
                    return Err(volume::unknown_directory(name));
                };
                (path::utf8(dir)?, destination, options)
            }
            Volume::Overlay { destination, .. } | Volume::Image { destination, .. } => {
                return Err(usage(format!(
                    "--volume at {destination}: a restored mount cannot become an overlay"
                )));
            }
        };
        let wanted = path::clean(destination);
        let there: Vec<String> =
            job.spec.mounts().iter().map(|m| mounts::destination(m).to_owned()).collect();
        // Every mount at the destination is checked: a second one must not escape the check of the
        // first.
        for mount in
            job.spec.mounts_mut().iter_mut().filter(|m| path::clean(mounts::destination(m)) == wanted)
        {
            if !mounts::is_bind(mount) {
                bail!(
                    "--volume {source}:{destination}: the checkpointed container has a {} there, whose content is in the checkpoint",
                    mounts::kind(mount)
                );
            }
            mount["source"] = json!(source);
            // A volume without options has the default options, which do not replace the options of
            // the mount.
            if *options != default_options {
                mounts::set_options(mount, options.clone());
            }
            repointed.insert(wanted.clone());
        }
        if !repointed.contains(&wanted) {
            return Err(Hint::on(
                anyhow::anyhow!(
                    "--volume {source}:{destination}: the checkpointed container has no mount there"
                ),
                format!("the container has mounts at {}", there.join(" ")),
            ));
        }
    }
    Ok(repointed)
}

/// Returns every remaining name of the other host, with the flag that re-points it.
fn foreign(
    job: &Job<'_>,
    repointed: &BTreeSet<String>,
    namespaces: &[(&'static str, Option<Mode>)],
) -> Vec<(String, String)> {
    let (spec, input) = (&job.spec, &job.args.input);
    let mut found = Vec::new();
    if input.rootfs.is_none() && input.root_path.is_none() && job.container.mount_point.is_empty() {
        let path = spec.text(key::ROOT_PATH).unwrap_or_default();
        found.push((format!("root.path: {path}"), "--rootfs DIR".to_owned()));
    }
    for mount in spec.mounts() {
        let destination = mounts::destination(mount);
        if !repointed.contains(&path::clean(destination)) && names_host(spec, mount) {
            let hint = match bound_files::file_name(&path::clean(destination)) {
                _ if !mounts::is_bind(mount) => format!("--mount-remove {destination}"),
                Some(_) => format!("--bind-mount {destination}=FILE"),
                None => format!("-v DIR:{destination}"),
            };
            let what = match mounts::kind(mount) {
                _ if mounts::is_bind(mount) => mounts::source(mount).to_owned(),
                kind => format!("{kind} of {}", mounts::source(mount)),
            };
            found.push((format!("mounts: {destination}: {what}"), hint));
        }
    }
    for namespace in spec.list(key::LINUX_NAMESPACES) {
        let kind = namespace.get("type").and_then(Value::as_str).unwrap_or_default();
        let given = namespaces.iter().any(|(name, mode)| *name == kind && mode.is_some())
            || kind == "network" && !job.container.netns.is_empty();
        if let (Some(path), false) = (namespaces::path(namespace), given) {
            found.push((
                format!("linux.namespaces: {kind}: {path}"),
                format!("--{} ns:PATH", namespace_flags::name_of(kind)),
            ));
        }
    }
    found
}

/// Filesystem types without files of the host.
const OF_THE_KERNEL: [&str; 8] = ["cgroup", "cgroup2", "devpts", "mqueue", "proc", "ramfs", "sysfs", "tmpfs"];

/// Reports whether a mount reaches files of the host: a bind mount, an overlay over its
/// directories, a disk, a server. Bind mounts of the kernel's own trees at their usual places
/// (rootless /sys, systemd's cgroup tree) are the same on every host, but a writable one controls
/// the host: `release_agent` in a cgroup tree is a command. Without a cgroup namespace, a new mount
/// of the cgroup tree shows the host's.
fn names_host(spec: &Spec, mount: &Value) -> bool {
    // In runtimes, the later of the two options takes effect.
    let read_only = mounts::options(mount).filter(|o| matches!(*o, "ro" | "rw")).last() == Some("ro");
    if !mounts::is_bind(mount) {
        let kind = mounts::kind(mount);
        let is_cgroup = matches!(kind, "cgroup" | "cgroup2");
        let is_hosts = is_cgroup && !read_only && namespaces::find(spec, "cgroup").is_none();
        return is_hosts || !OF_THE_KERNEL.contains(&kind);
    }
    let (source, destination) = (path::clean(mounts::source(mount)), path::clean(mounts::destination(mount)));
    let of_the_kernel = source == "/sys" || path::is_below(&source, "/sys/fs/cgroup");
    !(source == destination && of_the_kernel && read_only)
}
