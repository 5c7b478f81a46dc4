//! What changed in a root file system: overlayfs and plain trees compared, changes listed.
//!
//! The rule that keeps this exact: the kernel resolves overlayfs. Content and metadata are those of a merged view, so that
//! redirects, metacopy, escaped attributes and whiteouts of any form need not be understood here. The upper directory
//! tells where to look, and only what has no mark that could make it something else is read there.

mod aliases;
pub mod compare;
mod content;
pub mod layers;
mod links;
pub mod mountinfo;
mod orphans;
mod overlay;
mod same_inode;
pub mod source;
mod tree;
mod upper;

pub use compare::{Change, Changes, Content, Options, compare};
pub use source::Source;
