//! Looks up the pages of ascending addresses in a pagemap, and in those of its parents.

use std::io::BufReader;

use super::file_range::RangeReader;
use super::memory::Pagemap;
use crate::criu::pagemap::{PagemapReader, Run};
use crate::error::{Error, Result};

/// A position in a pagemap, which moves to higher addresses only.
pub struct Cursor {
    name: String,
    runs: PagemapReader<BufReader<RangeReader>>,
    page_size: u64,
    current: Option<Run>,
    /// The number of present pages before the current run.
    before: u64,
}

/// A run of pages, or a part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The pages.
    pub run: Run,
    /// The number of the first page in the `pages` image, if the pages are present.
    pub first: u64,
}

impl Cursor {
    /// Starts at the first run.
    ///
    /// # Errors
    /// Returns an error if the pagemap cannot be read.
    pub fn new(pagemap: &Pagemap, page_size: u64) -> Result<Cursor> {
        let mut runs = pagemap.runs()?;
        let current = runs.next()?;
        Ok(Cursor { name: pagemap.name().to_owned(), runs, page_size, current, before: 0 })
    }

    /// Returns the next complete run.
    ///
    /// # Errors
    /// Returns an error if the pagemap cannot be read.
    #[expect(clippy::should_implement_trait, reason = "a fallible lookup, not a collection")]
    pub fn next(&mut self) -> Result<Option<Part>> {
        let part = self.current.map(|run| Part { run, first: self.before });
        self.advance()?;
        Ok(part)
    }

    /// Calls `visit` for each part of a run within `pages` pages from `vaddr`. Each call must have a
    /// higher address than the call before.
    ///
    /// # Errors
    /// Returns an error if the pagemap cannot be read, and the errors of `visit`.
    pub fn parts(&mut self, vaddr: u64, pages: u64, visit: &mut dyn FnMut(Part) -> Result<()>) -> Result<()> {
        let end = vaddr.saturating_add(pages.saturating_mul(self.page_size));
        while let Some(run) = self.current {
            let run_end = run.end(self.page_size);
            if run.vaddr >= end {
                return Ok(());
            }
            let (from, until) = (run.vaddr.max(vaddr), run_end.min(end));
            if from < until {
                let run_part = Run { vaddr: from, pages: (until - from) / self.page_size, ..run };
                visit(Part { run: run_part, first: self.before + (from - run.vaddr) / self.page_size })?;
            }
            if run_end > end {
                return Ok(());
            }
            self.advance()?;
        }
        Ok(())
    }

    fn advance(&mut self) -> Result<()> {
        if let Some(run) = self.current.filter(Run::is_present) {
            self.before = self.before.saturating_add(run.pages);
        }
        self.current = self.runs.next()?;
        Ok(())
    }
}

/// Finds the pages of `run` in the first of `levels` that has them. Calls `visit` for each part with
/// the number of its level. The levels are pagemaps of the same process, the newest first.
///
/// # Errors
/// Returns an error if a page is in no level, if a pagemap cannot be read, and the errors of
/// `visit`.
pub fn resolve(
    levels: &mut [Cursor],
    run: Run,
    visit: &mut dyn FnMut(usize, Part) -> Result<()>,
) -> Result<()> {
    resolve_from(levels, 0, run, visit)
}

fn resolve_from(
    levels: &mut [Cursor],
    level: usize,
    run: Run,
    visit: &mut dyn FnMut(usize, Part) -> Result<()>,
) -> Result<()> {
    let missing = |name: &str, vaddr: u64| {
        Error::member(name, format!("the page at {vaddr:#x} is in no archive of the chain"))
    };
    let Some((cursor, below)) = levels.split_first_mut() else {
        return Err(Error::member("pagemap", format!("the page at {:#x} is in no base", run.vaddr)));
    };
    let (name, page_size) = (cursor.name.clone(), cursor.page_size);
    let mut at = run.vaddr;
    cursor.parts(run.vaddr, run.pages, &mut |part| {
        if part.run.vaddr != at {
            return Err(missing(&name, at));
        }
        at = part.run.end(page_size);
        match part.run {
            part_run if part_run.is_present() => visit(level, part),
            part_run if part_run.is_in_parent() => resolve_from(below, level + 1, part_run, visit),
            _ => Err(missing(&name, part.run.vaddr)),
        }
    })?;
    if at < run.end(page_size) { Err(missing(&name, at)) } else { Ok(()) }
}
