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

#[cfg(test)]
mod tests {
    use std::io::Write;

    use serde_json::Value;

    use super::*;

    /// Returns the blob `abc` between other bytes, with the digest `sha256:HEX`.
    fn blob(size: u64, hex: &str) -> Blob {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"xxabcyy").unwrap();
        let digest = Digest::read(&Value::from(format!("sha256:{hex}"))).unwrap();
        Blob { file, offset: 2, size, digest: Some(digest) }
    }

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn only_the_content_with_the_digest_is_proven() {
        blob(3, ABC).prove().unwrap();
        Blob { digest: None, ..blob(2, ABC) }.prove().unwrap();
        for (size, hex) in [(2, ABC.to_owned()), (4, ABC.to_owned()), (3, ABC.replace('b', "c"))] {
            let error = blob(size, &hex).prove().unwrap_err().to_string();
            assert!(error.contains("the SHA-256 does not match the digest"), "{error}");
        }
    }

    #[test]
    fn a_blob_is_read_from_its_offset() {
        let mut content = Vec::new();
        blob(3, ABC).open().unwrap().read_to_end(&mut content).unwrap();
        assert_eq!(content, b"abc");
        assert_eq!(blob(3, ABC).document("x").unwrap(), b"abc");
        assert!(blob(MAX_DOCUMENT, ABC).document("x").is_ok());
        let error = blob(MAX_DOCUMENT + 1, ABC).document("x").unwrap_err().to_string();
        assert!(error.starts_with("x: longer than"), "{error}");
    }
}
