//! `--image-volume`: what the volumes that an image declares become.

use clap::ValueEnum;
use cli::{Hint, usage};

use crate::actions::Action;
use crate::flags::utf8;
use crate::mounts;
use crate::run::Job;
use crate::volumes::{self, Volume};
use crate::{idmap, mounting};

/// podman's words. Its default needs a manager that keeps the volumes; ours does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ImageVolume {
    /// A directory of its own below --volume-root
    #[value(alias = "bind")]
    Anonymous,
    /// A tmpfs with a copy of what the image has there
    Tmpfs,
    /// Nothing: the directory of the image
    Ignore,
}

/// The options podman gives these volumes.
const OPTIONS: [&str; 5] = ["rprivate", "rw", "nodev", "exec", "nosuid"];

/// The volumes of the image as ones to mount, without those at whose place a flag has another.
///
/// # Errors
/// When they are to be directories and it is not known where.
pub fn of_image(job: &mut Job<'_>, destinations: &[String], taken: &[String]) -> anyhow::Result<Vec<Volume>> {
    let mut made = Vec::new();
    for destination in destinations {
        let is_taken = |other: &String| mounts::clean(other) == mounts::clean(destination);
        if taken.iter().any(is_taken) || mounts::find(&job.spec, destination).is_some() {
            continue;
        }
        let options = OPTIONS.map(str::to_owned).to_vec();
        match job.args.manager.image_volume.unwrap_or(ImageVolume::Tmpfs) {
            ImageVolume::Ignore => {}
            ImageVolume::Tmpfs => {
                let options = [options, vec!["tmpcopyup".into()]].concat();
                made.push(Volume::Mount(volumes::tmpfs(destination, options)));
            }
            ImageVolume::Anonymous => {
                let name = name(job.args.input.id.as_deref(), destination);
                make_directory(job, &name, destination)?;
                let options = [options, vec!["rbind".into()]].concat();
                let (destination, subpath) = (destination.clone(), String::new());
                made.push(Volume::Named { name, destination, options, subpath });
            }
        }
    }
    Ok(made)
}

/// The volume's name: from the container's id and the path, and so the same in every run.
pub fn name(id: Option<&str>, destination: &str) -> String {
    let mut name = id.unwrap_or("image").to_owned();
    for part in mounts::clean(destination).split('/').skip(1) {
        name.push('-');
        for byte in part.bytes() {
            if byte.is_ascii_alphanumeric() || byte == b'.' {
                name.push(char::from(byte));
            } else {
                name.push_str(&format!("_{byte:02x}"));
            }
        }
    }
    name
}

/// Queues making the directory of an anonymous volume, with owner and mode of the image's.
///
/// # Errors
/// Returns an error if it is not known where the directory is to be.
pub fn make_directory(job: &mut Job<'_>, name: &str, destination: &str) -> anyhow::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let Some(dir) = mounting::directory(job, name) else {
        return Err(Hint::on(
            usage(format!("anonymous volume at {destination}: its directory is not known")),
            "add --volume-root DIR",
        ));
    };
    let path = utf8(dir)?;
    let found = job.rootfs.metadata(destination)?.filter(std::fs::Metadata::is_dir);
    let (mode, uid, gid) = match found {
        Some(meta) => (meta.mode() & 0o7777, meta.uid(), meta.gid()),
        None => {
            let (uid, gid) = idmap::process_on_host(&job.container.id_maps, 0, 0)?;
            (0o755, uid, gid)
        }
    };
    if job.rootfs.has_entries(destination)? {
        let from = cli::name(job.rootfs.name_of(destination));
        job.session.warn(format_args!(
            "{path}: what the image has at {destination} is not copied: cp -a {from}/. {path}"
        ));
    }
    job.actions.push(Action::Directory { path, mode, uid, gid, like: None });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_paths_never_have_one_name() {
        let paths = ["/a/b", "/a-b", "/a_2db", "/a.b", "/ä", "/a/../b", "/"];
        let names: std::collections::BTreeSet<String> = paths.iter().map(|p| name(None, p)).collect();
        assert_eq!(names.len(), paths.len());
        assert_eq!(name(Some("web"), "/var/lib//my-db/"), "web-var-lib-my_2ddb");
    }
}
