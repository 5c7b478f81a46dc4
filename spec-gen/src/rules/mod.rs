//! The rules that change a spec: [`create`] and [`restore`] apply them in order.

pub mod annotations;
pub mod cdi;
pub mod container_flags;
pub mod create;
pub mod devices;
pub mod engine;
pub mod hooks;
pub mod labels_and_annotations;
pub mod mounts;
pub mod namespaces;
pub mod oci_runtime_tool;
pub mod process;
pub mod resources;
pub mod restore;
pub mod root;
pub mod security;
pub mod user;
