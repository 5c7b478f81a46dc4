//! `--mount-remove` and `--mount-remove-all`.

use anyhow::bail;
use serde_json::json;

use crate::input::image_config::ImageConfig;
use crate::job::Job;
use crate::path;
use crate::rules::engine::bound_files;
use crate::runtime_spec::key;
use crate::runtime_spec::mounts;

/// Removes the mounts that the flags name.
///
/// # Errors
/// Returns an error if there is no such mount.
pub fn apply(job: &mut Job<'_>, image: Option<&ImageConfig>) -> anyhow::Result<()> {
    if job.args.mounts.mount_remove_all == Some(true) {
        job.spec.set(key::MOUNTS, json!([]));
        job.container.remove_all_mounts();
        job.trace.because(&job.spec, || "--mount-remove-all".into());
    }
    for destination in &job.args.mounts.mount_remove {
        let at = path::clean(destination);
        let of_engine = job.container.is_libpod && {
            let mut files = bound_files::derive(&job.spec, &job.container);
            files.extend(job.container.bind_map.clone());
            bound_files::add_below(&mut files, &job.container.chroot_dirs);
            files.contains_key(&at)
        };
        let of_image = image.is_some_and(|image| image.volumes.contains(&at));
        let of_config = job.container.remove_mount(destination);
        if !(mounts::remove(&mut job.spec, destination) || of_config || of_engine || of_image) {
            bail!("--mount-remove {destination}: no mount at this destination");
        }
        job.trace.because(&job.spec, || format!("--mount-remove {destination}"));
    }
    Ok(())
}
