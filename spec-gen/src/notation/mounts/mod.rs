//! The notations of `--volume`, `--mount`, `--tmpfs` and `--volumes-from`.

pub mod glob;
pub mod mount_flag;
pub mod mount_options;
pub mod volume;
pub mod volumes_from;
