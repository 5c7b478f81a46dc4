//! What the upper directory of an overlay tells of one directory: where to look, never what is there.

use std::ffi::CString;
use std::io;

use tartree::{Root, TarPath, xattr_names};

use crate::compare::merged;
use crate::tree::Marks;

/// fuse-overlayfs writes its marks both as attributes and as a file, as far as it is allowed to.
const FUSE_OPAQUE: &[u8] = b"user.fuseoverlayfs.opaque";
const OPAQUE_FILE: &[u8] = b".wh..wh..opq";
const WHITEOUT: &[u8] = b".wh.";

/// One directory of the upper directory.
pub(crate) struct Listing {
    names: Vec<CString>,
    /// It hides what is below it, or shows something from elsewhere: its names are not all that differ.
    pub hides: bool,
    /// It has no attributes but overlayfs's own, so the merged directory, whose attributes are those of this one, has none.
    pub plain: bool,
}

impl Listing {
    /// Lists the directory at `path`.
    pub fn of(upper: &mut Root, path: &TarPath, marks: Marks) -> io::Result<Listing> {
        let names = upper.list(path.as_bytes())?;
        let attributes = xattr_names(upper.dir(path.as_bytes())?)?;
        let mut listing = Listing { hides: false, plain: true, names };
        for attribute in attributes.split(|&b| b == 0).filter(|name| !name.is_empty()) {
            match marks.prefix().and_then(|prefix| attribute.strip_prefix(prefix)) {
                Some(mark) => listing.hides |= matches!(mark, b"opaque" | b"redirect"),
                None => {
                    listing.hides |= attribute == FUSE_OPAQUE;
                    listing.plain = false;
                }
            }
        }
        listing.hides |= listing.names.iter().any(|name| name.to_bytes() == OPAQUE_FILE);
        Ok(listing)
    }

    /// The names to look at, in reverse order.
    pub fn places(self) -> Vec<CString> {
        let hidden: Vec<_> = self.names.iter().filter_map(whited_out).collect();
        if hidden.is_empty() { self.names } else { merged(self.names, hidden) }
    }
}

/// fuse-overlayfs writes a file `.wh.NAME` where it may not make a device: NAME is what it hides.
fn whited_out(name: &CString) -> Option<CString> {
    let hidden = name.to_bytes().strip_prefix(WHITEOUT)?;
    CString::new(hidden).ok().filter(|hidden| !hidden.is_empty())
}
