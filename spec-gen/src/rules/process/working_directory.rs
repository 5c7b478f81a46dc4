//! Checks that the working directory will exist when the process starts.

use anyhow::bail;

use crate::args::CheckCwd;
use crate::input::rootfs::Rootfs;
use crate::job::Job;
use crate::path;
use crate::runtime_spec::{Spec, mounts};

/// Checks `process.cwd`: it must be a directory of the root file system, or at, below or above a
/// mount.
///
/// `may_be_made`: the runtime creates a missing directory (an image's WORKDIR).
///
/// podman concatenates the strings, so that the host resolves absolute links of an image (podman
/// may even create host directories and change their owner). This function follows every link
/// inside the root.
///
/// # Errors
/// Returns an error if the directory is missing or not a directory.
fn check(spec: &Spec, rootfs: &Rootfs, may_be_made: bool) -> anyhow::Result<()> {
    let cwd = spec.cwd();
    let on_mount = |path: &str| {
        spec.mounts()
            .iter()
            .map(mounts::destination)
            .any(|d| path::is_below(path, d) || path::is_below(d, path))
    };
    if !rootfs.is_there() || path::clean(cwd) == "/" || on_mount(cwd) {
        return Ok(());
    }
    match rootfs.metadata(cwd)? {
        Some(meta) if meta.is_dir() => Ok(()),
        Some(_) => bail!("workdir \"{cwd}\" exists, but is not a directory"),
        None if may_be_made => Ok(()),
        None => {
            // A link may lead into a mount that does not exist yet.
            if on_mount(&rootfs.resolve(cwd)?) {
                return Ok(());
            }
            bail!("workdir \"{cwd}\" does not exist in {}", cli::display_path(rootfs.name_of("/")))
        }
    }
}

/// Checks the working directory of a container config, or the one of `--workdir`, as `--check-cwd`
/// says.
///
/// # Errors
/// Returns an error if the directory is missing. With `--check-cwd warn`, prints a warning instead.
pub fn apply(job: &Job<'_>) -> anyhow::Result<()> {
    let asked = job.container.is_libpod || job.args.process.workdir.is_some();
    if !asked || job.args.process.check_cwd == CheckCwd::Off {
        return Ok(());
    }
    match check(&job.spec, &job.rootfs, job.container.create_workdir) {
        Err(e) if job.args.process.check_cwd == CheckCwd::Warn => job.session.warn(format_args!("{e:#}")),
        checked => checked?,
    }
    Ok(())
}
