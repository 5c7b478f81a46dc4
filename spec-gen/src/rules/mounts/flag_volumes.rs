//! The volumes of `--volume`, `--mount`, `--tmpfs` and `--volumes-from`.

use cli::usage;

use crate::args::Args;
use crate::job::Job;
use crate::notation::mounts::mount_flag;
use crate::notation::mounts::volume::{self, Volume};
use crate::path;
use crate::rules::mounts::{volume_directory, volumes_from};
use crate::runtime_spec::mounts;

/// Returns the volumes of the flags. A volume of another container is replaced by one that a flag
/// names.
///
/// # Errors
/// Returns an error that names the invalid flag, or the destination of two flags.
pub fn read(args: &Args) -> anyhow::Result<Vec<Volume>> {
    let own = own_volumes(args)?;
    let mut all: Vec<Volume> = Vec::new();
    for other in &args.engine.volumes_from {
        for volume in volumes_from::read(other)? {
            let at = path::clean(volume.destination());
            all.retain(|v| path::clean(v.destination()) != at);
            if own.iter().all(|v| path::clean(v.destination()) != at) {
                all.push(volume);
            }
        }
    }
    all.extend(own);
    Ok(all)
}

fn own_volumes(args: &Args) -> anyhow::Result<Vec<Volume>> {
    let mut all = Vec::new();
    for flag in &args.mounts.volume {
        all.push(volume::parse_volume(flag)?);
    }
    for flag in &args.mounts.mount {
        all.extend(mount_flag::parse(flag)?);
    }
    for flag in &args.mounts.tmpfs {
        all.push(Volume::Mount(volume::parse_tmpfs(flag)?));
    }
    for volume in &mut all {
        if let Volume::Named { name, destination, .. } = volume {
            if name.is_empty() {
                *name = volume_directory::anonymous_name(args.input.id.as_deref(), destination);
            }
        }
    }
    one_for_each_destination(all)
}

/// Adds actions that create the directories of anonymous volumes.
///
/// # Errors
/// Returns an error if the location of the directories is not known.
pub fn make_anonymous(job: &mut Job<'_>) -> anyhow::Result<()> {
    let mut flags = job.args.mounts.volume.iter().map(|flag| volume::parse_volume(flag)).collect::<Vec<_>>();
    for flag in &job.args.mounts.mount {
        flags.extend(mount_flag::parse(flag)?.into_iter().map(Ok));
    }
    for volume in flags {
        if let Volume::Named { name, destination, .. } = volume? {
            if name.is_empty() {
                let name = volume_directory::anonymous_name(job.args.input.id.as_deref(), &destination);
                volume_directory::make(job, &name, &destination)?;
            }
        }
    }
    Ok(())
}

/// Rejects two volumes at one destination, as podman does, because the second one would hide the
/// first. Identical volumes count once.
fn one_for_each_destination(volumes: Vec<Volume>) -> anyhow::Result<Vec<Volume>> {
    let mut all: Vec<Volume> = Vec::new();
    for volume in volumes {
        let at = path::clean(volume.destination());
        match all.iter().find(|other| path::clean(other.destination()) == at) {
            Some(other) if *other == volume => {}
            Some(_) => {
                return Err(usage(format!(
                    "{at}: more than one of --volume, --mount and --tmpfs has this destination"
                )));
            }
            None => all.push(volume),
        }
    }
    Ok(all)
}

/// Returns the clean destinations of all mounts that flags request.
pub fn destinations(volumes: &[Volume], args: &Args) -> Vec<String> {
    let of_runtime_tool = args.runtime_tool.mounts_add.iter().map(mounts::destination);
    volumes.iter().map(Volume::destination).chain(of_runtime_tool).map(path::clean).collect()
}
