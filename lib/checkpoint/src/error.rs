//! The errors of archives, member streams and images.

use std::io;

use strict_json::DocumentError;
use tartree::FileKind;

use crate::tar_kind::TarKind;

/// The result of a fallible operation of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// An error about a file or member, with its name. The cause is the `source`, so print the complete
/// chain.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An error in the tar of the archive or stream.
    #[error(transparent)]
    Tar(#[from] tartree::Error),
    /// An error in the tar that is the content of a member.
    #[error("{member}")]
    Nested {
        /// The member's name.
        member: String,
        /// The error in the tar.
        source: tartree::Error,
    },
    /// A member has the wrong type or content.
    #[error("{member}: {what}")]
    Member {
        /// The member's name.
        member: String,
        /// The fault.
        what: String,
    },
    /// The member has an unknown name.
    #[error("{member}: not a member of a checkpoint archive")]
    UnknownMember {
        /// The member's name.
        member: String,
    },
    /// The name of an image is missing or does not identify one of the listed images.
    #[error("image: {list} lists {}", .names.join(", "))]
    Choice {
        /// The document that lists the images.
        list: &'static str,
        /// The quoted names of the images.
        names: Vec<String>,
    },
    /// A member stream is truncated or mixed with another: a producer died, or its output was
    /// changed.
    #[error("member stream: {what}")]
    Stream {
        /// The fault.
        what: String,
    },
    /// A producer failed and recorded its failure in the member stream.
    #[error("{writer} failed: {}{reason}", .member.as_ref().map(|member| format!("{member}: ")).unwrap_or_default())]
    Producer {
        /// The tool that failed.
        writer: String,
        /// The member that the tool was writing, if it is known.
        member: Option<String>,
        /// The error of the tool.
        reason: String,
    },
    /// An input without any bytes.
    #[error("is empty, expected {expected}")]
    Empty {
        /// The expected input.
        expected: &'static str,
    },
    /// Compressed data that is compressed again.
    #[error("expected a tar inside the {outer} stream, found {found}")]
    Twice {
        /// The outer format.
        outer: &'static str,
        /// The kind of the inner file.
        found: FileKind,
    },
    /// A tar of another kind than expected.
    #[error("is {found}, expected {expected}")]
    Kind {
        /// The kind of the tar.
        found: TarKind,
        /// The expected kind.
        expected: &'static str,
    },
    /// A pod archive, where the archive of one container is expected.
    #[error("is a pod archive of the containers {}", listed(.names))]
    Pod {
        /// The names of the containers.
        names: Vec<String>,
    },
    /// The pod archive has no container of this name.
    #[error("{name}: not a container of the pod, expected one of {}", listed(.names))]
    Container {
        /// The name that was given.
        name: String,
        /// The names of the containers.
        names: Vec<String>,
    },
    /// A diff in podman's form, where an image layer is expected: its deletions would be lost.
    #[error("{member}: expected an image layer, found a diff with podman's deletions")]
    DiffForm {
        /// The member's name.
        member: String,
    },
    /// A compressed stream could not be read or written.
    #[error("{what}")]
    Compression {
        /// The format.
        what: &'static str,
        /// The error of the codec.
        source: io::Error,
    },
}

/// The most names in a message.
const LISTED: usize = 20;

/// Returns names for a message.
fn listed(names: &[String]) -> String {
    let more = match names.len() {
        0..=LISTED => String::new(),
        all => format!(" and {} more", all - LISTED),
    };
    names[..names.len().min(LISTED)].join(", ") + &more
}

/// Returns the kind of file that was found instead of a tar or JSON, if an error in `chain` reports
/// one.
pub fn found_in<'a>(
    chain: impl Iterator<Item = &'a (dyn std::error::Error + 'static)>,
) -> Option<&'a FileKind> {
    let of_tar = |e: &'a tartree::Error| match e {
        tartree::Error::NotATar { found } => Some(found),
        _ => None,
    };
    let mut found = chain.map(|e| match e.downcast_ref::<Error>() {
        Some(Error::Twice { found, .. }) => Some(found),
        // `Error::Tar` is transparent, so its inner error is not in the chain.
        Some(Error::Tar(e)) => of_tar(e),
        _ => match e.downcast_ref() {
            Some(DocumentError::Kind(found)) => Some(found),
            _ => e.downcast_ref().and_then(of_tar),
        },
    });
    found.find_map(|found| found)
}

/// Returns the command that converts the file that was found to the expected input, if an error in
/// `chain` reports such a file.
pub fn hint_in<'a>(
    chain: impl Iterator<Item = &'a (dyn std::error::Error + 'static)>,
) -> Option<&'static str> {
    found_in(chain).and_then(FileKind::hint)
}

impl Error {
    pub(crate) fn member(member: impl ToString, what: impl ToString) -> Error {
        Error::Member { member: member.to_string(), what: what.to_string() }
    }

    pub(crate) fn unknown_member(member: impl ToString) -> Error {
        Error::UnknownMember { member: member.to_string() }
    }

    pub(crate) fn stream(what: impl ToString) -> Error {
        Error::Stream { what: what.to_string() }
    }
}
