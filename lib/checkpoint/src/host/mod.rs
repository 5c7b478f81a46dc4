//! The host: collects facts about it for the annotations of an image, and checks whether it can
//! checkpoint or restore.

pub mod criu_version;
mod facts;
mod finding;
pub mod freezer;
mod network;
mod network_lock;
#[cfg(feature = "archive")]
pub mod ports;
pub mod preflight;
pub mod processes;
pub mod program;
mod sockets;
pub mod task_memory;

pub use facts::Host;
pub use finding::{Finding, Severity};
