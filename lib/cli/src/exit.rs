//! The exit statuses of all tools.

use std::process::ExitCode;

/// The exit statuses that scripts rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Success.
    Done = 0,
    /// Failure. No incomplete output exists under its final name.
    Failed = 1,
    /// The command line is invalid.
    Usage = 2,
    /// The output is complete, but some inputs changed while they were read; a message names each
    /// of them.
    Changed = 3,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}
