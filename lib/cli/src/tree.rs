//! Writes tars to an [`Output`] with progress, and diffs to a layer of an overlay.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

use anyhow::Context;
use tartree::{Error, ExtractOptions, Extractor, LayerXattrs, Notices, Passage, Root, Sink};

use crate::args::Durable;
use crate::error::Hint;
use crate::files::output::Output;
use crate::files::private::dangling_link;
use crate::files::same_file::resolve;
use crate::files::sync;
use crate::files::temporary_dir::{TemporaryDir, parent};
use crate::messages::display::display_path;
use crate::messages::progress::{Counted, count};

/// Returns a sink that writes a tar to `output` and counts its bytes for the progress of the run.
/// File content is moved within the kernel if the output allows it.
pub fn sink(output: Output) -> Sink<Counted<Output>> {
    let passage = Passage::to(output.as_fd(), count);
    Sink::direct(Counted::new(output), passage)
}

/// A layer that is written: the directory under its temporary name, or `None` if it existed before
/// and was empty.
pub struct NewLayer(Option<TemporaryDir>);

impl NewLayer {
    /// Writes the layer to the disk if `--fsync` is given, and gives it the name `dir`.
    ///
    /// # Errors
    /// Returns an error if something else has this name by now, or if the layer cannot be written.
    pub fn finish(self, dir: &Path, durable: &Durable) -> anyhow::Result<()> {
        durable.sync(self.path(dir))?;
        let Some(temporary) = self.0 else { return Ok(()) };
        temporary.move_to(dir).with_context(|| display_path(dir))?;
        if durable.fsync { sync::directory(parent(dir)) } else { Ok(()) }
    }

    /// Returns where the layer for `dir` is before it is finished.
    pub fn path<'d>(&'d self, dir: &'d Path) -> &'d Path {
        self.0.as_ref().map_or(dir, TemporaryDir::path)
    }

    /// Returns whether a failure leaves an incomplete layer.
    pub fn is_in_place(&self) -> bool {
        self.0.is_none()
    }
}

/// Returns an extractor that writes a layer over `image` for the directory `dir`. A missing directory
/// appears when the layer is complete; an empty one is written into.
///
/// # Errors
/// Returns an error if the directory is not empty, if one of the directories is inside the other
/// one, or if this process cannot set overlay xattrs in it.
pub fn overlay_layer(
    dir: &Path,
    image: Root,
    options: ExtractOptions,
    userxattr: bool,
    notices: &mut dyn Notices,
) -> anyhow::Result<(Extractor, NewLayer)> {
    let object = || display_path(dir);
    let lower = std::fs::canonicalize(format!("/proc/self/fd/{}", image.fd().as_raw_fd()));
    let (lower, upper) = (lower.with_context(object)?, resolve(dir));
    if upper.starts_with(&lower) {
        anyhow::bail!("{}: the layer would be inside the root file system that it is for", object());
    }
    if lower.starts_with(&upper) {
        anyhow::bail!("{}: contains the root file system that the layer is for", object());
    }
    let layer = new_layer(dir)?;
    let xattrs = if userxattr { LayerXattrs::User } else { LayerXattrs::Trusted };
    let extractor = Extractor::new(Root::open(layer.path(dir)).with_context(object)?, options);
    let extractor = extractor.into_layer(image, xattrs, notices).map_err(|e| {
        let denied = matches!(&e, Error::Io { source, .. } if source.kind() == ErrorKind::PermissionDenied);
        let e = anyhow::Error::new(e).context(object());
        match denied && !userxattr {
            true => Hint::on(e, "for a user namespace, or an overlay with the option userxattr: --userxattr"),
            false => e,
        }
    })?;
    Ok((extractor, layer))
}

fn new_layer(dir: &Path) -> anyhow::Result<NewLayer> {
    let object = || display_path(dir);
    match std::fs::read_dir(dir) {
        Ok(mut entries) => match entries.next() {
            Some(_) => {
                anyhow::bail!("{}: expected an empty directory for the layer, found files in it", object())
            }
            None => Ok(NewLayer(None)),
        },
        Err(e) if e.kind() == ErrorKind::NotFound && dangling_link(dir).is_none() => {
            let mut prefix = OsString::from(".");
            prefix.push(dir.file_name().unwrap_or_default());
            prefix.push(".ckpt-");
            let parent = parent(dir);
            let temporary = TemporaryDir::new(parent, &prefix).with_context(|| display_path(parent))?;
            Ok(NewLayer(Some(temporary)))
        }
        Err(e) => Err(dangling_link(dir).unwrap_or(e)).with_context(object),
    }
}
