//! What can go wrong, by what a caller can do about it.

use std::io;

use crate::limits::{Exceeded, Limit};
use crate::path::Malpath;
use crate::recognise::FileKind;

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
    /// More than the caller allowed; see [`Limits`](crate::Limits).
    #[error("{object}")]
    Limit {
        /// The entry or header.
        object: String,
        /// Which limit.
        source: Exceeded,
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

    pub(crate) fn malformed(object: impl ToString, what: impl ToString) -> Error {
        Error::Malformed { object: object.to_string(), what: what.to_string() }
    }

    pub(crate) fn limit(object: impl ToString, limit: Limit, what: impl Into<String>) -> Error {
        Error::Limit { object: object.to_string(), source: Exceeded::new(limit, what) }
    }
}
