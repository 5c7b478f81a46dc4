//! A tar stream to entries: the twin of [`write`](crate::encode).
//!
//! Reads what podman, Go, GNU tar, bsdtar, Python and the tar crate write: V7, ustar, PAX, GNU long names,
//! base-256 numbers, and the four sparse forms. Nothing is allocated by a number that was read.

mod content;
mod entry;
mod expanded;
mod items;

pub use content::Content;
pub use expanded::Expanded;
pub use items::{Direct, Item, Reader};
