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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::criu::pagemap::{IN_PARENT, PRESENT, PagemapWriter, Run};

    /// Returns a pagemap. Each run has the number of its first page, the number of its pages, and
    /// its flags.
    fn pagemap(runs: &[(u64, u64, u32)]) -> Vec<u8> {
        let mut writer = PagemapWriter::new(Vec::new(), 1).unwrap();
        for &(page, pages, flags) in runs {
            writer.add(Run { vaddr: page << 12, pages, flags }).unwrap();
        }
        writer.finish().unwrap()
    }

    #[test]
    fn each_page_in_the_parent_must_be_in_its_pagemap() {
        let both = IN_PARENT | PRESENT;
        for (child, parent, expected) in [
            (&[(1, 2, PRESENT)][..], &[][..], None),
            (&[(1, 2, both)], &[], None),
            (&[(1, 2, IN_PARENT)], &[], Some(1)),
            (&[(1, 2, IN_PARENT)], &[(1, 2, PRESENT)], None),
            (&[(1, 2, IN_PARENT)], &[(1, 2, IN_PARENT)], None),
            (&[(1, 2, IN_PARENT)], &[(1, 2, 0)], Some(1)),
            (&[(1, 2, IN_PARENT)], &[(0, 9, PRESENT)], None),
            (&[(1, 2, IN_PARENT)], &[(1, 1, PRESENT)], Some(2)),
            (&[(1, 2, IN_PARENT)], &[(2, 1, PRESENT)], Some(1)),
            (&[(1, 2, IN_PARENT)], &[(0, 1, PRESENT), (1, 2, IN_PARENT)], None),
            (&[(1, 2, IN_PARENT)], &[(1, 1, PRESENT), (2, 1, IN_PARENT)], None),
            (&[(1, 2, IN_PARENT)], &[(1, 1, PRESENT), (3, 1, PRESENT)], Some(2)),
            (&[(1, 1, IN_PARENT), (5, 1, IN_PARENT)], &[(1, 1, PRESENT), (5, 1, PRESENT)], None),
            (&[(1, 1, IN_PARENT), (5, 1, IN_PARENT)], &[(1, 1, PRESENT), (6, 1, PRESENT)], Some(5)),
        ] {
            let (child_map, parent_map) = (pagemap(child), pagemap(parent));
            let mut reader = PagemapReader::new("pagemap-1.img", &child_map[..]).unwrap();
            let mut held = PagemapReader::new("pagemap-1.img", &parent_map[..]).unwrap();
            let found = uncovered(&mut reader, Some(&mut held), 4096).unwrap();
            assert_eq!(found.map(|address| address >> 12), expected, "{child:?} {parent:?}");
        }
    }

    #[test]
    fn without_an_earlier_dump_no_page_may_be_in_it() {
        for (runs, expected) in
            [(&[(1, 1, PRESENT)][..], None), (&[(1, 1, PRESENT), (3, 1, IN_PARENT)], Some(3))]
        {
            let map = pagemap(runs);
            let mut reader = PagemapReader::new("pagemap-1.img", &map[..]).unwrap();
            let found = uncovered(&mut reader, None::<&mut PagemapReader<&[u8]>>, 4096).unwrap();
            assert_eq!(found.map(|address| address >> 12), expected);
        }
    }
}
