//! Incremental images: pages that are equal at the same address in an earlier dump are not stored
//! again. The pagemap marks them as in parent, and CRIU reads them from the directory `parent`
//! (criu/pagemap.c, `read_parent_page`).
//!
//! Pages are compared byte by byte and by address, in the order of both pagemaps. Memory use does
//! not depend on the size of the memory, except for one bit per page.

mod compare;
mod coverage;
mod cursor;
mod file_range;
mod identity;
mod kept;
mod memory;
mod pages;

pub use compare::{Marks, compare};
pub use coverage::uncovered;
pub use cursor::{Cursor, Part, resolve};
pub use file_range::{FileRange, Spool};
pub use identity::{HashedReader, ImagesDigest};
pub use kept::{KeptPages, write_pagemap};
pub use memory::{Memory, MemoryImage, PAGE_SIZES, Pagemap};
pub use pages::FlattenedPages;

/// The most directories `parent` below each other. Each one is read while pages are looked up.
pub const MAX_LEVELS: usize = 64;
