//! What can be wrong with an archive or a member stream.

use std::io;

use tartree::FileKind;

use crate::json::Malformed;
use crate::tar_kind::TarKind;

/// The result of every fallible operation here.
pub type Result<T> = std::result::Result<T, Error>;

/// An error that names its object; the cause is the source, so print the whole chain.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// In the tar of the archive or stream.
    #[error(transparent)]
    Tar(#[from] tartree::Error),
    /// In the tar that is the content of a member.
    #[error("{member}")]
    Nested {
        /// The member's name.
        member: String,
        /// What is wrong in it.
        source: tartree::Error,
    },
    /// The member is not what its name says.
    #[error("{member}: {what}")]
    Member {
        /// The member's name.
        member: String,
        /// What is wrong with it.
        what: String,
    },
    /// None of the images is the wanted one, or more than one may be.
    #[error("image: {list} lists {}", .names.join(", "))]
    Choice {
        /// The document that lists them.
        list: &'static str,
        /// Their names, quoted.
        names: Vec<String>,
    },
    /// A member stream is cut or mixed up: a producer died, or its output was changed.
    #[error("member stream: {what}")]
    Stream {
        /// What is missing.
        what: String,
    },
    /// A producer recorded in its member stream that it failed.
    #[error("{writer} failed: {}{reason}", .member.as_ref().map(|member| format!("{member}: ")).unwrap_or_default())]
    Producer {
        /// The tool that failed.
        writer: String,
        /// The member that it should have written, if it knew.
        member: Option<String>,
        /// Its error.
        reason: String,
    },
    /// Compressed data that is compressed again.
    #[error("expected a tar inside the {outer} stream, found {found}")]
    Twice {
        /// The outer format.
        outer: &'static str,
        /// The inner one.
        found: FileKind,
    },
    /// A tar of another kind than expected.
    #[error("is {found}, expected {expected}")]
    Kind {
        /// What it is.
        found: TarKind,
        /// What it should be.
        expected: &'static str,
    },
    /// A compressed stream could not be read or written.
    #[error("{what}")]
    Compression {
        /// Which format.
        what: &'static str,
        /// The codec's answer.
        source: io::Error,
    },
}

/// What an input turned out to be instead of a tar or JSON, if an error in `chain` says so.
pub fn found_in<'a>(
    chain: impl Iterator<Item = &'a (dyn std::error::Error + 'static)>,
) -> Option<&'a FileKind> {
    let of_tar = |e: &'a tartree::Error| match e {
        tartree::Error::NotATar { found } => Some(found),
        _ => None,
    };
    let mut found = chain.map(|e| match e.downcast_ref::<Error>() {
        Some(Error::Twice { found, .. }) => Some(found),
        // Transparent: the error inside is not in the chain.
        Some(Error::Tar(e)) => of_tar(e),
        _ => match e.downcast_ref() {
            Some(Malformed::Kind(found)) => Some(found),
            _ => e.downcast_ref().and_then(of_tar),
        },
    });
    found.find_map(|found| found)
}

/// The command that makes the expected input of what an error in `chain` says was found.
pub fn hint_in<'a>(
    chain: impl Iterator<Item = &'a (dyn std::error::Error + 'static)>,
) -> Option<&'static str> {
    found_in(chain).and_then(FileKind::hint)
}

impl Error {
    pub(crate) fn member(member: impl ToString, what: impl ToString) -> Error {
        Error::Member { member: member.to_string(), what: what.to_string() }
    }

    pub(crate) fn stream(what: impl ToString) -> Error {
        Error::Stream { what: what.to_string() }
    }
}
