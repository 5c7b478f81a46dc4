//! The network status of a container and the network that it describes.
//!
//! Nothing in this module reads files or talks to the kernel.

pub mod desired;
pub mod extension;
pub mod host_address;
pub mod names;
pub mod netavark;
pub mod network_info;
pub mod number_fields;
pub mod route;
pub mod status;
