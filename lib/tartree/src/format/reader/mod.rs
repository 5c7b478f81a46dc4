//! Reads the entries of a tar stream. [`encode`](mod@crate::encode) does the reverse.
//!
//! Reads the output of podman, Go, GNU tar, bsdtar, Python and the tar crate: V7, ustar, PAX, GNU
//! long names, base-256 numbers and the four sparse forms. The size of an allocation never depends
//! on a number from the input.

mod announced;
mod content;
mod entry;
mod expanded;
mod items;

pub use content::Content;
pub use expanded::Expanded;
pub use items::{Direct, Item, Reader};
