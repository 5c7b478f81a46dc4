//! `--restore`: the spec of a checkpointed container, made fit for this machine.
//!
//! A `spec.dump` is the final `config.json` of a container on another machine, and whoever made the
//! archive wrote it. A hook in it is a command the runtime runs as root on this host, a bind mount a door
//! to any directory of it. So what names the host is dropped, re-pointed by a flag, or an error that names
//! it; `--trust-archive` keeps it. What describes the container (arguments, user, environment, limits,
//! seccomp) stays as it was: CRIU brings the process back as it was, whatever the spec says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use cli::{Hint, Session};
use serde_json::{Value, json};

use crate::bindmap;
use crate::mounts::{self, Mount};
use crate::namespaces::{self, Mode};
use crate::spec::Spec;
use crate::volumes::{self, Volume};

/// Annotations by which runtimes take orders about the host: CRIU's configuration file (runc, crun), CDI
/// devices (containerd, CRI-O), crun's handlers, hook outputs and group inheritance.
const DICTATES: [&str; 3] = ["org.criu.config", "cdi.", "run.oci."];

/// What the flags re-point.
pub struct Targets<'a> {
    /// `-v SRC:DST`.
    pub volumes: &'a [Volume],
    /// Namespace flags by type.
    pub namespaces: &'a [(&'static str, Option<Mode>)],
    /// Whether `--rootfs` or `--root-path` gave the root.
    pub has_root: bool,
    /// `--volume-path` and `--volume-root`.
    pub volume_dir: &'a dyn Fn(&str) -> Option<PathBuf>,
}

/// Removes hooks and annotations that give orders to the host; what was removed, for warnings.
pub fn drop_orders(spec: &mut Spec) -> Vec<String> {
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

/// Points the mounts at the directories of this machine. A mount keeps its destination, which CRIU knows
/// it by, and the options it has unless the flag gives others.
///
/// # Errors
/// When a flag names a destination where the container has no mount: CRIU would not make one.
pub fn repoint_volumes(spec: &mut Spec, targets: &Targets<'_>) -> anyhow::Result<BTreeSet<String>> {
    let mut repointed = BTreeSet::new();
    for volume in targets.volumes {
        let (source, destination, options) = match volume {
            Volume::Mount(m) => (m.source.clone(), &m.destination, &m.options),
            Volume::Named { name, destination, options, .. } => {
                let Some(dir) = (targets.volume_dir)(name) else {
                    return Err(volumes::unknown(name));
                };
                (utf8(&dir)?, destination, options)
            }
            Volume::Overlay { destination, .. } | Volume::Image { destination, .. } => {
                bail!("--volume at {destination}: a restored mount cannot become an overlay");
            }
        };
        let wanted = mounts::clean(destination);
        let there: Vec<String> = spec.mounts().iter().map(|m| mounts::destination(m).to_owned()).collect();
        // All of them: of two mounts at one place the second would otherwise slip through with the first.
        for mount in spec.mounts_mut().iter_mut().filter(|m| mounts::clean(mounts::destination(m)) == wanted)
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
pub fn replace_manager_files(
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

/// The files of `--manager-files DIR`: for each mount of a manager's file in the spec the file in DIR.
pub fn manager_files(spec: &Spec, dir: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let dir = std::path::absolute(dir).with_context(|| cli::name(dir))?;
    let mut files = BTreeMap::new();
    for mount in spec.mounts().iter().filter(|m| mounts::is_bind(m)) {
        let destination = mounts::clean(mounts::destination(mount));
        if let Some(file) = bindmap::file_name(&destination) {
            files.insert(destination, utf8(&dir.join(file))?);
        }
    }
    Ok(files)
}

/// Everything that still names the other machine.
pub fn foreign(spec: &Spec, repointed: &BTreeSet<String>, targets: &Targets<'_>) -> Vec<(String, String)> {
    let mut found = Vec::new();
    if !targets.has_root {
        let path = spec.text("root.path").unwrap_or_default();
        found.push((format!("root.path: {path}"), "--rootfs DIR".to_owned()));
    }
    for mount in spec.mounts() {
        let destination = mounts::destination(mount);
        if !repointed.contains(&mounts::clean(destination)) && names_host(mount) {
            let hint = match bindmap::file_name(&mounts::clean(destination)) {
                Some(_) => format!("--bind-mount {destination}=FILE"),
                None => format!("-v DIR:{destination}"),
            };
            let what = if mounts::is_bind(mount) { mounts::source(mount) } else { "overlay directories" };
            found.push((format!("mounts: {destination}: {what}"), hint));
        }
    }
    for namespace in spec.list("linux.namespaces") {
        let kind = namespace.get("type").and_then(Value::as_str).unwrap_or_default();
        let given = targets.namespaces.iter().any(|(name, mode)| *name == kind && mode.is_some());
        if let (Some(path), false) = (namespaces::path(namespace), given) {
            let flag = match kind {
                "user" => "userns",
                "cgroup" => "cgroupns",
                kind => kind,
            };
            found.push((format!("linux.namespaces: {kind}: {path}"), format!("--{flag} ns:PATH")));
        }
    }
    found
}

/// Whether a mount reaches into the host's files. The kernel's own trees bound where they belong
/// (rootless /sys, systemd's cgroup tree) are the same on every host.
fn names_host(mount: &Value) -> bool {
    let (source, destination) =
        (mounts::clean(mounts::source(mount)), mounts::clean(mounts::destination(mount)));
    let kernels_own = source == destination
        && (mounts::is_below(&source, "/sys/fs/cgroup")
            || source == "/sys" && mounts::options(mount).any(|o| o == "ro"));
    let overlay =
        mounts::kind(mount) == "overlay" || mounts::options(mount).any(|o| o.starts_with("lowerdir="));
    (mounts::is_bind(mount) && !kernels_own) || overlay
}

/// A namespace given by path at the dump must be given by path again: CRIU has its name in the images, not its content.
///
/// # Errors
/// Names the flag that would take the path away.
pub fn check_namespaces(spec: &Spec, targets: &Targets<'_>) -> anyhow::Result<()> {
    for (kind, mode) in targets.namespaces {
        let had_path = namespaces::find(spec, kind).is_some_and(|n| namespaces::path(n).is_some());
        if had_path && matches!(mode, Some(Mode::Host | Mode::Private)) {
            return Err(Hint::on(
                anyhow::anyhow!(
                    "linux.namespaces: {kind}: the container was checkpointed in a namespace given by path and can only be restored into one"
                ),
                format!("--{kind} ns:PATH"),
            ));
        }
    }
    Ok(())
}

fn utf8(path: &Path) -> anyhow::Result<String> {
    match path.to_str() {
        Some(text) => Ok(text.to_owned()),
        None => bail!("{}: not UTF-8, which config.json cannot hold", cli::name(path)),
    }
}
