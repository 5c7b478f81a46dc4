//! The notations of flag values. Each module parses text into a value; none reads the input document
//! or applies a rule.

pub mod boolean;
pub mod compat;
pub mod csv;
pub mod device;
pub mod engine;
pub mod id_map;
pub mod limits;
pub mod mounts;
pub mod namespace;
pub mod oci_runtime_tool;
pub mod process;
pub mod secret;
pub mod user;
pub mod user_namespace;
