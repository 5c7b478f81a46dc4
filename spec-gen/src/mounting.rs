//! The volumes of flags, of an image, of another container and of libpod's config, and the mounts they become.

use std::path::PathBuf;

use serde_json::Value;

use cli::usage;

use crate::args::Args;
use crate::image_config::ImageConfig;
use crate::overlay::{self, Phase, Places};
use crate::run::Job;
use crate::volumes::{self, Volume};
use crate::{flags, idmap, image_volumes, long_mount, mounts};

/// The volumes of flags; one of another container gives way to one that is named.
///
/// # Errors
/// Returns an error that names the flag that is invalid, or the destination that two flags name.
pub fn of_flags(args: &Args) -> anyhow::Result<Vec<Volume>> {
    let own = own_volumes(args)?;
    let mut all: Vec<Volume> = Vec::new();
    for other in &args.manager.volumes_from {
        for volume in other.read()? {
            let at = mounts::clean(volume.destination());
            all.retain(|v| mounts::clean(v.destination()) != at);
            if own.iter().all(|v| mounts::clean(v.destination()) != at) {
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
        all.push(volumes::parse_volume(flag)?);
    }
    for flag in &args.mounts.mount {
        all.extend(long_mount::parse(flag)?);
    }
    for flag in &args.mounts.tmpfs {
        all.push(Volume::Mount(volumes::parse_tmpfs(flag)?));
    }
    for volume in &mut all {
        if let Volume::Named { name, destination, .. } = volume {
            if name.is_empty() {
                *name = image_volumes::name(args.input.id.as_deref(), destination);
            }
        }
    }
    one_for_each_destination(all)
}

/// Queues making the directories of the volumes of flags that have no name.
///
/// # Errors
/// Returns an error if it is not known where they are to be.
pub fn make_anonymous(job: &mut Job<'_>) -> anyhow::Result<()> {
    let mut flags = job.args.mounts.volume.iter().map(|flag| volumes::parse_volume(flag)).collect::<Vec<_>>();
    for flag in &job.args.mounts.mount {
        flags.extend(long_mount::parse(flag)?.into_iter().map(Ok));
    }
    for volume in flags {
        if let Volume::Named { name, destination, .. } = volume? {
            if name.is_empty() {
                let name = image_volumes::name(job.args.input.id.as_deref(), &destination);
                image_volumes::make_directory(job, &name, &destination)?;
            }
        }
    }
    Ok(())
}

/// Refuses two volumes at one destination, of which the first would be lost; podman refuses them too. The same one twice is one.
fn one_for_each_destination(volumes: Vec<Volume>) -> anyhow::Result<Vec<Volume>> {
    let mut all: Vec<Volume> = Vec::new();
    for volume in volumes {
        let at = mounts::clean(volume.destination());
        match all.iter().find(|other| mounts::clean(other.destination()) == at) {
            Some(other) if *other == volume => {}
            Some(_) => {
                return Err(usage(format!(
                    "{at}: two of --volume, --mount and --tmpfs mount something there"
                )));
            }
            None => all.push(volume),
        }
    }
    Ok(all)
}

/// Returns the destinations, cleaned, that flags mount something at.
pub fn destinations(volumes: &[Volume], args: &Args) -> Vec<String> {
    let of_runtime_tool = args.runtime_tool.mounts_add.iter().map(mounts::destination);
    volumes.iter().map(Volume::destination).chain(of_runtime_tool).map(mounts::clean).collect()
}

/// Adds the volumes that an image declares, where nothing else is to be mounted.
pub fn add_image(job: &mut Job<'_>, image: Option<&ImageConfig>) -> anyhow::Result<()> {
    let Some(image) = image else { return Ok(()) };
    let declared: Vec<String> =
        image.volumes.iter().filter(|volume| !job.container.removed.has(volume)).cloned().collect();
    let taken: Vec<String> = job.container.volumes.iter().map(|v| v.destination().to_owned()).collect();
    let volumes = image_volumes::of_image(job, &declared, &taken)?;
    job.container.volumes.splice(0..0, volumes);
    Ok(())
}

/// Adds the volumes of one phase; where they went, for the rules that touch only what we added.
pub fn add(job: &mut Job<'_>, phase: Phase) -> anyhow::Result<Vec<String>> {
    let args = &job.args.mounts;
    let container = &job.container;
    let maps = &container.id_maps;
    let (uid, gid) = process_ids(job);
    let places = Places {
        volume: &|name| directory(job, name),
        image: &|name| args.image_mount.iter().find(|(n, _)| n == name).map(|(_, dir)| dir.clone()),
        overlays: match &args.overlay_dir {
            Some(dir) => Some(flags::utf8(std::path::absolute(dir)?)?),
            None if container.static_dir.is_empty() => None,
            None => Some(format!("{}/overlay", container.static_dir)),
        },
        root: idmap::process_on_host(maps, 0, 0).unwrap_or((0, 0)),
        owner: &|| idmap::process_on_host(maps, uid, gid),
        mount_label: &container.mount_label,
        rootless: container.rootless,
    };
    let mut added = Vec::new();
    let mut actions = Vec::new();
    for (number, volume) in container.volumes.iter().enumerate().filter(|(_, v)| overlay::phase(v) == phase) {
        added.push(overlay::mount(volume, &places, number, &mut actions)?);
    }
    for mount in &added {
        mounts::put(&mut job.spec, mount);
        job.trace.because(&job.spec, || format!("volume at {}", mount.destination));
    }
    job.actions.extend(actions);
    Ok(added.iter().map(|m| mounts::clean(&m.destination)).collect())
}

/// The directory of a named volume: by flag, or beside libpod's containers.
pub fn directory(job: &Job<'_>, name: &str) -> Option<PathBuf> {
    let args = &job.args.mounts;
    // The flags of a restored container name the volume to take; there is none without a name.
    if name.is_empty() {
        return None;
    }
    let given = args.volume_path.iter().find(|(n, _)| n == name).map(|(_, dir)| dir.clone());
    let absolute = |dir: PathBuf| std::path::absolute(&dir).unwrap_or(dir);
    given
        .or_else(|| Some(args.volume_root.as_ref()?.join(name).join("_data")))
        .map(absolute)
        .or_else(|| job.container.volume_dir(name))
}

/// The ids the process has by now.
pub fn process_ids(job: &Job<'_>) -> (u32, u32) {
    let id = |key: &str| {
        job.spec.get(key).and_then(Value::as_u64).and_then(|id| u32::try_from(id).ok()).unwrap_or(0)
    };
    (id("process.user.uid"), id("process.user.gid"))
}
