//! Rejects extension headers whose entry is not certain.

use crate::error::{Error, Result};

/// The extension headers that precede an entry, as a set of their types. Readers differ in what they
/// do with two headers of one type, and with other headers between an extension header and its entry,
/// so such a tar would have different entries for different programs.
#[derive(Default)]
pub(super) struct Announced(u8);

impl Announced {
    /// Adds a header if it is an extension header.
    ///
    /// # Errors
    /// Returns an error if the header may not follow the previous ones.
    pub fn check(&mut self, typeflag: u8) -> Result<()> {
        let bit = match typeflag {
            b'x' | b'X' => 1,
            b'L' => 2,
            b'K' => 4,
            b'g' | b'V' if self.any() => {
                return Err(Error::malformed("tar", "a header for an entry that does not follow"));
            }
            _ => return Ok(()),
        };
        if self.0 & bit != 0 {
            let what = format!("two headers of type '{}' for one entry", typeflag as char);
            return Err(Error::malformed("tar", what));
        }
        self.0 |= bit;
        Ok(())
    }

    /// Returns whether an extension header precedes the entry.
    pub fn any(&self) -> bool {
        self.0 != 0
    }
}
