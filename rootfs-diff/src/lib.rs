//! What changed in a root file system: overlayfs and plain trees compared, changes listed.
//!
//! The rule that keeps this exact: the kernel resolves overlayfs. Content and metadata are read from
//! a merged view, never from the upper directory, so that redirects, metacopy, escaped attributes and
//! whiteouts of any form need not be understood here. The upper directory only tells where to look.

mod aliases;
pub mod compare;
mod content;
pub mod layers;
mod links;
pub mod mountinfo;
mod orphans;
mod same_inode;
pub mod source;
mod tree;
mod upper;

pub use compare::{Change, Changes, Content, Options, compare};
pub use source::Source;
