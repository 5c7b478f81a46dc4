//! Errors, distinguished by what a caller can do about them.

use std::io;

use crate::format::file_kind::FileKind;
use crate::limits::{Exceeded, Limit};
use crate::path::Malpath;

/// The result of the functions of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// An error. Its text names the entry or file, and the cause is its source, so the caller must
/// print the chain of causes.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call on an inode of the tree failed.
    #[error("{object}")]
    Io {
        /// The path of the inode below the root.
        object: String,
        /// The errno.
        source: io::Error,
    },
    /// The tar stream itself could not be read or written.
    #[error("tar stream")]
    Stream(#[source] io::Error),
    /// The stream ends within an entry or before the end-of-archive blocks.
    #[error("{object}: the tar stream ends too early")]
    Truncated {
        /// The position of the end: the path of an entry, or "header".
        object: String,
    },
    /// The stream is not a valid tar.
    #[error("{object}: {what}")]
    Malformed {
        /// The entry or header.
        object: String,
        /// The fault.
        what: String,
    },
    /// The first bytes of the stream identify another kind of file.
    #[error("{}", .found.instead_of("a tar"))]
    NotATar {
        /// The kind of file.
        found: FileKind,
    },
    /// A name that leads out of the root, or that no inode can have.
    #[error(transparent)]
    Path(#[from] Malpath),
    /// A parent directory is a symbolic link, which is never followed.
    #[error("{object}: a parent path component is a symbolic link")]
    ThroughLink {
        /// The path of the inode.
        object: String,
    },
    /// The inode is a mount point, or is on a filesystem that is mounted below the root, and the
    /// caller did not allow crossing mounts.
    #[error("{object}: {}", where_mounted(object, mount_point))]
    Mounted {
        /// The path of the inode.
        object: String,
        /// The path of the mount point; empty if it is not known.
        mount_point: String,
    },
    /// The user namespace of this process has no ID for an owner.
    #[error("{object}: {what} is not mapped in this user namespace")]
    NotMapped {
        /// The path of the inode.
        object: String,
        /// The kind of ID with its value: "owner 70000:70000".
        what: String,
    },
    /// A device node that this process may not create.
    #[error("{object}: {device}")]
    Device {
        /// The path of the inode.
        object: String,
        /// The device: "device 8:0".
        device: String,
        /// The errno.
        source: io::Error,
    },
    /// A limit was exceeded; see [`Limits`](crate::Limits).
    #[error("{object}")]
    Limit {
        /// The entry or header.
        object: String,
        /// The limit.
        source: Exceeded,
    },
    /// A removal in a tar whose extraction must not remove anything.
    #[error(
        "{object}: a deletion in the tar of a volume: expected the tar of a volume, found the diff of a root file system"
    )]
    Removal {
        /// The path to remove.
        object: String,
    },
    /// A valid request that this program or the filesystem cannot fulfill.
    #[error("{object}: {what}")]
    Unsupported {
        /// The entry or header.
        object: String,
        /// The unsupported operation.
        what: String,
    },
}

impl Error {
    pub(crate) fn io(object: impl ToString, source: impl Into<io::Error>) -> Error {
        Error::Io { object: object.to_string(), source: source.into() }
    }

    pub(crate) fn mounted(object: impl ToString, mount_point: impl ToString) -> Error {
        Error::Mounted { object: object.to_string(), mount_point: mount_point.to_string() }
    }

    pub(crate) fn malformed(object: impl ToString, what: impl ToString) -> Error {
        Error::Malformed { object: object.to_string(), what: what.to_string() }
    }

    pub(crate) fn limit(object: impl ToString, limit: Limit, what: impl Into<String>) -> Error {
        Error::Limit { object: object.to_string(), source: Exceeded::new(limit, what) }
    }
}

fn where_mounted(object: &str, mount_point: &str) -> String {
    match mount_point {
        "" => "is on another mount than the root".into(),
        here if here == object => "another filesystem is mounted here".into(),
        there => format!("another filesystem is mounted at {there}"),
    }
}

/// Returns a hint for an extraction error: the flag that helps, if there is one. Searches the chain
/// of causes.
pub fn hint(error: &(dyn std::error::Error + 'static)) -> Option<&'static str> {
    let mut next = Some(error);
    while let Some(error) = next {
        match error.downcast_ref::<Error>() {
            Some(Error::Mounted { .. }) => {
                return Some("unmount it, or also change the mounted filesystem: --cross-mounts");
            }
            Some(Error::NotMapped { .. }) => {
                return Some(
                    "map it: --uidmap C:H:S --gidmap C:H:S, or give everything to the user who extracts: --no-same-owner",
                );
            }
            Some(Error::Device { .. }) => return Some("leave devices out: --no-devices"),
            _ => next = error.source(),
        }
    }
    None
}
