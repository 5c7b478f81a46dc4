//! Reads `pages-N.img` from `pages-N.img.xor` and the base.

use std::io::{self, Read};

use super::chain::{Chain, add, start_base};
use super::header::{Header, io_error, pages_name};
use super::level::Level;
use super::stored::{Form, StoredPages};
use crate::criu::incremental::{Cursor, Pagemap};
use crate::criu::pagemap::Run;
use crate::error::Result;

/// Reads the decoded image. An error of the archives is an error of the reader.
pub struct Decoder<'c, R> {
    pages: StoredPages<R>,
    header: Header,
    cursor: Cursor,
    /// The pages of the current run that were not read.
    run: Option<Run>,
    below: &'c mut [Level],
    page: Vec<u8>,
    /// The page of the base.
    theirs: Vec<u8>,
    /// The bytes of `page` that were returned.
    at: usize,
    /// The number of pages that were not read.
    left: u64,
}

impl<'c, R: Read> Decoder<'c, R> {
    /// Decodes the image that `pagemap` refers to. `content` is that of the member with the pages,
    /// which has `stored` bytes.
    ///
    /// # Errors
    /// Returns an error if the header does not fit the pagemap, or if the base does not have the
    /// image.
    pub fn new(
        pagemap: &Pagemap,
        stored: u64,
        mut content: R,
        chain: &'c mut Chain,
    ) -> Result<Decoder<'c, R>> {
        let name = pages_name(pagemap.pages_id());
        let header = Header::read(&name, stored, &mut content)?;
        header.check(&name, pagemap)?;
        Decoder::of_pages(pagemap, StoredPages::xor(content, header), &mut chain.0)
    }

    /// Decodes `pages` with the pages in `below`.
    pub(super) fn of_pages(
        pagemap: &Pagemap,
        pages: StoredPages<R>,
        below: &'c mut [Level],
    ) -> Result<Decoder<'c, R>> {
        let header = pages.header();
        if header.has_base {
            start_base(below, pagemap.name(), header.page_size)?;
        }
        // At most 64 KiB.
        let size = usize::try_from(header.page_size).unwrap_or(0);
        Ok(Decoder {
            pages,
            header,
            cursor: Cursor::new(pagemap, header.page_size)?,
            run: None,
            below,
            page: vec![0; size],
            theirs: vec![0; size],
            at: size,
            left: header.pages,
        })
    }

    /// Returns the size of the decoded image in bytes.
    pub fn size(&self) -> u64 {
        self.header.decoded()
    }

    fn next_page(&mut self) -> io::Result<()> {
        let form = self.pages.read_page(&mut self.page)?;
        let vaddr = next_address(&mut self.cursor, &mut self.run, self.header.page_size)?;
        if form == Form::Xor {
            // Without `has_base`, the archives below are at other pages.
            let below = if self.header.has_base { &mut *self.below } else { &mut [] };
            add(below, vaddr, &mut self.page, &mut self.theirs)?;
        }
        (self.at, self.left) = (0, self.left - 1);
        Ok(())
    }
}

impl<R: Read> Read for Decoder<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.at == self.page.len() {
            if self.left == 0 {
                return self.pages.read_rest(buf);
            }
            self.next_page()?;
        }
        let part = &self.page[self.at..];
        let len = part.len().min(buf.len());
        buf[..len].copy_from_slice(&part[..len]);
        self.at += len;
        Ok(len)
    }
}

/// Returns the address of the next present page. `run` holds the pages of the current run that follow.
pub(super) fn next_address(cursor: &mut Cursor, run: &mut Option<Run>, page_size: u64) -> io::Result<u64> {
    loop {
        if let Some(current) = run.filter(|run| run.pages > 0 && run.is_present()) {
            let after = current.vaddr.saturating_add(page_size);
            *run = Some(Run { vaddr: after, pages: current.pages - 1, ..current });
            return Ok(current.vaddr);
        }
        match cursor.next().map_err(io_error)? {
            Some(part) => *run = Some(part.run),
            None => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}
