//! Turns the volumes of flags, of an image, of another container and of libpod's config into
//! mounts.

pub mod engine_options;
pub mod flag_volumes;
pub mod image_volumes;
pub mod read_only;
pub mod remove;
pub mod settle;
pub mod shm;
pub mod volume_directory;
pub mod volume_mount;
mod volumes_from;

use crate::job::Job;
use crate::path;
use crate::runtime_spec::{id_map, mounts};
use volume_mount::{HostPaths, Phase};

/// Adds the volumes of one phase. Returns their destinations, for rules that change only these
/// mounts.
pub fn add(job: &mut Job<'_>, phase: Phase) -> anyhow::Result<Vec<String>> {
    let args = &job.args.mounts;
    let container = &job.container;
    let maps = &container.id_maps;
    let (uid, gid) = job.spec.process_ids();
    let paths = HostPaths {
        volume: &|name| volume_directory::find(job, name),
        image: &|name| args.image_mount.iter().find(|(n, _)| n == name).map(|(_, dir)| dir.clone()),
        overlays: match &args.overlay_dir {
            Some(dir) => Some(path::utf8(std::path::absolute(dir)?)?),
            None if container.static_dir.is_empty() => None,
            None => Some(format!("{}/overlay", container.static_dir)),
        },
        root: id_map::process_on_host(maps, 0, 0).unwrap_or((0, 0)),
        owner: &|| id_map::process_on_host(maps, uid, gid),
        mount_label: &container.mount_label,
        rootless: container.rootless,
    };
    let mut added = Vec::new();
    let mut actions = Vec::new();
    for (number, volume) in
        container.volumes.iter().enumerate().filter(|(_, v)| volume_mount::phase(v) == phase)
    {
        added.push(volume_mount::mount(volume, &paths, number, &mut actions)?);
    }
    for mount in &added {
        mounts::put(&mut job.spec, mount);
        job.trace.because(&job.spec, || format!("volume at {}", mount.destination));
    }
    job.actions.extend(actions);
    Ok(added.iter().map(|m| path::clean(&m.destination)).collect())
}
