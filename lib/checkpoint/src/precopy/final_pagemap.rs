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
