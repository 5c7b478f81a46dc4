//! The ID of the memory images in an archive: a digest that does not depend on the compression, the
//! order of members or the form of holes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Read};

use sha2::{Digest as _, Sha256};

use crate::delta::ImagesId;

/// Computes the digest of all memory images of an archive.
#[derive(Clone, Default)]
pub struct ImagesDigest(BTreeMap<String, (u64, String)>);

impl ImagesDigest {
    /// Adds the image `name`, whose complete content was read through `reader`.
    pub fn add<R>(&mut self, name: &str, reader: HashedReader<R>) {
        self.0.insert(name.to_owned(), (reader.bytes, hex(&reader.hash.finalize())));
    }

    /// Returns the ID. `base` is the ID of the archive that holds the pages in parent.
    pub fn finish(&self, base: Option<&ImagesId>) -> ImagesId {
        let mut text = String::from("ckpt-tools memory images 1\n");
        if let Some(base) = base {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "base {base}");
        }
        for (name, (bytes, digest)) in &self.0 {
            let _ = writeln!(text, "{name} {bytes} {digest}");
        }
        ImagesId::sha256(&hex(&Sha256::digest(text)))
    }
}

fn hex(digest: &[u8]) -> String {
    digest.iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Hashes the bytes that are read.
pub struct HashedReader<R> {
    input: R,
    hash: Sha256,
    bytes: u64,
}

impl<R: Read> HashedReader<R> {
    /// Reads from `input`.
    pub fn new(input: R) -> HashedReader<R> {
        HashedReader { input, hash: Sha256::new(), bytes: 0 }
    }

    /// Reads the rest of the input.
    ///
    /// # Errors
    /// Returns the errors of the input.
    pub fn drain(&mut self) -> io::Result<()> {
        io::copy(self, &mut io::sink()).map(drop)
    }
}

impl<R: Read> Read for HashedReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let got = self.input.read(buf)?;
        self.hash.update(&buf[..got]);
        self.bytes += got as u64;
        Ok(got)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(images: &[(&str, &[u8])], base: Option<&ImagesId>) -> ImagesId {
        let mut digest = ImagesDigest::default();
        for (name, content) in images {
            let mut reader = HashedReader::new(*content);
            reader.drain().unwrap();
            digest.add(name, reader);
        }
        digest.finish(base)
    }

    #[test]
    fn the_id_depends_on_names_content_and_base_but_not_on_the_order() {
        let image = |name, content: &'static str| (name, content.as_bytes());
        let (a, b) = (image("pages-1.img", "x"), image("pages-2.img", "y"));
        let id = digest(&[a, b], None);
        assert_eq!(digest(&[b, a], None), id);
        for other in [
            digest(&[a], None),
            digest(&[a, image("pages-2.img", "z")], None),
            digest(&[a, image("pages-3.img", "y")], None),
            digest(&[a, b], Some(&id)),
        ] {
            assert_ne!(other, id);
        }
    }
}
