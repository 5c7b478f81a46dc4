//! What a preflight check found.

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The dump or the restore fails.
    Fails,
    /// It works if the hint is followed.
    Needs,
}

/// Something that stands in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is.
    pub text: String,
    /// What helps.
    pub hint: String,
}

impl Finding {
    /// Whether the dump or the restore fails.
    pub fn fails(&self) -> bool {
        self.severity == Severity::Fails
    }
}
