//! Pre-copy: pages that the receiver has already are recognized by their hashes, and are not sent
//! again.
//!
//! | file | content |
//! |---|---|
//! | `key.rs` | the keyed hash of a page |
//! | `index.rs` | the page index: the hashes of all pages that the receiver has |
//! | `index_writer.rs` | writes a page index |
//! | `origin.rs` | identifies the container of an index |
//! | `memory.rs` | reads the pages of a running or frozen process |
//! | `predicted.rs` | the pages that an image will contain |
//! | `filter.rs` | selects the pages to send |
//! | `final_pagemap.rs` | marks the pages of the final dump that the receiver has |

mod filter;
mod final_pagemap;
mod index;
mod index_writer;
mod key;
mod memory;
mod origin;
mod predicted;
#[cfg(test)]
mod tests;

pub use crate::host::processes::has_exited;
pub use filter::{Fate, Image, ImageSource, Page, PageFilter, PageSource};
pub use final_pagemap::{Decisions, mark_held};
pub use index::{Header, IndexedPage, PageIndex, Space};
pub use index_writer::IndexWriter;
pub use key::{Digest, Key};
pub use memory::{Memory, MemoryReader};
pub use origin::Origin;
pub use predicted::Predicted;

use crate::PAGE;
pub use crate::host::task_memory::Run as PageRun;

/// The size of a page. Pre-copy requires that the kernel uses pages of this size.
pub const PAGE_SIZE: usize = PAGE as usize;

/// The ID of a round, which is random. The next round and the final dump name it.
pub type RoundId = [u8; 16];

/// Returns the ID of a new round.
///
/// # Errors
/// Returns an error if the kernel's random numbers cannot be read.
pub fn round_id() -> std::io::Result<RoundId> {
    key::random()
}
