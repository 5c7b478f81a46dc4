//! Notices about work that was skipped or done only in part, while the run continues.

use crate::path::TarPath;

/// A report that something was not done, or not done as requested. Everything that is left out is
/// reported by a notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// An inode was not archived, because a tar cannot represent it (a socket) or because something
    /// is mounted over it.
    Skipped {
        /// The path of the inode.
        path: TarPath,
        /// The reason.
        why: &'static str,
    },
    /// An inode was left out at the caller's request. This needs no warning.
    LeftOut {
        /// The path of the inode.
        path: TarPath,
        /// The reason: "excluded".
        why: &'static str,
    },
    /// An inode changed between the two passes or while it was read. The tar is valid, but its
    /// content may mix different points in time.
    Changed {
        /// The path of the inode.
        path: TarPath,
        /// The change: "grew", "shrank", "vanished", …
        how: &'static str,
    },
    /// An inode was not extracted, because this process may not or cannot create it on this host.
    NotMade {
        /// The path of the inode.
        path: TarPath,
        /// The kind of inode: "device 8:0".
        what: String,
        /// The reason.
        why: &'static str,
    },
    /// Part of the metadata could not be set.
    NotApplied {
        /// The path of the inode.
        path: TarPath,
        /// The kind of metadata: "owner", "attribute user.x", …
        what: String,
        /// The reason, such as the text of the errno.
        why: String,
    },
}

impl std::fmt::Display for Notice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Notice::Skipped { path, why } => write!(f, "{path}: {why}, not archived"),
            Notice::LeftOut { path, why } => write!(f, "{path}: {why}, left out"),
            Notice::Changed { path, how } => write!(f, "{path}: {how} while it was read"),
            Notice::NotMade { path, what, why } => write!(f, "{path}: {what} not made: {why}"),
            Notice::NotApplied { path, what, why } => write!(f, "{path}: {what} not set: {why}"),
        }
    }
}

/// Receives the notices of a run.
pub trait Notices {
    /// Receives one notice.
    fn notice(&mut self, notice: Notice);
}

impl<F: FnMut(Notice)> Notices for F {
    fn notice(&mut self, notice: Notice) {
        self(notice);
    }
}

/// Forwards notices, and counts the notices of changed inodes, which decide the exit status.
pub struct Tally<F> {
    /// The number of inodes that changed while they were read.
    pub changed: u64,
    report: F,
}

impl<F: FnMut(&Notice)> Tally<F> {
    /// Makes a tally that calls `report` with every notice.
    pub fn new(report: F) -> Tally<F> {
        Tally { changed: 0, report }
    }
}

impl<F: FnMut(&Notice)> Notices for Tally<F> {
    fn notice(&mut self, notice: Notice) {
        self.changed += u64::from(matches!(notice, Notice::Changed { .. }));
        (self.report)(&notice);
    }
}
