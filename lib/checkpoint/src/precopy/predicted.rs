//! The pages that an image will contain, in the order of CRIU.

use super::{PAGE_SIZE, PageRun};

/// The predicted pages of an image.
#[derive(Clone, Debug)]
pub struct Predicted<'a> {
    runs: &'a [PageRun],
    /// The number of pages before each run.
    starts: Vec<u64>,
    total: u64,
}

impl<'a> Predicted<'a> {
    /// Returns the pages of `runs`.
    pub fn new(runs: &'a [PageRun]) -> Predicted<'a> {
        let mut total = 0u64;
        let starts = runs
            .iter()
            .map(|run| {
                let start = total;
                total = total.saturating_add(run.pages);
                start
            })
            .collect();
        Predicted { runs, starts, total }
    }

    /// Returns the runs.
    pub fn runs(&self) -> &'a [PageRun] {
        self.runs
    }

    /// Returns the number of pages.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Returns the address of the page after `position` pages, and whether it is anonymous.
    pub fn at(&self, position: u64) -> Option<(u64, bool)> {
        let run = self.starts.partition_point(|&start| start <= position).checked_sub(1)?;
        let (run, offset) = (self.runs.get(run)?, position - self.starts.get(run)?);
        (offset < run.pages)
            .then(|| (run.vaddr.saturating_add(offset.saturating_mul(PAGE_SIZE as u64)), run.anonymous))
    }

    /// Returns the number of pages up to and including the page at `address`.
    pub fn after(&self, address: u64) -> u64 {
        let Some((number, run)) = self.run_of(address) else { return 0 };
        let offset = (address - run.vaddr) / PAGE_SIZE as u64;
        let start = self.starts.get(number).copied().unwrap_or(0);
        start.saturating_add(offset.saturating_add(1).min(run.pages))
    }

    /// Returns whether the page at `address` belongs to no file.
    pub fn is_anonymous(&self, address: u64) -> bool {
        self.run_of(address)
            .is_some_and(|(_, run)| run.anonymous && (address - run.vaddr) / (PAGE_SIZE as u64) < run.pages)
    }

    /// Returns the last run that begins at or before `address`. The runs are in the order of
    /// addresses.
    fn run_of(&self, address: u64) -> Option<(usize, &'a PageRun)> {
        let number = self.runs.partition_point(|run| run.vaddr <= address).checked_sub(1)?;
        self.runs.get(number).map(|run| (number, run))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PAGE;

    #[test]
    fn positions_and_addresses_correspond() {
        let run = |page: u64, pages, anonymous| PageRun { vaddr: page * PAGE, pages, anonymous };
        let runs = [run(3, 2, true), run(9, 1, false), run(10, 3, true)];
        let predicted = Predicted::new(&runs);
        let pages = [(3, true), (4, true), (9, false), (10, true), (11, true), (12, true)];
        for (position, (page, anonymous)) in (0..).zip(pages) {
            assert_eq!(predicted.at(position), Some((page * PAGE, anonymous)));
            assert_eq!(predicted.after(page * PAGE), position + 1);
            assert_eq!(predicted.is_anonymous(page * PAGE), anonymous);
        }
        assert_eq!(predicted.at(6), None);
        assert_eq!(predicted.total(), 6);
        assert_eq!(predicted.runs(), runs);
        assert!(!predicted.is_anonymous(5 * PAGE) && !predicted.is_anonymous(0));
        assert_eq!(Predicted::new(&[]).at(0), None);
    }
}
