//! Reads the pages of an image in their order, as they are stored.

use std::io::{self, Read};

use tartree::read_over;

use super::header::Header;

/// How one page is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As it is.
    Plain,
    /// As XOR with the page of the base.
    Xor,
}

impl Form {
    /// Returns the byte that stands for the form in a block.
    pub fn as_byte(self) -> u8 {
        match self {
            Form::Plain => 0,
            Form::Xor => 1,
        }
    }

    fn of(byte: u8) -> io::Result<Form> {
        match byte {
            0 => Ok(Form::Plain),
            1 => Ok(Form::Xor),
            _ => Err(io::Error::other(format!("form of a page: expected 0 or 1, found {byte}"))),
        }
    }
}

/// The pages of `pages-N.img` or of `pages-N.img.xor`.
pub struct StoredPages<R> {
    content: R,
    header: Header,
    /// Whether the image consists of blocks.
    is_xor: bool,
    /// The number of the next page.
    next: u64,
    /// The forms of the pages in the current block.
    forms: Vec<u8>,
    /// The number of bytes after the pages that were not read.
    rest: u64,
}

impl<R: Read> StoredPages<R> {
    /// Returns the header of the image.
    pub fn header(&self) -> Header {
        self.header
    }

    /// Reads the pages of `pages-N.img` from `content`. `header` describes the image.
    pub fn plain(content: R, header: Header) -> StoredPages<R> {
        StoredPages { content, header, is_xor: false, next: 0, forms: Vec::new(), rest: header.rest }
    }

    /// Reads the pages of `pages-N.img.xor` from `content`, which continues after the header.
    pub fn xor(content: R, header: Header) -> StoredPages<R> {
        StoredPages { content, header, is_xor: true, next: 0, forms: Vec::new(), rest: header.rest }
    }

    /// Skips the pages before the page `number`.
    ///
    /// # Errors
    /// Returns an error if the content ends before, cannot be read, or is not as the header says.
    pub fn skip_to(&mut self, number: u64) -> io::Result<()> {
        let number = number.min(self.header.pages);
        while self.next < number {
            self.begin_block()?;
            let block = self.header.block_pages();
            let end = if self.is_xor { self.next - self.next % block + block } else { number };
            let pages = end.min(number) - self.next;
            // Header::read checked this product.
            let bytes = pages.saturating_mul(self.header.page_size);
            if read_over(&mut self.content, bytes)? < bytes {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.next += pages;
        }
        Ok(())
    }

    /// Reads the next page as it is stored into `page`, which has the size of a page.
    ///
    /// # Errors
    /// Returns an error if the content ends before, cannot be read, or is not as the header says.
    pub fn read_page(&mut self, page: &mut [u8]) -> io::Result<Form> {
        self.begin_block()?;
        let form = match usize::try_from(self.next % self.header.block_pages()) {
            Ok(index) if self.is_xor => Form::of(self.forms.get(index).copied().unwrap_or(u8::MAX))?,
            _ => Form::Plain,
        };
        self.content.read_exact(page)?;
        self.next += 1;
        Ok(form)
    }

    /// Reads bytes that follow the pages, once all pages were read. Returns 0 at their end.
    ///
    /// # Errors
    /// Returns an error if the content ends before, or cannot be read.
    pub fn read_rest(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.rest).unwrap_or(usize::MAX).min(buf.len());
        let got = self.content.read(&mut buf[..most])?;
        if got == 0 && most > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.rest -= got as u64;
        Ok(got)
    }

    fn begin_block(&mut self) -> io::Result<()> {
        let block = self.header.block_pages();
        if !self.is_xor || self.next % block != 0 {
            return Ok(());
        }
        let pages = block.min(self.header.pages.saturating_sub(self.next));
        // At most 64 bytes.
        self.forms.resize(usize::try_from(pages).unwrap_or(0), 0);
        self.content.read_exact(&mut self.forms)
    }
}
