//! Whether the working directory will be there when the process starts.

use anyhow::bail;

use crate::args::CheckCwd;
use crate::input::rootfs::Rootfs;
use crate::job::Job;
use crate::path;
use crate::runtime_spec::{Spec, mounts};

/// Checks `process.cwd`: a directory of the root file system, or on, below or above a mount.
///
/// `may_be_made`: the runtime makes the directory where it is missing (an image's WORKDIR).
///
/// podman joins the strings and so asks the host about an image's absolute links (and makes and gives
/// away host directories); here every link is followed inside.
///
/// # Errors
/// When it is missing or no directory.
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
            // A link may lead into a mount that is not there yet.
            if on_mount(&rootfs.resolve(cwd)?) {
                return Ok(());
            }
            bail!("workdir \"{cwd}\" does not exist in {}", cli::name(rootfs.name_of("/")))
        }
    }
}

/// Checks the working directory of a container config, or the one of `--workdir`, as `--check-cwd` says.
///
/// # Errors
/// Returns an error if `--check-cwd` is not `off` or `warn` and the directory is missing.
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
