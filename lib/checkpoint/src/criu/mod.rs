//! CRIU's images: their format, the processes and files in them, and checks that CRIU can restore
//! them.

#[cfg(feature = "archive")]
mod cgroups;
#[cfg(feature = "archive")]
pub mod check;
#[cfg(feature = "archive")]
pub mod core_image;
pub mod external_mounts;
#[cfg(feature = "archive")]
pub mod image_file;
#[cfg(feature = "archive")]
pub mod incremental;
#[cfg(feature = "archive")]
pub mod memory;
#[cfg(feature = "archive")]
mod messages;
#[cfg(feature = "archive")]
pub mod open_files;
#[cfg(feature = "archive")]
pub mod origin;
#[cfg(feature = "archive")]
pub mod pagemap;
#[cfg(feature = "archive")]
pub mod pages;
#[cfg(feature = "archive")]
pub mod payload;
#[cfg(feature = "archive")]
pub mod process_tree;
mod raw;
#[cfg(feature = "archive")]
pub mod requirements;
pub mod root_process;
#[cfg(feature = "archive")]
pub mod stats;
#[cfg(feature = "archive")]
pub mod texts;
