//! Applies the diff of a root file system, and interprets the whiteouts of its OCI layer format.

mod apply;
mod made_paths;
pub mod whiteout;

pub use apply::RootfsApply;
