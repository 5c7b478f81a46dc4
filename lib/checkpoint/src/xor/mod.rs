//! Stores the memory of a dump as XOR with that of an earlier dump, its base.
//!
//! In a heap, most pages change between two dumps, but only in a few bytes, such as reference
//! counts. The XOR of such a page with the page at the same address in the base is nearly all zeros,
//! which compression removes. CRIU cannot read the result: it must be decoded with the base.
//!
//! The archive has all images of the dump, but `pages-N.img.xor` instead of `pages-N.img`. The names
//! differ so that no engine can restore the archive by mistake. [`header`] describes the format.
//!
//! A base may itself be stored as XOR. All archives of the chain are read at the same time, in the
//! order of addresses, so that decoding needs no temporary copy and constant memory.

mod chain;
mod decode;
mod encode;
pub mod header;
mod level;
mod stored;

pub use chain::{Chain, ChainFault};
pub use decode::Decoder;
pub use encode::Encoder;
pub use header::{Header, pages_name, pages_number};
pub use level::{Level, Pagemaps};

/// The most archives of a chain. Each one is decompressed at the same time as the others.
pub const MAX_CHAIN: usize = 32;
