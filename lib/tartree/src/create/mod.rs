//! Makes a tar of a directory tree: walks the tree, plans the exact size of the tar, and writes
//! entries and contents.

pub(crate) mod content;
pub(crate) mod packed_plan;
pub(crate) mod page_cache;
pub(crate) mod plan;
pub(crate) mod reader_limits;
pub(crate) mod sink;
pub(crate) mod stat_ahead;
pub(crate) mod walk;

pub use content::{write_content, write_found};
pub use packed_plan::SourceTree;
pub use plan::{Files, Plan};
pub use reader_limits::ReaderLimits;
pub use sink::{Destination, Sink};
pub use walk::{Filter, Found, Visit, Walk};
