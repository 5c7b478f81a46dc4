//! Checks the images of an archive while it is copied, without reading its memory pages.

use std::io::Read;

use tartree::{Expanded, Kind};

use super::{Collected, Report, check, check_parents};
use crate::delta::Delta;
use crate::error::{Error, Result};
use crate::member::Member;
use crate::xor::{Header, pages_number};

/// The images of an archive that is copied.
#[derive(Debug, Default)]
pub struct Copied {
    images: Collected,
    /// Whether another archive, or a pre-checkpoint, has pages that the images leave out.
    leaves_out: bool,
}

impl Copied {
    /// Adds a member of an archive. `content` is its content as it is stored, of which only the part
    /// that the check needs is read.
    ///
    /// # Errors
    /// Returns an error if the content cannot be read, or if the header of an image that is stored
    /// as XOR is damaged.
    pub fn add(&mut self, member: &Member, kind: &Kind, content: &mut impl Read) -> Result<()> {
        let Member::Images(path) = member else { return Ok(()) };
        if let Kind::Symlink { .. } = kind {
            self.leaves_out = true;
        }
        if !matches!(kind, Kind::File { .. }) || member.is_delta() {
            return Ok(());
        }
        let name = path.to_string();
        if let Some(number) = pages_number(path.as_bytes()) {
            let size = Header::read(&name, kind.len(), content)?.decoded();
            self.images.add_unread(&format!("pages-{number}.img"), size);
        } else if super::source::is_pages(&name) {
            self.images.add_unread(&name, kind.len());
        } else {
            let added = self.images.add(&name, kind, &mut Expanded::new(kind, content));
            added.map_err(|e| Error::member(member, e))?;
        }
        Ok(())
    }

    /// Records the document that describes the images.
    pub fn describe(&mut self, delta: &Delta) {
        self.leaves_out |= delta.base.is_some();
    }

    /// Leaves the pages that the images leave out to another check.
    pub fn leave_out_pages(&mut self) {
        self.leaves_out = true;
    }

    /// Checks the images together. The pages that other archives have are not checked.
    pub fn report(&mut self) -> Report {
        let mut report = check(&mut self.images);
        if !self.leaves_out {
            report.problems.extend(check_parents(&mut self.images));
        }
        report
    }
}
