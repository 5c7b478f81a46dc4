//! The answer of `--check`: what is there, what stands in the way, what helps.

use crate::exit::Exit;
use crate::message::Session;

/// Something that stands in the way.
#[derive(Clone, Copy, Debug)]
pub struct Finding<'a> {
    /// Whether what was asked about cannot be done at all; otherwise it can, if the hint is followed.
    pub fails: bool,
    /// What it is.
    pub text: &'a str,
    /// What helps.
    pub hint: &'a str,
}

impl Session {
    /// Tells what is `good` with `-v`, and each finding with its hint; one that fails makes the exit status 1.
    pub fn findings<'a>(&self, good: &[String], findings: impl IntoIterator<Item = Finding<'a>>) -> Exit {
        for line in good {
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
