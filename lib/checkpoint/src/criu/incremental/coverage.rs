//! Checks that the images of the earlier dump have all pages that a pagemap marks as in parent.

use std::io::Read;

use crate::criu::pagemap::PagemapReader;
use crate::error::Result;

/// Returns the address of the first page of `page_size` bytes that `pagemap` marks as in parent and
/// that `parent` lacks. Without the page, CRIU fails in the middle of a restore.
///
/// # Errors
/// Returns an error if a pagemap cannot be read.
pub fn uncovered<P: Read>(
    pagemap: &mut PagemapReader<impl Read>,
    mut parent: Option<&mut PagemapReader<P>>,
    page_size: u64,
) -> Result<Option<u64>> {
    let mut next = || parent.as_mut().map_or(Ok(None), |parent| parent.next());
    let mut held = next()?;
    while let Some(run) = pagemap.next()? {
        if !run.is_in_parent() || run.is_present() {
            continue;
        }
        let mut at = run.vaddr;
        while at < run.end(page_size) {
            match held {
                Some(theirs) if theirs.end(page_size) <= at => held = next()?,
                Some(theirs) if theirs.vaddr <= at && (theirs.is_present() || theirs.is_in_parent()) => {
                    at = theirs.end(page_size);
                }
                _ => return Ok(Some(at)),
            }
        }
    }
    Ok(None)
}
