//! The host: collects facts about it for the annotations of an image, and checks whether it can
//! checkpoint or restore.

mod criu_version;
mod facts;
mod finding;
pub mod freezer;
mod network;
mod network_lock;
pub mod preflight;
pub mod processes;
mod program;
mod sockets;
pub mod task_memory;

pub use facts::Host;
pub use finding::{Finding, Severity};
