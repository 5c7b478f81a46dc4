//! Checks the images of an archive while it is copied, without reading its memory pages.

use std::io::{self, Read};

use tartree::{Expanded, Kind};

use super::source::{end_of_map, is_pages};
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
        } else if is_pages(&name) {
            self.images.add_unread(&name, kind.len());
            if let Kind::File { map: Some(map), .. } = kind {
                self.images.set_end_of_data(&name, end_of_map(map));
            }
        } else {
            let added = self.images.add(&name, kind, &mut Expanded::new(kind, content));
            added.map_err(|e| Error::member(member, e))?;
        }
        Ok(())
    }

    /// Records where the data of the memory pages ended that were copied through `watched`. Other
    /// data than zeros after the pages means that the pagemap is that of other pages.
    pub fn watched<R>(&mut self, watched: &Watched<R>) {
        if let Some(name) = &watched.name {
            self.images.set_end_of_data(name, watched.end);
        }
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

/// The content of a member that is copied. If the member has memory pages, the reader finds the end
/// of their data, which costs one comparison for each read unless the pages are zeros.
#[derive(Debug)]
pub struct Watched<R> {
    input: R,
    /// The name of the image of memory pages. `None` for another member, and for a sparse one,
    /// whose map shows where its data ends.
    name: Option<String>,
    at: u64,
    end: u64,
}

impl<R> Watched<R> {
    /// Prepares to read the content of `member`, which [`Copied::add`] has left unread.
    pub fn new(member: &Member, kind: &Kind, input: R) -> Watched<R> {
        let name = match (member, kind) {
            (Member::Images(path), Kind::File { map: None, .. }) if !member.is_delta() => {
                let is_stored_as_xor = pages_number(path.as_bytes()).is_some();
                Some(path.to_string()).filter(|name| !is_stored_as_xor && is_pages(name))
            }
            _ => None,
        };
        Watched { input, name, at: 0, end: 0 }
    }

    /// Returns whether the member is an image of memory pages.
    pub fn has_pages(&self) -> bool {
        self.name.is_some()
    }
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let got = self.input.read(buf)?;
        if self.name.is_some() {
            if let Some(last) = buf.iter().take(got).rposition(|&byte| byte != 0) {
                self.end = self.at.saturating_add(last as u64).saturating_add(1);
            }
            self.at = self.at.saturating_add(got as u64);
        }
        Ok(got)
    }
}
