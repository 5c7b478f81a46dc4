//! What can go wrong, by what a caller can do about it.

use std::io;

use crate::format::file_kind::FileKind;
use crate::limits::{Exceeded, Limit};
use crate::path::Malpath;

/// The result of every fallible operation here.
pub type Result<T> = std::result::Result<T, Error>;

/// An error that names its object; the cause is the source, so print the whole chain.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel refused an operation on an object of the tree.
    #[error("{object}")]
    Io {
        /// The object, as a path below the root.
        object: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The tar stream itself could not be read or written.
    #[error("tar stream")]
    Stream(#[source] io::Error),
    /// The stream ends in the middle.
    #[error("{object}: the tar stream ends too early")]
    Truncated {
        /// Where: the entry, or "header".
        object: String,
    },
    /// The stream is not a tar, or lies about itself.
    #[error("{object}: {what}")]
    Malformed {
        /// The entry or header.
        object: String,
        /// What is wrong with it.
        what: String,
    },
    /// The stream is something else from its first byte on.
    #[error("{}", .found.instead_of("a tar"))]
    NotATar {
        /// What it is.
        found: FileKind,
    },
    /// A name that leads out of the root or cannot exist.
    #[error(transparent)]
    Path(#[from] Malpath),
    /// A directory on the way to the object is a symbolic link, which is never followed.
    #[error("{object}: a directory on the way is a symbolic link")]
    ThroughLink {
        /// The object.
        object: String,
    },
    /// The object is a mount point or lies on a filesystem that is mounted below the root, and the caller did not ask to
    /// cross mounts.
    #[error("{object}: {}", where_mounted(object, mount_point))]
    Mounted {
        /// The object.
        object: String,
        /// The mount point; empty if it is not known.
        mount_point: String,
    },
    /// The user namespace of this process has no ID for an owner.
    #[error("{object}: {what} is not mapped in this user namespace")]
    NotMapped {
        /// The object.
        object: String,
        /// The ID and what it is: "owner 70000:70000".
        what: String,
    },
    /// A device node that this process must not make.
    #[error("{object}: {device}")]
    Device {
        /// The object.
        object: String,
        /// The device: "device 8:0".
        device: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// More than the caller allowed; see [`Limits`](crate::Limits).
    #[error("{object}")]
    Limit {
        /// The entry or header.
        object: String,
        /// Which limit.
        source: Exceeded,
    },
    /// A deletion in a tar that must not delete.
    #[error(
        "{object}: a deletion in the tar of a volume: expected the tar of a volume, found the diff of a root file system"
    )]
    Removal {
        /// The path that would be deleted.
        object: String,
    },
    /// Sound, but not something this program can do.
    #[error("{object}: {what}")]
    Unsupported {
        /// The entry or header.
        object: String,
        /// What is not supported.
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

/// Returns the flag that helps with an error of extracting, if one does. Reads the whole chain of causes.
pub fn hint(error: &(dyn std::error::Error + 'static)) -> Option<&'static str> {
    let mut next = Some(error);
    while let Some(error) = next {
        match error.downcast_ref::<Error>() {
            Some(Error::Mounted { .. }) => {
                return Some("unmount it, or change what is mounted there too: --cross-mounts");
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
