//! A blob of an image: a layer, or a document.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use super::digest::Digest;
use crate::error::{Error, Result};

/// Bytes of an index, manifest or configuration; registries take 4 MiB.
const DOCUMENT: u64 = 4 << 20;

/// Where a blob lies.
#[derive(Debug)]
pub struct Blob {
    /// An open file.
    pub file: File,
    /// Where in it the blob starts.
    pub offset: u64,
    /// Its length.
    pub size: u64,
    /// Its digest, where the layout names it.
    pub digest: Option<Digest>,
}

impl Blob {
    /// All of it, which is a document by this name.
    pub(super) fn document(mut self, name: &str) -> Result<Vec<u8>> {
        if self.size > DOCUMENT {
            return Err(Error::member(name, format!("longer than {DOCUMENT} bytes")));
        }
        let io = |e: std::io::Error| Error::member(name, e);
        self.file.seek(SeekFrom::Start(self.offset)).map_err(io)?;
        let mut bytes = Vec::new();
        self.file.take(self.size).read_to_end(&mut bytes).map_err(io)?;
        Ok(bytes)
    }

    /// Reads all of it and compares its hash with its name.
    ///
    /// # Errors
    /// When they differ, or it is shorter than it should be.
    pub fn prove(&mut self) -> Result<()> {
        let Some(digest) = &self.digest else { return Ok(()) };
        let io = |e: std::io::Error| Error::member("layer", e);
        self.file.seek(SeekFrom::Start(self.offset)).map_err(io)?;
        if !digest.is_of((&mut self.file).take(self.size)).map_err(io)? {
            let what = format!("its {} is not its name: it was changed or truncated", digest.algorithm());
            return Err(Error::member("layer", what));
        }
        Ok(())
    }
}
