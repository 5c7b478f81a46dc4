//! Writes tars to an [`Output`] with progress, and diffs to a layer of an overlay.

use std::io::ErrorKind;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

use anyhow::Context;
use tartree::{Error, ExtractOptions, Extractor, LayerXattrs, Notices, Passage, Root, Sink};

use crate::error::Hint;
use crate::files::output::Output;
use crate::files::private;
use crate::files::same_file::resolve;
use crate::messages::display::display_path;
use crate::messages::progress::{Counted, count};

/// Returns a sink that writes a tar to `output` and counts its bytes for the progress of the run.
/// File content is moved within the kernel if the output allows it.
pub fn sink(output: Output) -> Sink<Counted<Output>> {
    let passage = Passage::to(output.as_fd(), count);
    Sink::direct(Counted::new(output), passage)
}

/// Returns an extractor that writes a layer over `image` into the empty directory `dir`, which is
/// created if it is missing.
///
/// # Errors
/// Returns an error if the directory is not empty, if one of the directories is inside the other
/// one, or if this process cannot set overlay xattrs in
/// it.
pub fn overlay_layer(
    dir: &Path,
    image: Root,
    options: ExtractOptions,
    userxattr: bool,
    notices: &mut dyn Notices,
) -> anyhow::Result<Extractor> {
    let object = || display_path(dir);
    let lower = std::fs::canonicalize(format!("/proc/self/fd/{}", image.fd().as_raw_fd()));
    let (lower, upper) = (lower.with_context(object)?, resolve(dir));
    if upper.starts_with(&lower) {
        anyhow::bail!("{}: the layer would be inside the root file system that it is for", object());
    }
    if lower.starts_with(&upper) {
        anyhow::bail!("{}: contains the root file system that the layer is for", object());
    }
    private::dir(dir).with_context(object)?;
    if std::fs::read_dir(dir).with_context(object)?.next().is_some() {
        anyhow::bail!("{}: expected an empty directory for the layer, found files in it", object());
    }
    let xattrs = if userxattr { LayerXattrs::User } else { LayerXattrs::Trusted };
    let extractor = Extractor::new(Root::open(dir).with_context(object)?, options);
    extractor.into_layer(image, xattrs, notices).map_err(|e| {
        let denied = matches!(&e, Error::Io { source, .. } if source.kind() == ErrorKind::PermissionDenied);
        let e = anyhow::Error::new(e).context(object());
        match denied && !userxattr {
            true => Hint::on(e, "for a user namespace, or an overlay with the option userxattr: --userxattr"),
            false => e,
        }
    })
}
