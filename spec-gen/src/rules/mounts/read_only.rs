//! `--read-only`, the tmpfs mounts that come with it, and `--rootfs-propagation`.

use cli::usage;

use crate::args::Args;
use crate::notation::mounts::mount_options::{self, MountClass};
use crate::notation::mounts::volume;
use crate::path;
use crate::rules::mounts::shm;
use crate::runtime_spec::key;
use crate::runtime_spec::names::PROPAGATIONS;
use crate::runtime_spec::{Spec, mounts};

/// Applies `--read-only` with its tmpfs mounts, and `--shm-size`.
///
/// # Errors
/// Returns an error if `--shm-size` is given and /dev/shm is not a tmpfs.
pub fn apply(spec: &mut Spec, all: &Args, is_libpod: bool) -> anyhow::Result<()> {
    let args = &all.mounts;
    if let Some(read_only) = args.read_only {
        spec.set(key::ROOT_READONLY, read_only);
    }
    match args.writable_tmpfs() {
        Some(true) if spec.is_true(key::ROOT_READONLY) => {
            for destination in ["/run", "/tmp", "/var/tmp"] {
                if mounts::find(spec, destination).is_none() {
                    mounts::put(
                        spec,
                        &volume::tmpfs(destination, mount_options::complete(Vec::new(), MountClass::Tmpfs)?),
                    );
                }
            }
        }
        Some(false) if spec.is_true(key::ROOT_READONLY) => {
            if let Some(dev) =
                spec.mounts_mut().iter_mut().find(|m| path::clean(mounts::destination(m)) == "/dev")
            {
                let mut options: Vec<String> = mounts::options(dev).map(str::to_owned).collect();
                if !options.iter().any(|o| o == "ro") {
                    options.push("ro".into());
                    mounts::set_options(dev, options);
                }
            }
        }
        _ => {}
    }
    if let Some(size) = args.shm_size {
        shm::set_size(spec, all, size, is_libpod)?;
    }
    if let Some(propagation) = &args.rootfs_propagation {
        if !PROPAGATIONS.contains(&propagation.as_str()) {
            return Err(usage(format!(
                "--rootfs-propagation {propagation}: expected one of {}",
                PROPAGATIONS.join(", ")
            )));
        }
        spec.set(key::LINUX_ROOTFS_PROPAGATION, propagation.as_str());
    }
    Ok(())
}
