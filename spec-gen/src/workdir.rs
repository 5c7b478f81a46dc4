//! Whether the working directory will be there when the process starts.

use anyhow::bail;

use crate::mounts;
use crate::rootfs::Rootfs;
use crate::spec::Spec;

/// Checks `process.cwd`: a directory of the root file system, or on, below or above a mount.
///
/// `may_be_made`: the runtime makes the directory where it is missing (an image's WORKDIR).
///
/// podman joins the strings and so asks the host about an image's absolute links (and makes and gives
/// away host directories); here every link is followed inside.
///
/// # Errors
/// When it is missing or no directory.
pub fn check(spec: &Spec, rootfs: &Rootfs, may_be_made: bool) -> anyhow::Result<()> {
    let cwd = spec.cwd();
    let on_mount = |path: &str| {
        spec.mounts()
            .iter()
            .map(mounts::destination)
            .any(|d| mounts::is_below(path, d) || mounts::is_below(d, path))
    };
    if !rootfs.is_there() || mounts::clean(cwd) == "/" || on_mount(cwd) {
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
