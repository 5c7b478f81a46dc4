//! `--restore`: the spec of a checkpointed container, made fit for this machine.
//!
//! A `spec.dump` is the final `config.json` of a container on another machine, and whoever made the
//! archive wrote it. A hook in it is a command the runtime runs as root on this host, a bind mount a door
//! to any directory of it. So what names the host is dropped, re-pointed by a flag, or an error that names
//! it; `--trust-archive` keeps it. What describes the container (arguments, user, environment, limits,
//! seccomp) stays as it was: CRIU brings the process back as it was, whatever the spec says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, bail};
use cli::{Hint, Session, usage};
use serde_json::{Value, json};

use crate::actions::Action;
use crate::mounts::{self, Mount};
use crate::namespaces::{self, Mode};
use crate::run::Job;
use crate::spec::Spec;
use crate::userns::UserNs;
use crate::volumes::{self, Volume};
use crate::{bindmap, flags, generate, manager, mounting, resources};

/// Annotations by which runtimes take orders about the host: CRIU's configuration file (runc, crun), CDI
/// devices (containerd, CRI-O), crun's handlers, hook outputs and group inheritance.
const DICTATES: [&str; 3] = ["org.criu.config", "cdi.", "run.oci."];

/// Makes the spec of a checkpointed container fit for this machine.
///
/// # Errors
/// Everything that names the other machine and is not re-pointed, each with the flag that would.
pub fn run(job: &mut Job<'_>) -> anyhow::Result<()> {
    if matches!(job.args.namespaces.userns, Some(UserNs::KeepId { .. } | UserNs::NoMap)) {
        return Err(usage("--userns: the mappings of a restored container are in its checkpoint"));
    }
    generate::set_root(job)?;
    if !job.args.restore.trust_archive {
        for dropped in drop_orders(&mut job.spec) {
            job.session.warn(format_args!("{}: {dropped}", job.name));
        }
        job.trace.because(&job.spec, || "--restore: another machine must not dictate this".into());
        for device in block_devices(&job.spec) {
            job.session.warn(format_args!("{}: linux.devices: {device}: a disk of this host", job.name));
        }
    }
    flags::remove_mounts(job)?;
    let args = job.args;
    let namespaces = flags::namespaces(&args.namespaces);
    let volumes: Vec<Volume> =
        args.mounts.volume.iter().map(|v| volumes::parse_volume(v)).collect::<anyhow::Result<_>>()?;
    check_namespaces(&job.spec, &namespaces)?;
    let mut repointed = repoint_volumes(job, &volumes)?;
    job.trace.because(&job.spec, || "--volume".into());
    let mut files = match &args.restore.manager_files {
        Some(dir) => manager_files(job, dir)?,
        None => BTreeMap::new(),
    };
    files.retain(|destination, _| !repointed.contains(destination));
    files.extend(std::mem::take(&mut job.container.bind_map));
    files.extend(manager::flag_files(&args.mounts)?);
    replace_manager_files(&mut job.spec, &files, &mut repointed, job.session);
    job.trace.because(&job.spec, || "files of the manager".into());
    for (kind, mode) in &namespaces {
        if let Some(mode) = mode {
            namespaces::apply_restored(&mut job.spec, kind, mode, &args.namespaces.container_pid)?;
            job.trace.because(&job.spec, || format!("--{} {mode}", flags::namespace_flag(kind)));
        }
    }
    if !job.container.netns.is_empty()
        && namespaces::find(&job.spec, "network").is_some_and(|n| namespaces::path(n).is_some())
    {
        namespaces::set(&mut job.spec, "network", Some(&job.container.netns));
        job.trace.because(&job.spec, || "network namespace of the state".into());
    }
    mounts::sort(&mut job.spec);
    job.trace.because(&job.spec, || "parents are mounted before children".into());
    job.container.cgroup_manager = args.cgroups.cgroup_manager.clone().unwrap_or_default();
    job.container.cgroup_parent = args.cgroups.cgroup_parent.clone().unwrap_or_default();
    job.container.cgroups_mode = args.cgroups.cgroups.clone().unwrap_or_default();
    generate::set_cgroups_path(job)?;
    // Labels and profiles are this machine's; what the process may do besides is in the checkpoint.
    flags::set_labels_and_annotations(job)?;
    resources::apply(&mut job.spec, &args.resources, &mut job.trace)?;
    if args.restore.trust_archive { Ok(()) } else { refuse_foreign(job, &repointed, &namespaces) }
}

/// Reports everything that still names the other machine.
fn refuse_foreign(
    job: &Job<'_>,
    repointed: &BTreeSet<String>,
    namespaces: &[(&'static str, Option<Mode>)],
) -> anyhow::Result<()> {
    let found = foreign(job, repointed, namespaces);
    let Some(((last, _), others)) = found.split_last() else { return Ok(()) };
    let text = |what: &str| format!("{}: {what}: of the machine the checkpoint was made on", job.name);
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

/// Removes hooks and annotations that give orders to the host; what was removed, for warnings.
fn drop_orders(spec: &mut Spec) -> Vec<String> {
    let mut dropped = Vec::new();
    if let Some(hooks) = spec.remove("hooks") {
        let stages = hooks.as_object().into_iter().flatten();
        for (stage, list) in stages {
            for hook in list.as_array().into_iter().flatten() {
                let path = hook.get("path").and_then(Value::as_str).unwrap_or_default();
                dropped.push(format!("hooks.{stage}: {path}: dropped"));
            }
        }
    }
    let keys: Vec<String> = match spec.get("annotations").and_then(Value::as_object) {
        Some(map) => map.keys().filter(|k| DICTATES.iter().any(|d| k.starts_with(d))).cloned().collect(),
        None => Vec::new(),
    };
    for key in keys {
        spec.object("annotations").shift_remove(&key);
        dropped.push(format!("annotations: {key}: dropped"));
    }
    if spec.get("linux.seccomp.listenerPath").is_some() {
        spec.remove("linux.seccomp.listenerPath");
        spec.remove("linux.seccomp.listenerMetadata");
        dropped.push("linux.seccomp.listenerPath: dropped".into());
    }
    dropped
}

/// The block devices the container may use: on this machine the same numbers are another disk.
fn block_devices(spec: &Spec) -> Vec<String> {
    let text = |d: &Value, key: &str| d.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let disks = spec.list("linux.devices").iter().filter(|d| text(d, "type") == "b");
    disks.map(|d| text(d, "path")).collect()
}

/// Points the mounts at the directories of this machine. A mount keeps its destination, which CRIU knows
/// it by, and the options it has unless the flag gives others.
///
/// # Errors
/// When a flag names a destination where the container has no mount: CRIU would not make one.
fn repoint_volumes(job: &mut Job<'_>, volumes: &[Volume]) -> anyhow::Result<BTreeSet<String>> {
    let mut repointed = BTreeSet::new();
    for volume in volumes {
        let (source, destination, options) = match volume {
            Volume::Mount(m) => (m.source.clone(), &m.destination, &m.options),
            Volume::Named { name, destination, options, .. } => {
                let Some(dir) = mounting::directory(job, name) else {
                    return Err(volumes::unknown(name));
                };
                (flags::utf8(dir)?, destination, options)
            }
            Volume::Overlay { destination, .. } | Volume::Image { destination, .. } => {
                return Err(usage(format!(
                    "--volume at {destination}: a restored mount cannot become an overlay"
                )));
            }
        };
        let wanted = mounts::clean(destination);
        let there: Vec<String> =
            job.spec.mounts().iter().map(|m| mounts::destination(m).to_owned()).collect();
        // All of them: of two mounts at one place the second would otherwise slip through with the first.
        for mount in
            job.spec.mounts_mut().iter_mut().filter(|m| mounts::clean(mounts::destination(m)) == wanted)
        {
            if !mounts::is_bind(mount) {
                bail!(
                    "--volume {source}:{destination}: the checkpointed container has a {} there, whose content is in the checkpoint",
                    mounts::kind(mount)
                );
            }
            mount["source"] = json!(source);
            // Completed options are at least rw, rprivate, rbind: more than that was typed.
            if options.iter().any(|o| !matches!(o.as_str(), "rw" | "rprivate" | "rbind")) {
                mounts::set_options(mount, options.clone());
            }
            repointed.insert(wanted.clone());
        }
        if !repointed.contains(&wanted) {
            return Err(Hint::on(
                anyhow::anyhow!(
                    "--volume {source}:{destination}: the checkpointed container has no mount there"
                ),
                format!("its mounts are {}", there.join(" ")),
            ));
        }
    }
    Ok(repointed)
}

/// Puts this machine's `/etc/hosts`, `/dev/shm` and so on in the place of the old manager's files.
///
/// As podman does it: the old mount goes, the new one is appended with `private`.
fn replace_manager_files(
    spec: &mut Spec,
    files: &BTreeMap<String, String>,
    repointed: &mut BTreeSet<String>,
    session: &Session,
) {
    for (destination, source) in files {
        if mounts::find(spec, destination).is_some_and(|m| !mounts::is_bind(m)) {
            session.warn(format_args!(
                "{destination}: the checkpointed container has a mount of its own there, {source} is not used"
            ));
            continue;
        }
        mounts::remove(spec, destination);
        let read_only = spec.is_true("root.readonly") && destination != "/dev/shm";
        let mut mount = Mount::bind(source, destination, &["bind", "private"]);
        if read_only {
            mount.options.extend(["ro", "nosuid", "noexec", "nodev"].map(str::to_owned));
        } else if destination == "/dev/shm" {
            mount.options.extend(["nosuid", "noexec", "nodev"].map(str::to_owned));
        }
        spec.mounts_mut().push(mount.to_value());
        repointed.insert(mounts::clean(destination));
    }
}

/// The files of `--manager-files DIR`: for each mount of a manager's file in the spec the file in DIR, which
/// `--apply` makes where it is missing. CRIU wants the mount; what an empty resolv.conf says is the user's business.
fn manager_files(job: &mut Job<'_>, dir: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let dir = flags::utf8(std::path::absolute(dir).with_context(|| cli::name(dir))?)?;
    let mut files = BTreeMap::new();
    for mount in job.spec.mounts().iter().filter(|m| mounts::is_bind(m)) {
        let destination = mounts::clean(mounts::destination(mount));
        let Some(file) = bindmap::file_name(&destination) else { continue };
        let path = format!("{dir}/{file}");
        job.actions.push(match file {
            "shm" | "notify" | "run/secrets" => {
                let mode = if file == "shm" { 0o1777 } else { 0o755 };
                Action::Directory { path: path.clone(), mode, uid: 0, gid: 0, like: None }
            }
            "hostname" => {
                let name = job.spec.text("hostname").unwrap_or_default();
                Action::File { path: path.clone(), content: format!("{name}\n") }
            }
            "hosts" => {
                let name = job.spec.text("hostname").unwrap_or_default();
                let content = format!("127.0.0.1\tlocalhost {name}\n::1\tlocalhost {name}\n");
                Action::File { path: path.clone(), content }
            }
            _ => Action::File { path: path.clone(), content: String::new() },
        });
        files.insert(destination, path);
    }
    Ok(files)
}

/// Everything that still names the other machine.
fn foreign(
    job: &Job<'_>,
    repointed: &BTreeSet<String>,
    namespaces: &[(&'static str, Option<Mode>)],
) -> Vec<(String, String)> {
    let (spec, input) = (&job.spec, &job.args.input);
    let mut found = Vec::new();
    if input.rootfs.is_none() && input.root_path.is_none() && job.container.mount_point.is_empty() {
        let path = spec.text("root.path").unwrap_or_default();
        found.push((format!("root.path: {path}"), "--rootfs DIR".to_owned()));
    }
    for mount in spec.mounts() {
        let destination = mounts::destination(mount);
        if !repointed.contains(&mounts::clean(destination)) && names_host(mount) {
            let hint = match bindmap::file_name(&mounts::clean(destination)) {
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
    for namespace in spec.list("linux.namespaces") {
        let kind = namespace.get("type").and_then(Value::as_str).unwrap_or_default();
        let given = namespaces.iter().any(|(name, mode)| *name == kind && mode.is_some())
            || kind == "network" && !job.container.netns.is_empty();
        if let (Some(path), false) = (namespaces::path(namespace), given) {
            found.push((
                format!("linux.namespaces: {kind}: {path}"),
                format!("--{} ns:PATH", flags::namespace_flag(kind)),
            ));
        }
    }
    found
}

/// File systems with nothing of the host's behind them.
const OF_THE_KERNEL: [&str; 8] = ["cgroup", "cgroup2", "devpts", "mqueue", "proc", "ramfs", "sysfs", "tmpfs"];

/// Whether a mount reaches into the host's files: a bind mount, an overlay over its directories, a disk, a
/// server. The kernel's own trees bound where they belong (rootless /sys, systemd's cgroup tree) are the
/// same on every host.
fn names_host(mount: &Value) -> bool {
    if !mounts::is_bind(mount) {
        return !OF_THE_KERNEL.contains(&mounts::kind(mount));
    }
    let (source, destination) =
        (mounts::clean(mounts::source(mount)), mounts::clean(mounts::destination(mount)));
    let read_only_sys = source == "/sys" && mounts::options(mount).any(|o| o == "ro");
    !(source == destination && (mounts::is_below(&source, "/sys/fs/cgroup") || read_only_sys))
}

/// A namespace given by path at the dump must be given by path again: CRIU has its name in the images, not its content.
///
/// # Errors
/// Names the flag that would take the path away.
fn check_namespaces(spec: &Spec, namespaces: &[(&'static str, Option<Mode>)]) -> anyhow::Result<()> {
    for (kind, mode) in namespaces {
        let had_path = namespaces::find(spec, kind).is_some_and(|n| namespaces::path(n).is_some());
        if had_path && matches!(mode, Some(Mode::Host | Mode::Private)) {
            return Err(Hint::on(
                anyhow::anyhow!(
                    "linux.namespaces: {kind}: the container was checkpointed in a namespace given by path and can only be restored into one"
                ),
                format!("--{} ns:PATH", flags::namespace_flag(kind)),
            ));
        }
    }
    Ok(())
}
