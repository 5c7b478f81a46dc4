//! The documents among an archive's members: the JSON files of the container engine, and the lists
//! of deleted files.

pub mod config_dump;
pub mod deleted_files;
pub mod delta;
pub mod network_status;
pub mod pod;
pub mod spec_dump;
