//! The checkpoint archive that podman, CRI-O, containerd and checkpointctl exchange.
//!
//! An archive is a tar of [members](Member). ckpt-pack assembles the archive from *member streams*
//! ([`stream`]), plain tars of members. The last record of a member stream proves that the stream
//! is complete. ckpt-unpack extracts the archive in one pass. JSON documents ([`documents`]) keep
//! the keys that this crate does not know.
//!
//! | folder | content |
//! |---|---|
//! | [`archive`] | reads and writes the archive |
//! | [`compress`] | gzip, bzip2, xz and zstd |
//! | [`criu`] | reads CRIU's images |
//! | [`documents`] | the JSON members and the deletion lists |
//! | [`host`] | collects facts about the host for annotations; preflight checks |
//! | [`oci`] | a checkpoint as an OCI image |
//! | [`precopy`] | recognizes the pages that the receiver of a migration has |
//! | [`rootfs`] | applies a root file system diff |
//! | [`stream`] | reads and writes member streams |
//! | [`xor`] | stores the memory of a dump as XOR with that of an earlier dump |

mod architecture;
#[cfg(feature = "archive")]
pub mod archive;
#[cfg(feature = "compress")]
pub mod compress;
pub mod criu;
pub mod documents;
mod error;
#[cfg(feature = "preflight")]
pub mod host;
mod member;
#[cfg(feature = "archive")]
pub mod oci;
#[cfg(feature = "precopy")]
pub mod precopy;
pub mod rootfs;
pub mod stream;
#[cfg(feature = "compress")]
pub mod tar_input;
pub mod tar_kind;
mod volume_name;
#[cfg(feature = "archive")]
pub mod xor;

/// The page size on x86-64, and the smallest page size of all architectures, in bytes.
pub const PAGE: u64 = 4096;

pub use architecture::architecture;
pub use criu::{external_mounts, root_process};
#[cfg(feature = "archive")]
pub use criu::{incremental, memory, open_files, origin, pagemap, pages, payload, process_tree, stats};
pub use documents::{config_dump, deleted_files, delta, network_status, pod, spec_dump};
pub use error::{Error, Result, found_in, hint_in};
#[cfg(feature = "preflight")]
pub use host::preflight;
pub use member::Member;
pub use rootfs::whiteout;
pub use volume_name::VolumeName;
