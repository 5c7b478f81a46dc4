//! `--manager-files`: replaces the files that the old container engine bound into the container by
//! files of this host.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Context;
use cli::Session;
use serde_json::Value;

use crate::actions::Action;
use crate::job::Job;
use crate::path;
use crate::rules::engine::bound_files;
use crate::runtime_spec::Spec;
use crate::runtime_spec::key;
use crate::runtime_spec::mounts::{self, Mount};

/// Replaces the old engine's `/etc/hosts`, `/dev/shm` and so on by the files of this host.
///
/// As in podman, the old mount is removed and the new mount is appended with the option `private`.
pub fn replace(
    spec: &mut Spec,
    files: &BTreeMap<String, String>,
    repointed: &mut BTreeSet<String>,
    session: &Session,
) {
    for (destination, source) in files {
        if mounts::find(spec, destination).is_some_and(|m| !mounts::is_bind(m)) {
            session.warn(format_args!(
                "{destination}: the checkpointed container has its own mount there; {source} is not used"
            ));
            continue;
        }
        mounts::remove(spec, destination);
        let read_only = spec.is_true(key::ROOT_READONLY) && destination != "/dev/shm";
        let mut mount = Mount::bind(source, destination, &["bind", "private"]);
        if read_only {
            mount.options.extend(["ro", "nosuid", "noexec", "nodev"].map(str::to_owned));
        } else if destination == "/dev/shm" {
            mount.options.extend(["nosuid", "noexec", "nodev"].map(str::to_owned));
        }
        spec.mounts_mut().push(mount.to_value());
        repointed.insert(path::clean(destination));
    }
}

/// Adds actions that create the mount points missing in directories bound into the container, for
/// `--apply`.
///
/// runc creates them during restore. crun creates them only in the root file system, and CRIU then
/// fails with "Can't stat mountpoint". A secret at `/run/secrets/NAME` is such a mount, because
/// `/run/secrets` is a bind mount too.
pub fn mount_points(job: &mut Job<'_>, in_manager_files: &BTreeMap<String, String>) {
    let mounts = job.spec.mounts();
    for (at, mount) in mounts.iter().enumerate() {
        let destination = path::clean(mounts::destination(mount));
        // The mount that contains the mount point: the last earlier mount whose destination covers
        // its path.
        let covering = |m: &&Value| {
            let above = path::clean(mounts::destination(m));
            above != destination && path::is_below(&destination, &above)
        };
        let Some(parent) = mounts[..at].iter().rev().find(covering).filter(|m| mounts::is_bind(m)) else {
            continue;
        };
        let above = path::clean(mounts::destination(parent));
        let rest = destination.strip_prefix(&above).unwrap_or_default().trim_start_matches('/').to_owned();
        let directory = mounts::source(parent).to_owned();
        let is_made = in_manager_files.contains_key(&above);
        if !is_made
            && (!Path::new(&directory).is_dir()
                || Path::new(&directory).join(&rest).symlink_metadata().is_ok())
        {
            continue;
        }
        let is_file = mounts::is_bind(mount) && !Path::new(mounts::source(mount)).is_dir();
        job.actions.push(Action::MountPoint { directory, path: rest, is_file });
    }
}

/// Returns the files of `--manager-files DIR`: for each mount of an engine's file in the spec, the
/// file in DIR, which `--apply` creates if it is missing. CRIU needs the mount; the user can fill
/// in the content, for example of resolv.conf.
pub fn in_directory(job: &mut Job<'_>, dir: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let dir = path::utf8(std::path::absolute(dir).with_context(|| cli::display_path(dir))?)?;
    let mut files = BTreeMap::new();
    for mount in job.spec.mounts().iter().filter(|m| mounts::is_bind(m)) {
        let destination = path::clean(mounts::destination(mount));
        let Some(file) = bound_files::file_name(&destination) else { continue };
        let path = format!("{dir}/{file}");
        job.actions.push(match file {
            "shm" | "notify" | "run/secrets" => {
                let mode = if file == "shm" { 0o1777 } else { 0o755 };
                Action::Directory { path: path.clone(), mode, uid: 0, gid: 0, like: None }
            }
            "hostname" => {
                let name = job.spec.text(key::HOSTNAME).unwrap_or_default();
                Action::File { path: path.clone(), content: format!("{name}\n") }
            }
            "hosts" => {
                let name = job.spec.text(key::HOSTNAME).unwrap_or_default();
                let content = format!("127.0.0.1\tlocalhost {name}\n::1\tlocalhost {name}\n");
                Action::File { path: path.clone(), content }
            }
            _ => Action::File { path: path.clone(), content: String::new() },
        });
        files.insert(destination, path);
    }
    Ok(files)
}
