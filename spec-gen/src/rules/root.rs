//! Sets `root.path`, and opens the root file system in which users and links are looked up.

use std::path::Path;

use anyhow::Context;

use crate::input::rootfs::Rootfs;
use crate::job::Job;
use crate::path;
use crate::runtime_spec::key;

/// Sets `root.path`, and opens the root file system in which users and links are looked up.
///
/// # Errors
/// Returns an error if `--rootfs` cannot be opened.
pub fn set(job: &mut Job<'_>) -> anyhow::Result<()> {
    let args = &job.args.input;
    if let Some(dir) = &args.rootfs {
        job.rootfs = Rootfs::open(dir)?;
        // The path is relative to the working directory of the user, not to the bundle in which the
        // runtime starts.
        let path = std::path::absolute(dir).with_context(|| cli::display_path(dir))?;
        job.spec.set(key::ROOT_PATH, path::utf8(path)?);
    }
    if !job.container.mount_point.is_empty() {
        job.spec.set(key::ROOT_PATH, job.container.mount_point.as_str());
    }
    if let Some(path) = &args.root_path {
        job.spec.set(key::ROOT_PATH, path.as_str());
    }
    if args.rootfs.is_none() {
        if let Some(path) = job.spec.text(key::ROOT_PATH) {
            let bundle = job.args.what.bundle.as_deref().unwrap_or(Path::new(""));
            job.rootfs = Rootfs::probe(&bundle.join(path));
        }
    }
    job.trace.because(&job.spec, || "where the root file system is".into());
    Ok(())
}
