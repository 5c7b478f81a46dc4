//! The keyed hash of a page.
//!
//! `SECURITY.md` has the probability that two different pages have the same hash.

use std::fs::File;
use std::io::{self, Read};

/// The hash of a page: BLAKE3 with a key, truncated to 128 bits.
pub type Digest = [u8; 16];

/// A random key, so that no process can choose its memory such that two pages have the same hash.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(pub(super) [u8; 32]);

impl Key {
    /// Returns a new key.
    ///
    /// # Errors
    /// Returns an error if the kernel's random numbers cannot be read.
    pub fn random() -> io::Result<Key> {
        random().map(Key)
    }

    /// Returns the hash of a page.
    pub fn digest(&self, page: &[u8]) -> Digest {
        let hash = blake3::keyed_hash(&self.0, page);
        let mut digest = Digest::default();
        digest.copy_from_slice(&hash.as_bytes()[..size_of::<Digest>()]);
        digest
    }
}

/// Prints no part of the key.
impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

/// Returns random bytes.
///
/// # Errors
/// Returns an error if the kernel's random numbers cannot be read.
pub(super) fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_is_random() {
        let (first, second) = (Key::random().unwrap(), Key::random().unwrap());
        assert!(first != second);
        assert_ne!(first.digest(b"page"), second.digest(b"page"));
        assert_eq!(first.digest(b"page"), first.clone().digest(b"page"));
        assert_eq!(format!("{first:?}"), "Key");
    }
}
