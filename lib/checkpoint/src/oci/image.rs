//! The image of a checkpoint.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;

use tartree::Limits;

use super::blob::Blob;
use super::containerd::{self, Parts};
use super::error::image_error;
use super::merge::merge;
use crate::compress::Bound;
use crate::error::{Error, Result};

/// The image of a checkpoint.
pub struct Image {
    /// The name in the layout.
    pub name: Option<String>,
    /// The annotations of the manifest.
    pub annotations: BTreeMap<String, String>,
    /// The bytes of the manifest; empty in the format of `docker save`.
    pub manifest: Vec<u8>,
    /// The bytes of the configuration.
    pub config: Vec<u8>,
    /// The checkpoint.
    pub content: Content,
}

/// The checkpoint in an image.
pub enum Content {
    /// The layers, the lowest first. The merged layers are the archive.
    Layers(Vec<Blob>),
    /// The parts of a checkpoint of containerd.
    Containerd(Box<Parts>),
}

impl Image {
    /// Moves the archive out of the image. If the archive is not the only layer of the image, writes
    /// the archive to the file that `spool` creates.
    ///
    /// # Errors
    /// Returns an error if a blob does not match its digest or is damaged, or if writing to the
    /// file fails.
    pub fn take_archive(
        &mut self,
        limits: &Limits,
        bound: &Bound,
        spool: impl FnOnce() -> io::Result<File>,
    ) -> Result<Blob> {
        let spool = || spool().map_err(|e| Error::from(tartree::Error::Stream(e)));
        match std::mem::replace(&mut self.content, Content::Layers(Vec::new())) {
            Content::Layers(mut layers) => {
                layers.iter_mut().try_for_each(Blob::prove)?;
                match <[Blob; 1]>::try_from(layers) {
                    Ok([layer]) => Ok(layer),
                    Err(layers) if layers.is_empty() => Err(image_error("has no layers")),
                    Err(layers) => merge(layers, spool()?, limits, bound),
                }
            }
            Content::Containerd(parts) => containerd::archive(*parts, spool()?, limits, bound),
        }
    }
}
