//! What a caller must be told although the work goes on.

use crate::path::TarPath;

/// Something that was not done, or not done as asked. Nothing is ever left out without one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Not archived: tar has no form for it (a socket), or something is mounted over it.
    Skipped {
        /// The object.
        path: TarPath,
        /// Why.
        why: &'static str,
    },
    /// Left out because the caller asked for it; nobody needs to be warned of that.
    LeftOut {
        /// The object.
        path: TarPath,
        /// Why: "excluded".
        why: &'static str,
    },
    /// An object changed between the two passes or while it was read; the tar is valid, its content is not a moment's.
    Changed {
        /// The object.
        path: TarPath,
        /// How: "grew", "shrank", "vanished", …
        how: &'static str,
    },
    /// Not extracted: what it is must not or cannot be made here.
    NotMade {
        /// The object.
        path: TarPath,
        /// What it is: "device 8:0".
        what: String,
        /// Why it was not.
        why: &'static str,
    },
    /// Part of the metadata could not be set.
    NotApplied {
        /// The object.
        path: TarPath,
        /// What: "owner", "xattr user.x", …
        what: String,
        /// The kernel's answer.
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

/// Takes the notices of a run.
pub trait Notices {
    /// One more.
    fn notice(&mut self, notice: Notice);
}

impl<F: FnMut(Notice)> Notices for F {
    fn notice(&mut self, notice: Notice) {
        self(notice);
    }
}

/// Passes notices on and counts those of changed objects, which decide the exit status.
pub struct Tally<F> {
    /// How many objects changed while they were read.
    pub changed: u64,
    tell: F,
}

impl<F: FnMut(&Notice)> Tally<F> {
    /// A tally that shows every notice to `tell`.
    pub fn new(tell: F) -> Tally<F> {
        Tally { changed: 0, tell }
    }
}

impl<F: FnMut(&Notice)> Notices for Tally<F> {
    fn notice(&mut self, notice: Notice) {
        self.changed += u64::from(matches!(notice, Notice::Changed { .. }));
        (self.tell)(&notice);
    }
}
