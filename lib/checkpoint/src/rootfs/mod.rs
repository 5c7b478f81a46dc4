//! The diff of a root file system: applying it, and the whiteouts of its OCI layer form.

mod apply;
mod made_paths;
pub mod whiteout;

pub use apply::RootfsApply;
