//! The header of `pages-N.img.xor`, and the layout of the image:
//!
//! | bytes | content |
//! |---|---|
//! | 8 | `CKPTXOR1` |
//! | 4 | the page size |
//! | 4 | 1 if the base has pages of this process, else 0 |
//! | 8 | the number of pages |
//! | 8 | the number of bytes that follow the pages in `pages-N.img` |
//!
//! All numbers are little endian. Blocks of 256 KiB of pages follow; the last one may be shorter.
//! Each block begins with one byte for each page: 0 if the page is stored as it is, 1 if it is
//! stored as XOR. The bytes that follow the pages come last. The size is known before the pages are
//! compared, so that the image can be written to a tar in one pass.

use std::io::{self, ErrorKind, Read};

use crate::criu::incremental::{MemoryImage, PAGE_SIZES, Pagemap};
use crate::error::{Error, Result};

const MAGIC: [u8; 8] = *b"CKPTXOR1";
/// The length of the header in bytes.
pub const LEN: u64 = 32;
/// The bytes of the pages of one block.
pub const BLOCK: u64 = 256 << 10;
/// The suffix of the images.
const SUFFIX: &str = ".xor";

/// Returns the name of the image with the pages of `pages-NUMBER.img`.
pub fn pages_name(number: u32) -> String {
    format!("pages-{number}.img{SUFFIX}")
}

/// Returns the number of the image at `path` in an image directory, or `None` if the file there is
/// not stored as XOR.
pub fn pages_number(path: &[u8]) -> Option<u32> {
    match MemoryImage::of(path.strip_suffix(SUFFIX.as_bytes())?) {
        Some((0, MemoryImage::Pages(number))) if pages_name(number).as_bytes() == path => Some(number),
        _ => None,
    }
}

/// The header of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The size of a page in bytes.
    pub page_size: u64,
    /// The number of pages.
    pub pages: u64,
    /// The number of bytes that follow the pages.
    pub rest: u64,
    /// Whether the base has pages of this process.
    pub has_base: bool,
}

impl Header {
    /// Reads the header of the image `name`, which has `stored` bytes.
    ///
    /// # Errors
    /// Returns an error if the input cannot be read, or if the header does not describe an image of
    /// this size.
    pub fn read(name: &str, stored: u64, input: &mut impl Read) -> Result<Header> {
        let mut bytes = [0; LEN as usize];
        input.read_exact(&mut bytes).map_err(|e| match e.kind() {
            ErrorKind::UnexpectedEof => Error::member(name, "ends within its header"),
            _ => Error::member(name, e),
        })?;
        let number = |at: usize, len: usize| {
            bytes[at..at + len].iter().rev().fold(0u64, |number, byte| number << 8 | u64::from(*byte))
        };
        if bytes[..8] != MAGIC {
            return Err(Error::member(name, "not memory pages stored as XOR"));
        }
        let (page_size, flags) = (number(8, 4), number(12, 4));
        let header =
            Header { page_size, pages: number(16, 8), rest: number(24, 8), has_base: flags & 1 == 1 };
        let fault = match header.stored() {
            _ if !PAGE_SIZES.contains(&page_size) => {
                format!("page size: expected 4096, 16384 or 65536, found {page_size}")
            }
            _ if flags > 1 => format!("flags: expected 0 or 1, found {flags}; update ckpt-tools"),
            Some(expected) if expected == stored => return Ok(header),
            Some(expected) => format!("expected {expected} bytes, found {stored}"),
            None => "has too many pages".to_owned(),
        };
        Err(Error::member(name, fault))
    }

    /// Returns the header as bytes.
    pub fn write(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        // A page has at most 65536 bytes.
        bytes.extend(u32::try_from(self.page_size).unwrap_or(0).to_le_bytes());
        bytes.extend(u32::from(self.has_base).to_le_bytes());
        bytes.extend(self.pages.to_le_bytes());
        bytes.extend(self.rest.to_le_bytes());
        bytes
    }

    /// Checks that the image `name` has the pages of `pagemap`.
    ///
    /// # Errors
    /// Returns an error that names the pagemap.
    pub fn check(&self, name: &str, pagemap: &Pagemap) -> Result<()> {
        let (pages, present) = (self.pages, pagemap.present());
        // `read` checked this product.
        match pagemap.page_size(pages.saturating_mul(self.page_size)) {
            Ok(page_size) if pages == present && page_size == self.page_size => Ok(()),
            _ => Err(Error::member(
                name,
                format!(
                    "has {pages} pages of {} bytes, unlike {} with {present} pages",
                    self.page_size,
                    pagemap.name()
                ),
            )),
        }
    }

    /// Returns the size of `pages-N.img` in bytes.
    pub fn decoded(&self) -> u64 {
        self.pages.saturating_mul(self.page_size).saturating_add(self.rest)
    }

    /// Returns the size of `pages-N.img.xor` in bytes, or `None` if it exceeds 64 bits.
    pub fn stored(&self) -> Option<u64> {
        let pages = self.pages.checked_mul(self.page_size + 1)?;
        pages.checked_add(self.rest)?.checked_add(LEN)
    }

    /// Returns the number of pages of a block.
    pub fn block_pages(&self) -> u64 {
        BLOCK / self.page_size
    }
}

pub(super) fn io_error(e: Error) -> io::Error {
    io::Error::other(e)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Header = Header { page_size: 4096, pages: 65, rest: 3, has_base: true };

    #[test]
    fn a_header_is_read_as_it_was_written() {
        let bytes = HEADER.write();
        assert_eq!(bytes.len() as u64, LEN);
        assert_eq!(HEADER.stored(), Some(32 + 65 * 4097 + 3));
        assert_eq!(Header::read("x", 32 + 65 * 4097 + 3, &mut &bytes[..]).unwrap(), HEADER);
    }

    #[test]
    fn a_hostile_header_is_an_error_that_names_the_fault() {
        let stored = HEADER.stored().unwrap();
        let with = |at: usize, byte: u8| {
            let mut bytes = HEADER.write();
            bytes[at] = byte;
            Header::read("x", stored, &mut &bytes[..]).unwrap_err().to_string()
        };
        assert_eq!(with(0, b'c'), "x: not memory pages stored as XOR");
        assert_eq!(with(8, 1), "x: page size: expected 4096, 16384 or 65536, found 4097");
        assert_eq!(with(12, 2), "x: flags: expected 0 or 1, found 2; update ckpt-tools");
        assert_eq!(with(16, 66), "x: expected 270437 bytes, found 266340");
        assert_eq!(with(23, 0xff), "x: has too many pages");
        assert_eq!(with(31, 0xff), "x: expected 18374686479671890020 bytes, found 266340");
        let bytes = HEADER.write();
        assert!(Header::read("x", stored, &mut &bytes[..31]).is_err());
    }

    #[test]
    fn only_pages_of_the_newest_images_have_the_suffix() {
        assert_eq!(pages_number(pages_name(7).as_bytes()), Some(7));
        for path in [
            "pages-7.img",
            "pages-x.img.xor",
            "pages-07.img.xor",
            "parent/pages-7.img.xor",
            "pagemap-7.img.xor",
        ] {
            assert_eq!(pages_number(path.as_bytes()), None, "{path}");
        }
    }

    #[test]
    fn a_process_may_have_no_pages_in_the_base() {
        let header = Header { has_base: false, ..HEADER };
        let bytes = header.write();
        assert_eq!(Header::read("x", header.stored().unwrap(), &mut &bytes[..]).unwrap(), header);
    }

    #[test]
    fn the_pages_of_a_header_are_those_of_its_pagemap() {
        use crate::criu::incremental::FileRange;
        use crate::criu::pagemap::{PRESENT, PagemapWriter, Run};
        use std::io::Write;
        let mut bytes = PagemapWriter::new(Vec::new(), 7).unwrap();
        bytes.add(Run { vaddr: 0x10_0000, pages: 65, flags: PRESENT }).unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes.finish().unwrap()).unwrap();
        let pagemap = Pagemap::read("pagemap-7.img", FileRange::whole(file).unwrap()).unwrap();
        HEADER.check("x", &pagemap).unwrap();
        for (page_size, pages) in [(4096, 64), (4096, 66), (4096, 0), (16384, 65)] {
            let error = Header { page_size, pages, ..HEADER }.check("x", &pagemap);
            assert_eq!(error.is_ok(), page_size == 16384, "{pages} pages of {page_size} bytes");
        }
        for (page_size, pages) in [(4096, 64), (16384, 16), (65536, 4)] {
            assert_eq!(Header { page_size, ..HEADER }.block_pages(), pages, "{page_size}");
        }
    }
}
