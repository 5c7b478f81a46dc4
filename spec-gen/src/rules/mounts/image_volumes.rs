//! `--image-volume`: adds the volumes that an image declares.

use crate::input::image_config::ImageConfig;
use crate::job::Job;
use crate::notation::engine::ImageVolume;
use crate::notation::mounts::volume::{self, Volume};
use crate::path;
use crate::rules::mounts::volume_directory;
use crate::runtime_spec::mounts;

/// podman's options for these volumes.
const OPTIONS: [&str; 5] = ["rprivate", "rw", "nodev", "exec", "nosuid"];

/// Adds the volumes that an image declares, except at destinations that have a mount.
pub fn add(job: &mut Job<'_>, image: Option<&ImageConfig>) -> anyhow::Result<()> {
    let Some(image) = image else { return Ok(()) };
    let declared: Vec<String> =
        image.volumes.iter().filter(|volume| !job.container.removed.has(volume)).cloned().collect();
    let taken: Vec<String> = job.container.volumes.iter().map(|v| v.destination().to_owned()).collect();
    let volumes = of_image(job, &declared, &taken)?;
    job.container.volumes.splice(0..0, volumes);
    Ok(())
}

/// Returns the volumes of the image, except volumes whose destination a flag uses.
///
/// # Errors
/// Returns an error if they need directories and the location of the directories is not known.
fn of_image(job: &mut Job<'_>, destinations: &[String], taken: &[String]) -> anyhow::Result<Vec<Volume>> {
    let mut made = Vec::new();
    for destination in destinations {
        let is_taken = |other: &String| path::clean(other) == path::clean(destination);
        if taken.iter().any(is_taken) || mounts::find(&job.spec, destination).is_some() {
            continue;
        }
        let options = OPTIONS.map(str::to_owned).to_vec();
        match job.args.engine.image_volume.unwrap_or(ImageVolume::Tmpfs) {
            ImageVolume::Ignore => {}
            ImageVolume::Tmpfs => {
                let options = [options, vec!["tmpcopyup".into()]].concat();
                made.push(Volume::Mount(volume::tmpfs(destination, options)));
            }
            ImageVolume::Anonymous => {
                let name = volume_directory::anonymous_name(job.args.input.id.as_deref(), destination);
                volume_directory::make(job, &name, destination)?;
                let options = [options, vec!["rbind".into()]].concat();
                let (destination, subpath) = (destination.clone(), String::new());
                made.push(Volume::Named { name, destination, options, subpath });
            }
        }
    }
    Ok(made)
}
