//! Changes the pagemap of the final dump: pages that were not sent are in the receiver's images, or
//! are zero pages.
//!
//! The addresses of the pages were predicted while the image was read, and CRIU writes the pagemap
//! later. Every page that was left out is therefore compared with the true address here.

use std::io::{Read, Write};

use super::filter::{Fate, Page, held};
use super::{IndexedPage, Predicted};
use crate::PAGE;
use crate::criu::pagemap::{IN_PARENT, PagemapReader, PagemapWriter, Run};
use crate::error::{Error, Result};

/// What happened with the pages of an image, in the order of the image.
#[derive(Clone, Debug, Default)]
pub struct Decisions {
    runs: Vec<Decision>,
}

#[derive(Clone, Copy, Debug)]
struct Decision {
    fate: Fate,
    /// The predicted address of the first page.
    address: u64,
    pages: u64,
}

impl Decisions {
    /// Adds the next page.
    pub fn add(&mut self, page: Page) {
        match self.runs.last_mut() {
            Some(last) if last.fate == page.fate && last.address + last.pages * PAGE == page.address => {
                last.pages += 1;
            }
            _ => self.runs.push(Decision { fate: page.fate, address: page.address, pages: 1 }),
        }
    }

    /// Returns the number of pages with this fate.
    pub fn count(&self, fate: Fate) -> u64 {
        self.runs.iter().filter(|run| run.fate == fate).map(|run| run.pages).sum()
    }
}

/// Copies the pagemap `name` to `out`, without zero pages, and marks the pages that the receiver
/// has.
///
/// # Errors
/// Returns an error if the pagemap does not describe the pages of the image, or if a page that was
/// left out is not in the receiver's images at its true address. Such an archive must not be used.
pub fn mark_held<W: Write>(
    name: &str,
    pagemap: impl Read,
    decisions: &Decisions,
    pages: &[IndexedPage],
    predicted: &Predicted<'_>,
    out: W,
) -> Result<W> {
    let mut reader = PagemapReader::new(name, pagemap)?;
    let failed = |e: std::io::Error| Error::member(name, e);
    let mut writer = PagemapWriter::new(out, reader.pages_id()).map_err(failed)?;
    let mut rest = decisions.runs.iter().copied();
    let mut decision = rest.next();
    while let Some(mut run) = reader.next()? {
        if !run.is_present() {
            let what = "has pages in the images of a pre-dump, which cannot be combined with a page index";
            return Err(Error::member(name, what));
        }
        if reader.blocks().is_some() {
            return Err(Error::member(name, "has compressed pages, which cannot be compared"));
        }
        while run.pages > 0 {
            let Some(current) = decision.as_mut() else {
                return Err(Error::member(name, "announces more pages than CRIU wrote"));
            };
            let part = Run { pages: run.pages.min(current.pages), ..run };
            let marked = match current.fate {
                Fate::Sent => Some(part),
                Fate::Held => Some(Run { flags: IN_PARENT, ..part }),
                Fate::Dropped => None,
            };
            check(name, *current, part, pages, predicted)?;
            if let Some(marked) = marked {
                writer.add(marked).map_err(failed)?;
            }
            run.vaddr += part.pages * PAGE;
            run.pages -= part.pages;
            current.address += part.pages * PAGE;
            current.pages -= part.pages;
            if current.pages == 0 {
                decision = rest.next();
            }
        }
    }
    match decision {
        None => writer.finish().map_err(failed),
        Some(_) => Err(Error::member(name, "announces fewer pages than CRIU wrote")),
    }
}

/// Checks that the pages of `run` could be left out.
fn check(
    name: &str,
    decision: Decision,
    run: Run,
    pages: &[IndexedPage],
    predicted: &Predicted<'_>,
) -> Result<()> {
    if decision.fate == Fate::Sent || decision.address == run.vaddr {
        return Ok(());
    }
    for page in 0..run.pages {
        let address = run.vaddr + page * PAGE;
        let is_right = match decision.fate {
            // The hash of the page was equal to that of the page at the predicted address.
            Fate::Held => {
                let digest = held(pages, address);
                digest.is_some() && digest == held(pages, decision.address + page * PAGE)
            }
            Fate::Dropped | Fate::Sent => predicted.is_anonymous(address),
        };
        if !is_right {
            let what = format!("the page at {address:#x} was left out, but the receiver does not have it");
            return Err(Error::member(name, what));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::PageRun;
    use super::*;
    use crate::criu::pagemap::{LAZY, PRESENT};

    const FIRST: u64 = 0x10_0000;

    /// The pages of the receiver, from `FIRST`, with these contents.
    fn indexed(contents: &[u8]) -> Vec<IndexedPage> {
        let page = |(n, content): (u64, &u8)| {
            let mut page = IndexedPage { address: FIRST + n * PAGE, digest: Default::default() };
            page.digest[0] = *content;
            page
        };
        (0..).zip(contents).map(page).collect()
    }

    #[test]
    fn consecutive_pages_with_the_same_fate_are_one_decision() {
        let mut decisions = Decisions::default();
        for (number, fate) in [
            (0, Fate::Sent),
            (1, Fate::Sent),
            (2, Fate::Sent),
            (3, Fate::Held),
            (4, Fate::Held),
            (6, Fate::Held),
            (7, Fate::Dropped),
        ] {
            decisions.add(Page { address: FIRST + number * PAGE, fate, digest: Default::default() });
        }
        let runs: Vec<_> =
            decisions.runs.iter().map(|run| ((run.address - FIRST) / PAGE, run.pages)).collect();
        assert_eq!(runs, [(0, 3), (3, 2), (6, 1), (7, 1)]);
    }

    #[test]
    fn a_page_is_left_out_only_if_the_receiver_has_its_content() {
        // Page 8 is a page of a file.
        let runs = [PageRun { vaddr: FIRST, pages: 8, anonymous: true }];
        let runs = [runs[0], PageRun { vaddr: FIRST + 8 * PAGE, pages: 1, anonymous: false }];
        let predicted = Predicted::new(&runs);
        let pages = indexed(&[1, 2, 1, 2, 1, 3, 1, 2]);
        // The pages of a run, and the predicted pages.
        for (fate, run, decision, count, is_right) in [
            (Fate::Sent, 40, 0, 2, true),
            (Fate::Held, 0, 0, 8, true),
            (Fate::Held, 2, 0, 2, true),
            (Fate::Held, 0, 2, 2, true),
            (Fate::Held, 6, 0, 2, true),
            (Fate::Held, 1, 0, 1, false),
            (Fate::Held, 4, 0, 1, true),
            (Fate::Held, 4, 0, 2, false),
            (Fate::Held, 0, 4, 2, false),
            (Fate::Held, 6, 4, 2, false),
            (Fate::Held, 40, 0, 1, false),
            (Fate::Held, 40, 50, 1, false),
            (Fate::Dropped, 2, 0, 6, true),
            (Fate::Dropped, 8, 0, 1, false),
            (Fate::Dropped, 7, 0, 2, false),
            (Fate::Dropped, 40, 0, 1, false),
        ] {
            let decision = Decision { fate, address: FIRST + decision * PAGE, pages: count };
            let run = Run { vaddr: FIRST + run * PAGE, pages: count, flags: PRESENT };
            let checked = check("pagemap-1.img", decision, run, &pages, &predicted);
            assert_eq!(checked.is_ok(), is_right, "{decision:?} {run:?}");
        }
    }

    #[test]
    fn a_decision_may_continue_in_the_next_run() {
        let pages = indexed(&[1, 2, 3, 4, 5, 6]);
        let mut decisions = Decisions::default();
        for page in &pages {
            decisions.add(Page { address: page.address, fate: Fate::Held, digest: page.digest });
        }
        let mut pagemap = PagemapWriter::new(Vec::new(), 1).unwrap();
        let mut start = 0;
        for (count, flags) in [(2, PRESENT), (3, PRESENT | LAZY), (1, PRESENT)] {
            pagemap.add(Run { vaddr: FIRST + start * PAGE, pages: count, flags }).unwrap();
            start += count;
        }
        let pagemap = pagemap.finish().unwrap();
        let predicted = Predicted::new(&[]);
        let marked =
            mark_held("pagemap-1.img", &pagemap[..], &decisions, &pages, &predicted, Vec::new()).unwrap();
        let mut reader = PagemapReader::new("pagemap-1.img", &marked[..]).unwrap();
        assert_eq!(reader.next().unwrap(), Some(Run { vaddr: FIRST, pages: 6, flags: IN_PARENT }));
        assert_eq!(reader.next().unwrap(), None);
    }
}
