//! Reads `pages-N.img.xor` of a dump, which is made while it is read.

use std::io::{self, Read};

use super::chain::{Chain, page, start};
use super::decode::next_address;
use super::header::Header;
use super::level::Level;
use super::stored::Form;
use crate::criu::incremental::{Cursor, Memory};
use crate::criu::pagemap::Run;
use crate::error::Result;

/// Reads the encoded image. An error of the archives is an error of the reader.
pub struct Encoder<'c> {
    memory: &'c Memory,
    header: Header,
    cursor: Cursor,
    /// The pages of the current run that were not read.
    run: Option<Run>,
    base: &'c mut [Level],
    /// The header, a block, or bytes that follow the pages.
    block: Vec<u8>,
    /// The bytes of `block` that were returned.
    at: usize,
    theirs: Vec<u8>,
    /// The number of pages that were read.
    done: u64,
    /// The number of bytes after the pages that were read.
    done_rest: u64,
}

impl<'c> Encoder<'c> {
    /// Encodes `memory` with the pages of the newest archive in `chain`.
    ///
    /// # Errors
    /// Returns an error if a pagemap or an archive cannot be read.
    pub fn new(memory: &'c Memory, chain: &'c mut Chain) -> Result<Encoder<'c>> {
        let base = &mut chain.0[..];
        let page_size = memory.page_size;
        // The pages are stored as they are if the base would have to be read from its start too often.
        let started = match base.first().is_some_and(Level::may_reread) {
            true => start(base, memory.pagemap.name())?,
            false => None,
        };
        let has_base = started.is_some_and(|header| header.page_size == page_size);
        let pages = memory.pagemap.present();
        let rest = memory.pages.len().saturating_sub(pages.saturating_mul(page_size));
        let header = Header { page_size, pages, rest, has_base };
        Ok(Encoder {
            memory,
            header,
            cursor: Cursor::new(&memory.pagemap, page_size)?,
            run: None,
            base,
            block: header.write(),
            at: 0,
            // At most 64 KiB.
            theirs: vec![0; usize::try_from(page_size).unwrap_or(0)],
            done: 0,
            done_rest: 0,
        })
    }

    /// Returns the size of the encoded image in bytes.
    pub fn size(&self) -> u64 {
        self.header.stored().unwrap_or(u64::MAX)
    }

    /// Encodes the next block.
    fn next_block(&mut self) -> io::Result<()> {
        let Header { page_size, pages, rest, has_base } = self.header;
        self.at = 0;
        let count = self.header.block_pages().min(pages - self.done);
        let offset = self.done.saturating_mul(page_size).saturating_add(self.done_rest);
        if count == 0 {
            let len = (rest - self.done_rest).min(super::header::BLOCK);
            self.block.resize(usize::try_from(len).unwrap_or(0), 0);
            self.done_rest += len;
            return self.memory.pages.read_exact_at(&mut self.block, offset);
        }
        // At most 64 pages of together 256 KiB.
        let (forms, bytes) =
            (usize::try_from(count).unwrap_or(0), usize::try_from(count * page_size).unwrap_or(0));
        self.block.resize(forms + bytes, 0);
        let (forms, bytes) = self.block.split_at_mut(forms);
        self.memory.pages.read_exact_at(bytes, offset)?;
        for (form, ours) in forms.iter_mut().zip(bytes.chunks_mut(self.theirs.len())) {
            let vaddr = next_address(&mut self.cursor, &mut self.run, page_size)?;
            let is_xor =
                has_base && page(self.base, vaddr, &mut self.theirs)? && is_smaller(ours, &self.theirs);
            if is_xor {
                ours.iter_mut().zip(&self.theirs).for_each(|(ours, theirs)| *ours ^= theirs);
            }
            *form = if is_xor { Form::Xor } else { Form::Plain }.as_byte();
        }
        self.done += count;
        Ok(())
    }
}

impl Read for Encoder<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.at == self.block.len() {
            self.next_block()?;
        }
        let part = &self.block[self.at..];
        let len = part.len().min(buf.len());
        buf[..len].copy_from_slice(&part[..len]);
        self.at += len;
        Ok(len)
    }
}

/// Returns whether the XOR of two pages is expected to be smaller, once it is compressed, than
/// `ours`. The XOR of unrelated bytes has no structure that could be compressed.
fn is_smaller(ours: &[u8], theirs: &[u8]) -> bool {
    let changed = ours.iter().zip(theirs).filter(|(ours, theirs)| ours != theirs).count();
    let zeros = ours.iter().filter(|byte| **byte == 0).count();
    changed * 2 <= ours.len() - zeros
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_xor_is_smaller_if_half_of_the_nonzero_bytes_are_equal() {
        for (ours, theirs, expected) in [
            ([1, 1, 1, 1], [1, 1, 1, 1], true),
            ([1, 1, 1, 1], [2, 2, 1, 1], true),
            ([1, 1, 1, 1], [2, 2, 2, 1], false),
            ([0, 0, 1, 1], [0, 0, 2, 1], true),
            ([0, 0, 1, 1], [0, 0, 2, 2], false),
            ([0, 0, 0, 1], [0, 0, 0, 2], false),
            ([0, 0, 0, 0], [0, 0, 0, 0], true),
            ([0, 0, 0, 0], [0, 0, 0, 1], false),
        ] {
            assert_eq!(is_smaller(&ours, &theirs), expected, "{ours:?} {theirs:?}");
        }
    }
}
