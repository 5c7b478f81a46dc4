//! The findings of a check (`--check`), each with a hint.

use super::session::Session;
use crate::exit::Exit;

/// A problem that a check found.
#[derive(Clone, Copy, Debug)]
pub struct Finding<'a> {
    /// Whether the checked operation will fail. If `false`, the operation succeeds provided that
    /// the user follows the hint.
    pub fails: bool,
    /// The problem.
    pub text: &'a str,
    /// The remedy.
    pub hint: &'a str,
}

impl Session {
    /// Prints the passed checks in `passed` (only with `-v`) and each finding with its hint.
    /// Returns [`Exit::Failed`] if any finding has `fails` set.
    pub fn findings<'a>(&self, passed: &[String], findings: impl IntoIterator<Item = Finding<'a>>) -> Exit {
        for line in passed {
            self.note(line);
        }
        let mut exit = Exit::Done;
        for finding in findings {
            if finding.fails {
                self.error(finding.text);
                exit = Exit::Failed;
            } else {
                self.warn(finding.text);
            }
            if finding.fails || !self.is_quiet() {
                self.hint(finding.hint);
            }
        }
        exit
    }
}
