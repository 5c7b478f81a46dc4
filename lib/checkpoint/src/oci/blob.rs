//! A blob of an image: a layer, or a document.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Take};

use super::digest::Digest;
use crate::error::{Error, Result};

/// The largest index, manifest or configuration, in bytes. Registries accept 4 MiB.
const MAX_DOCUMENT: u64 = 4 << 20;

/// A blob, located in a file.
#[derive(Debug)]
pub struct Blob {
    /// The file.
    pub file: File,
    /// The offset of the blob in the file.
    pub offset: u64,
    /// The size of the blob in bytes.
    pub size: u64,
    /// The digest, if the layout has a digest.
    pub digest: Option<Digest>,
}

impl Blob {
    /// Reads the blob as a document. `name` is the name of the document for messages.
    pub(super) fn document(mut self, name: &str) -> Result<Vec<u8>> {
        if self.size > MAX_DOCUMENT {
            return Err(Error::member(name, format!("longer than {MAX_DOCUMENT} bytes")));
        }
        let io = |e: std::io::Error| Error::member(name, e);
        self.file.seek(SeekFrom::Start(self.offset)).map_err(io)?;
        let mut bytes = Vec::new();
        self.file.take(self.size).read_to_end(&mut bytes).map_err(io)?;
        Ok(bytes)
    }

    /// Returns a reader of the blob.
    pub(super) fn open(&self) -> Result<Take<&File>> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(self.offset)).map_err(|e| Error::member("layer", e))?;
        Ok(file.take(self.size))
    }

    /// Reads the blob and compares its hash with its digest.
    ///
    /// # Errors
    /// Returns an error if the hash and the digest differ, as for a truncated blob.
    pub fn prove(&mut self) -> Result<()> {
        let Some(digest) = &self.digest else { return Ok(()) };
        let io = |e: std::io::Error| Error::member("layer", e);
        self.file.seek(SeekFrom::Start(self.offset)).map_err(io)?;
        if !digest.is_of((&mut self.file).take(self.size)).map_err(io)? {
            let what = format!(
                "the {} does not match the digest; the blob was changed or truncated",
                digest.algorithm()
            );
            return Err(Error::member("layer", what));
        }
        Ok(())
    }
}
