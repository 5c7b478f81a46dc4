//! The findings of a preflight check.

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The dump or the restore fails.
    Fails,
    /// The dump or the restore succeeds if the user follows the hint.
    Needs,
}

/// A problem that the check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The severity.
    pub severity: Severity,
    /// The problem.
    pub text: String,
    /// The remedy.
    pub hint: String,
}

impl Finding {
    /// Returns whether the dump or the restore fails.
    pub fn fails(&self) -> bool {
        self.severity == Severity::Fails
    }
}
