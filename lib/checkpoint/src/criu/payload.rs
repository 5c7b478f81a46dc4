//! The size of a `pages` image, as pagemap images announce it.
//!
//! Up to CRIU 4.2, the image is a sequence of pages. Since CRIU 4.3, a run of pages may consist of
//! blocks that are compressed with LZ4, and a run without blocks may begin at a multiple of the page
//! size.

use super::messages::PagemapEntry;
use crate::error::{Error, Result};

/// The page sizes of the architectures that CRIU supports, in bytes.
const PAGE_SIZES: [u64; 3] = [4096, 16384, 65536];

/// The announced content of a `pages` image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Payload {
    /// The number of pages.
    pages: u64,
    /// Whether some pages are compressed.
    compressed: bool,
    /// The size of the image for each page size.
    ends: [u64; PAGE_SIZES.len()],
}

impl Payload {
    /// Adds a run of the pagemap `name`.
    ///
    /// # Errors
    /// Returns an error if the sizes of the blocks contradict each other.
    pub fn add(&mut self, name: &str, run: &PagemapEntry) -> Result<()> {
        if !run.is_present() {
            return Ok(());
        }
        let pages = run.pages();
        self.pages = self.pages.saturating_add(pages);
        let blocks = run.blocks.as_ref();
        if let Some(blocks) = blocks {
            let sum: u64 = blocks.block_sizes.iter().map(|&size| u64::from(size)).sum();
            let number = pages.checked_div(blocks.pages_per_block.into()).unwrap_or(0)
                + u64::from(pages.checked_rem(blocks.pages_per_block.into()).unwrap_or(0) > 0);
            if sum != blocks.total_payload_size || number != blocks.block_sizes.len() as u64 {
                return Err(Error::member(
                    name,
                    format!("the blocks at {:#x} do not hold {pages} pages", run.vaddr),
                ));
            }
            self.compressed = true;
        }
        for (end, page) in self.ends.iter_mut().zip(PAGE_SIZES) {
            if run.is_aligned() {
                *end = end.checked_next_multiple_of(page).unwrap_or(u64::MAX);
            }
            *end = end.saturating_add(blocks.map_or(pages.saturating_mul(page), |b| b.total_payload_size));
        }
        Ok(())
    }

    /// Returns the number of pages.
    pub fn pages(&self) -> u64 {
        self.pages
    }

    /// Returns whether the command lines and other memory cannot be read without decompression.
    pub fn is_compressed(&self) -> bool {
        self.compressed
    }

    /// Returns whether an image of `size` bytes holds the pages and nothing else.
    pub fn fits(&self, size: u64) -> bool {
        self.ends.contains(&size)
    }

    /// Returns whether an image of `size` bytes holds the pages and then zeros, if all bytes from
    /// `data` on are zeros. CRIU does not read the zeros.
    pub fn fits_with_zeros(&self, size: u64, data: u64) -> bool {
        self.ends.iter().any(|&end| end <= size && data <= end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::criu::messages::PagemapBlocks;

    fn run(pages: u64, flags: u32, blocks: &[u32]) -> PagemapEntry {
        let total_payload_size = blocks.iter().map(|&size| u64::from(size)).sum();
        let blocks = PagemapBlocks { block_sizes: blocks.to_vec(), total_payload_size, pages_per_block: 2 };
        PagemapEntry {
            nr_pages: pages,
            flags: Some(flags),
            blocks: (total_payload_size > 0).then_some(Box::new(blocks)),
            ..PagemapEntry::default()
        }
    }

    fn payload(runs: &[PagemapEntry]) -> Payload {
        let mut payload = Payload::default();
        for run in runs {
            payload.add("pagemap-1.img", run).unwrap();
        }
        payload
    }

    #[test]
    fn the_size_is_that_of_pages_and_blocks() {
        #[rustfmt::skip]
        let cases = [
            (vec![run(3, 4, &[])], 3 * 4096, true),
            (vec![run(3, 4, &[])], 3 * 65536, true),
            (vec![run(3, 4, &[])], 3 * 4096 + 1, false),
            (vec![run(3, 4, &[]), run(5, 1, &[])], 3 * 4096, true),
            (vec![run(3, 4, &[100, 50])], 150, true),
            (vec![run(3, 4, &[100, 50]), run(1, 4, &[])], 150 + 4096, true),
            (vec![run(3, 4, &[100, 50]), run(1, 12, &[])], 2 * 4096, true),
            (vec![run(3, 4, &[100, 50]), run(1, 12, &[]), run(1, 4, &[7])], 2 * 4096 + 7, true),
        ];
        for (i, (runs, size, fits)) in cases.into_iter().enumerate() {
            assert_eq!(payload(&runs).fits(size), fits, "{i}");
        }
    }

    #[test]
    fn zeros_after_the_pages_are_no_pages() {
        let payload = payload(&[run(3, 4, &[])]);
        assert!(payload.fits_with_zeros(4 * 4096, 3 * 4096));
        assert!(payload.fits_with_zeros(4 * 4096, 10));
        assert!(!payload.fits_with_zeros(4 * 4096, 3 * 4096 + 1));
        assert!(!payload.fits_with_zeros(2 * 4096, 10));
    }

    #[test]
    fn contradictory_blocks_are_errors_and_nothing_overflows() {
        let mut wrong = run(3, 4, &[100, 50]);
        wrong.blocks.as_mut().unwrap().total_payload_size = 151;
        let few = run(3, 4, &[100]);
        let mut endless = run(3, 4, &[100, 50]);
        endless.blocks.as_mut().unwrap().pages_per_block = 0;
        for run in [wrong, few, endless] {
            assert!(Payload::default().add("pagemap-1.img", &run).is_err(), "{run:?}");
        }
        let most = payload(&[run(u64::MAX, 4, &[]), run(u64::MAX, 12, &[])]);
        assert_eq!(most.pages(), u64::MAX);
    }
}
