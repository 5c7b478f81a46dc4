//! The checkpoint archive that podman, CRI-O, containerd and checkpointctl exchange.
//!
//! An archive is a tar of [members](Member). It is put together from *member streams*
//! ([`stream`]), plain tars of members that end in a record proving they are complete, and it is
//! taken apart again in one pass. JSON documents keep the keys they are not understood by.

mod architecture;
#[cfg(feature = "archive")]
pub mod archive;
#[cfg(feature = "compress")]
pub mod compress;
pub mod config_dump;
pub mod deleted;
mod error;
pub mod external_mounts;
#[cfg(feature = "preflight")]
pub mod host;
#[cfg(feature = "archive")]
pub mod image;
pub mod json;
mod member;
#[cfg(feature = "preflight")]
pub mod network_lock;
pub mod network_status;
#[cfg(feature = "archive")]
pub mod oci;
#[cfg(feature = "archive")]
pub mod open_files;
#[cfg(feature = "preflight")]
pub mod preflight;
#[cfg(feature = "preflight")]
pub mod preflight_net;
#[cfg(feature = "archive")]
pub mod process_tree;
pub mod rootfs;
pub mod spec_dump;
#[cfg(feature = "archive")]
pub mod stats;
pub mod stream;
#[cfg(feature = "compress")]
pub mod tar_input;
pub mod tar_kind;
pub mod whiteout;

pub use architecture::architecture;
pub use error::{Error, Result, found_in, hint_in};
pub use member::{Member, VolumeName};
