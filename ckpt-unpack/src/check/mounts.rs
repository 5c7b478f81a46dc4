//! `--check`: the mounts that CRIU asks the runtime for, and the sources of mounts in the spec.

use std::collections::BTreeSet;
use std::path::Path;

use checkpoint::criu::requirements::Requirements;

use super::restore::{Findings, Form, Restore};
use super::trees::text;

/// Checks the mounts. Returns the keys of the external mounts whose files are not there.
pub fn check(required: &Requirements, restore: &Restore, findings: &mut Findings) -> BTreeSet<Vec<u8>> {
    match &restore.form {
        Form::Bundle(bundle) => in_bundle(required, restore, bundle, findings),
        Form::Archive(_) => in_archive(required, restore, findings),
    }
}

/// Checks the final spec: each source must exist, and each external mount must be in the spec.
fn in_bundle(
    required: &Requirements,
    restore: &Restore,
    bundle: &Path,
    findings: &mut Findings,
) -> BTreeSet<Vec<u8>> {
    let mut missing = BTreeSet::new();
    for (to, source) in &restore.mounts {
        let Some(source) = source.as_ref().filter(|source| !source.exists()) else { continue };
        missing.insert(to.as_bytes().to_vec());
        let source = cli::display_path(source);
        match restore.volume_at(to) {
            Some(volume) => {
                let tar = bundle.join(format!("volumes/{volume}.tar"));
                let hint = match tar.exists() {
                    true => format!("vol-archive extract {source} < {}", cli::display_path(&tar)),
                    false => format!("unpack it: ckpt-unpack --volume {volume}={source}"),
                };
                findings.fails(
                    format!("volume {volume}: {source}: no such directory, the spec mounts it at {to}"),
                    hint,
                );
            }
            None => findings.fails(
                format!("mount {to}: {source}: no such file or directory"),
                format!("create it, or use another one: spec-gen --restore -v HOST_PATH:{to}"),
            ),
        }
    }
    for key in &required.mounts {
        let to = text(key);
        if restore.source(&to).is_none() {
            missing.insert(key.clone());
            findings.fails(
                format!("mount {to}: CRIU needs it, but config.json has no such mount"),
                format!("spec-gen --restore -v HOST_PATH:{to}"),
            );
        }
    }
    missing
}

/// Checks an archive, whose spec still has the paths of the other host. Only mounts that no engine
/// makes itself need a source.
fn in_archive(required: &Requirements, restore: &Restore, findings: &mut Findings) -> BTreeSet<Vec<u8>> {
    let mut missing = BTreeSet::new();
    for key in &required.mounts {
        let to = text(key);
        if let Some(volume) = restore.volume_at(&to) {
            let is_there = restore.archived.volumes.contains_key(volume)
                || restore.volume_dir(volume).is_some_and(Path::is_dir);
            if !is_there && !restore.ignores_volumes {
                missing.insert(key.clone());
                let text = format!("volume {volume}: not in the archive, the spec mounts it at {to}");
                findings.fails(
                    text,
                    format!("use a copy of the volume: --volume {volume}=DIR, or --ignore-volumes"),
                );
            }
            continue;
        }
        let Some(Some(source)) = restore.source(&to) else { continue };
        if !is_of_engine(&to, source) && !source.exists() {
            missing.insert(key.clone());
            findings.needs(
                format!("mount {to}: {}: no such file or directory on this host", cli::display_path(source)),
                format!("create it, or use another one: spec-gen --restore -v HOST_PATH:{to}"),
            );
        }
    }
    missing
}

/// Returns whether the engine that restores the container makes the source of this mount.
fn is_of_engine(destination: &str, source: &Path) -> bool {
    const FILES: [&str; 6] =
        ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/run/.containerenv", "/dev/shm", "/etc/mtab"];
    const DIRECTORIES: [&str; 7] = [
        "/containers/storage/",
        "/overlay-containers/",
        "/var/lib/docker/",
        "/var/lib/kubelet/",
        "/var/lib/containers/",
        "/run/containerd/",
        "/run/secrets",
    ];
    let source = source.to_string_lossy();
    FILES.contains(&destination)
        || destination.starts_with("/run/secrets")
        || DIRECTORIES.iter().any(|directory| source.contains(directory))
}
