//! Compares the pages of a dump with those of an earlier dump, by address.

use std::io::{ErrorKind, Read};

use super::cursor::{Cursor, Part};
use super::memory::{Memory, Pagemap};
use crate::error::{Error, Result};

/// The bytes that are compared at a time.
const CHUNK: u64 = 256 << 10;

/// A set of numbers of pages, with one bit for each page.
#[derive(Clone, Debug, Default)]
struct PageSet(Vec<u64>);

impl PageSet {
    fn insert(&mut self, page: u64) {
        let Ok(word) = usize::try_from(page / 64) else { return };
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (page % 64);
    }

    fn contains(&self, page: u64) -> bool {
        let word = usize::try_from(page / 64).ok().and_then(|word| self.0.get(word));
        word.is_some_and(|word| word & 1 << (page % 64) != 0)
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }
}

/// The result of comparing the pages of one process. Pages are identified by their numbers in the
/// `pages` image of the new dump.
#[derive(Clone, Debug, Default)]
pub struct Marks {
    equal: PageSet,
    /// The pages that the base itself has in its parent, or `None` before the first base, when all
    /// pages may be compared.
    eligible: Option<PageSet>,
    next: PageSet,
    /// The number of pages in `equal`.
    equal_pages: u64,
}

impl Marks {
    /// Returns whether the page has the same content in a base.
    pub fn is_equal(&self, page: u64) -> bool {
        self.equal.contains(page)
    }

    /// Returns the number of pages with the same content in a base.
    pub fn equal_pages(&self) -> u64 {
        self.equal_pages
    }

    /// Continues with the parent of the base. Returns whether it may hold pages of this dump.
    pub fn descend(&mut self) -> bool {
        self.eligible = Some(std::mem::take(&mut self.next));
        self.eligible.as_ref().is_some_and(|pages| !pages.is_empty())
    }

    fn may_compare(&self, page: u64) -> bool {
        self.eligible.as_ref().is_none_or(|pages| pages.contains(page))
    }
}

/// Marks the pages of `new` that are equal at the same address in the base. `base_pages` reads the
/// `pages` image of the base, which has `base_size` bytes.
///
/// # Errors
/// Returns an error if an image cannot be read or is too short.
pub fn compare(
    new: &Memory,
    marks: &mut Marks,
    base: &Pagemap,
    base_pages: &mut impl Read,
    base_size: u64,
) -> Result<()> {
    let page_size = new.page_size;
    if base.page_size(base_size)? != page_size && base.present() > 0 && new.pagemap.present() > 0 {
        return Err(Error::member(
            base.name(),
            format!("expected pages of {page_size} bytes as in the dump, found another size"),
        ));
    }
    let chunk_pages = CHUNK / page_size;
    let mut cursor = Cursor::new(&new.pagemap, page_size)?;
    let mut runs = base.runs()?;
    let (mut theirs, mut ours) = (Vec::new(), Vec::new());
    while let Some(mut run) = runs.next()? {
        if !run.is_present() {
            if run.is_in_parent() {
                cursor.parts(run.vaddr, run.pages, &mut |part| {
                    hand_on(marks, part);
                    Ok(())
                })?;
            }
            continue;
        }
        while run.pages > 0 {
            let pages = run.pages.min(chunk_pages);
            // At most 256 KiB.
            theirs.resize(usize::try_from(pages * page_size).unwrap_or(0), 0);
            base_pages.read_exact(&mut theirs).map_err(|e| short(base, e))?;
            let start = run.vaddr;
            cursor.parts(start, pages, &mut |part| {
                let skip = usize::try_from(part.run.vaddr - start).unwrap_or(usize::MAX);
                same_pages(new, marks, part, theirs.get(skip..).unwrap_or_default(), &mut ours)
            })?;
            run.pages -= pages;
            run.vaddr = run.vaddr.saturating_add(pages * page_size);
        }
    }
    Ok(())
}

fn hand_on(marks: &mut Marks, part: Part) {
    if part.run.is_present() {
        for page in part.first..part.first + part.run.pages {
            if marks.may_compare(page) {
                marks.next.insert(page);
            }
        }
    }
}

/// Marks the pages of `part` that are equal to those in `theirs`, which begins with the same page.
fn same_pages(new: &Memory, marks: &mut Marks, part: Part, theirs: &[u8], ours: &mut Vec<u8>) -> Result<()> {
    if !part.run.is_present() {
        return Ok(());
    }
    let page_size = usize::try_from(new.page_size).unwrap_or(usize::MAX);
    // A part is at most as long as the chunk of the base.
    ours.resize(usize::try_from(part.run.pages).unwrap_or(0).saturating_mul(page_size), 0);
    let at = part.first.saturating_mul(new.page_size);
    new.pages
        .read_exact_at(ours, at)
        .map_err(|e| Error::member(format!("pages-{}.img", new.pagemap.pages_id()), e))?;
    for (page, (our, their)) in (part.first..).zip(ours.chunks(page_size).zip(theirs.chunks(page_size))) {
        if our == their && marks.may_compare(page) && !marks.equal.contains(page) {
            marks.equal.insert(page);
            marks.equal_pages += 1;
        }
    }
    Ok(())
}

fn short(base: &Pagemap, e: std::io::Error) -> Error {
    let name = format!("pages-{}.img", base.pages_id());
    match e.kind() {
        ErrorKind::UnexpectedEof => {
            Error::member(name, format!("ends before the {} pages of {}", base.present(), base.name()))
        }
        _ => Error::member(name, e),
    }
}
