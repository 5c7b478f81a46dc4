//! Reads and writes pagemaps: the images that list which pages of a process or of shared memory are
//! in a `pages` image, and which are in the images of an earlier dump.
//!
//! Both the reader and the writer need constant memory, and both require the order of addresses, as
//! CRIU does (criu/pagemap.c, `seek_pagemap`).

use std::io::{ErrorKind, Read, Write};

use prost::Message;

use super::image_file::{COMMON_MAGIC, IMAGE_LIMIT};
use super::messages::{PagemapBlocks, PagemapEntry, PagemapHead};
use crate::PAGE;
use crate::error::{Error, Result};

/// The magic number of a pagemap (criu/include/magic.h).
pub const PAGEMAP_MAGIC: u32 = 0x5608_4025;

/// The flag of pages that are in the images of the earlier dump (criu/include/pagemap.h).
pub const IN_PARENT: u32 = 1;
/// The flag of pages that a lazy restore may fetch on demand.
pub const LAZY: u32 = 2;
/// The flag of pages that are in the `pages` image.
pub const PRESENT: u32 = 4;
/// The flag of pages that begin in the `pages` image at a multiple of the page size.
pub const ALIGNED: u32 = 8;

/// A run of pages with the same flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The address of the first page; in shared memory, the offset.
    pub vaddr: u64,
    /// The number of pages, at least one.
    pub pages: u64,
    /// [`IN_PARENT`], [`LAZY`], [`PRESENT`] and [`ALIGNED`].
    pub flags: u32,
}

impl Run {
    /// Returns whether the pages are in the `pages` image.
    pub fn is_present(&self) -> bool {
        self.flags & PRESENT != 0
    }

    /// Returns whether the pages are in the images of the earlier dump.
    pub fn is_in_parent(&self) -> bool {
        self.flags & IN_PARENT != 0
    }

    /// Returns the address after the last page of `page_size` bytes. The reader and the writer
    /// reject runs for which this number is larger than 64 bits.
    pub fn end(&self, page_size: u64) -> u64 {
        self.vaddr.saturating_add(self.pages.saturating_mul(page_size))
    }
}

/// Reads the runs of a pagemap, one after another.
pub struct PagemapReader<R> {
    name: String,
    input: R,
    pages_id: u32,
    /// The address after the last run.
    end: u64,
    message: Vec<u8>,
    blocks: Option<Box<PagemapBlocks>>,
}

impl<R: Read> PagemapReader<R> {
    /// Reads the head of the pagemap `name`.
    ///
    /// # Errors
    /// Returns an error if the input cannot be read or is not a pagemap.
    pub fn new(name: &str, mut input: R) -> Result<PagemapReader<R>> {
        let mut magic = [0; 8];
        let unreadable = |e: std::io::Error| match e.kind() {
            ErrorKind::UnexpectedEof => Error::member(name, "the CRIU image ends too early"),
            _ => Error::member(name, e),
        };
        input.read_exact(&mut magic).map_err(unreadable)?;
        let expected = [COMMON_MAGIC.to_le_bytes(), PAGEMAP_MAGIC.to_le_bytes()].concat();
        if magic[..] != expected {
            return Err(Error::member(name, "not a pagemap of CRIU"));
        }
        let mut reader = PagemapReader {
            name: name.to_owned(),
            input,
            pages_id: 0,
            end: 0,
            message: Vec::new(),
            blocks: None,
        };
        if !reader.read_message()? {
            return Err(Error::member(name, "is empty"));
        }
        let head = PagemapHead::decode(&reader.message[..]);
        reader.pages_id = head.map_err(|e| Error::member(name, format!("not a CRIU image: {e}")))?.pages_id;
        Ok(reader)
    }

    /// Returns the number of the `pages` image.
    pub fn pages_id(&self) -> u32 {
        self.pages_id
    }

    /// Returns the next run, or `None` at the end.
    ///
    /// # Errors
    /// Returns an error if the input cannot be read or is truncated, or if a run is empty, is not at
    /// a page boundary, has too many pages, or does not follow the previous run.
    #[expect(clippy::should_implement_trait, reason = "blocks borrows the reader between two calls")]
    pub fn next(&mut self) -> Result<Option<Run>> {
        if !self.read_message()? {
            return Ok(None);
        }
        let entry = PagemapEntry::decode(&self.message[..])
            .map_err(|e| Error::member(&self.name, format!("not a CRIU image: {e}")))?;
        let run = Run { vaddr: entry.vaddr, pages: entry.pages(), flags: entry.all_flags() };
        let end = run.pages.checked_mul(PAGE).and_then(|bytes| run.vaddr.checked_add(bytes));
        let fault = match end {
            _ if run.pages == 0 => "has no pages",
            _ if run.vaddr % PAGE != 0 => "is not at a page boundary",
            None => "has too many pages",
            Some(_) if run.vaddr < self.end => "overlaps the previous run, or precedes it",
            Some(end) => {
                self.end = end;
                self.blocks = entry.blocks;
                return Ok(Some(run));
            }
        };
        Err(Error::member(&self.name, format!("the run at {:#x} {fault}", run.vaddr)))
    }

    /// Returns the compressed blocks of the run that [`next`](PagemapReader::next) returned last.
    pub fn blocks(&self) -> Option<&PagemapBlocks> {
        self.blocks.as_deref()
    }

    /// Reads the next message. Returns `false` at the end.
    fn read_message(&mut self) -> Result<bool> {
        let mut size = Vec::with_capacity(4);
        self.take(4, &mut size)?;
        if size.is_empty() {
            return Ok(false);
        }
        let size = size.try_into().map(u32::from_le_bytes).unwrap_or(u32::MAX);
        let mut message = std::mem::take(&mut self.message);
        message.clear();
        if u64::from(size) > IMAGE_LIMIT {
            return Err(Error::member(&self.name, "the CRIU image ends too early"));
        }
        // The size comes from the image. The buffer grows with the bytes that are there.
        self.take(size.into(), &mut message)?;
        let complete = message.len() as u64 == u64::from(size);
        self.message = message;
        match complete {
            true => Ok(true),
            false => Err(Error::member(&self.name, "the CRIU image ends too early")),
        }
    }

    fn take(&mut self, bytes: u64, into: &mut Vec<u8>) -> Result<()> {
        let read = self.input.by_ref().take(bytes).read_to_end(into);
        read.map(drop).map_err(|e| Error::member(&self.name, e))
    }
}

/// Writes a pagemap. Adjacent runs with the same flags become one run.
pub struct PagemapWriter<W> {
    out: W,
    /// The run that may still grow.
    last: Option<Run>,
    page_size: u64,
}

impl<W: Write> PagemapWriter<W> {
    /// Writes the head of a pagemap whose pages have 4096 bytes and are in `pages-PAGES_ID.img`.
    ///
    /// # Errors
    /// Returns an error if writing to the output fails.
    pub fn new(out: W, pages_id: u32) -> std::io::Result<PagemapWriter<W>> {
        PagemapWriter::with_page_size(out, pages_id, PAGE)
    }

    /// Does the same as [`new`](PagemapWriter::new) for pages of `page_size` bytes.
    ///
    /// # Errors
    /// Returns an error if writing to the output fails.
    pub fn with_page_size(mut out: W, pages_id: u32, page_size: u64) -> std::io::Result<PagemapWriter<W>> {
        out.write_all(&COMMON_MAGIC.to_le_bytes())?;
        out.write_all(&PAGEMAP_MAGIC.to_le_bytes())?;
        write_message(&mut out, &PagemapHead { pages_id })?;
        Ok(PagemapWriter { out, last: None, page_size })
    }

    /// Adds a run.
    ///
    /// # Errors
    /// Returns an error if the run is empty, has too many pages, does not follow the previous run, or
    /// if writing to the output fails.
    pub fn add(&mut self, run: Run) -> std::io::Result<()> {
        let invalid = |what: &str| {
            std::io::Error::new(ErrorKind::InvalidInput, format!("the run at {:#x} {what}", run.vaddr))
        };
        let end = run.pages.checked_mul(self.page_size).and_then(|bytes| run.vaddr.checked_add(bytes));
        if run.pages == 0 || end.is_none() {
            return Err(invalid("is empty or too long"));
        }
        if let Some(last) = &mut self.last {
            let end = last.end(self.page_size);
            let sum = last.pages.saturating_add(run.pages);
            // The old field for the number of pages, which CRIU requires, has 32 bits.
            if end == run.vaddr && last.flags == run.flags && sum <= u32::MAX.into() {
                last.pages = sum;
                return Ok(());
            }
            if run.vaddr < end {
                return Err(invalid("overlaps the previous run, or precedes it"));
            }
        }
        match self.last.replace(run) {
            Some(last) => self.write(last),
            None => Ok(()),
        }
    }

    /// Writes the last run and returns the output.
    ///
    /// # Errors
    /// Returns an error if writing to the output fails.
    pub fn finish(mut self) -> std::io::Result<W> {
        if let Some(last) = self.last.take() {
            self.write(last)?;
        }
        Ok(self.out)
    }

    fn write(&mut self, mut run: Run) -> std::io::Result<()> {
        while run.pages > 0 {
            let pages = u32::try_from(run.pages).unwrap_or(u32::MAX);
            let entry = PagemapEntry {
                vaddr: run.vaddr,
                compat_nr_pages: pages,
                in_parent: run.is_in_parent(),
                flags: Some(run.flags),
                nr_pages: pages.into(),
                blocks: None,
            };
            write_message(&mut self.out, &entry)?;
            run.pages -= u64::from(pages);
            run.vaddr = run.vaddr.saturating_add(u64::from(pages).saturating_mul(self.page_size));
        }
        Ok(())
    }
}

fn write_message(out: &mut impl Write, message: &impl Message) -> std::io::Result<()> {
    let bytes = message.encode_to_vec();
    // A message of this module has a few dozen bytes.
    let size = u32::try_from(bytes.len()).map_err(std::io::Error::other)?;
    out.write_all(&size.to_le_bytes())?;
    out.write_all(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(vaddr: u64, pages: u64, flags: u32) -> Run {
        Run { vaddr, pages, flags }
    }

    fn written(runs: &[Run]) -> Vec<u8> {
        let mut writer = PagemapWriter::new(Vec::new(), 7).unwrap();
        runs.iter().for_each(|run| writer.add(*run).unwrap());
        writer.finish().unwrap()
    }

    fn read(bytes: &[u8]) -> Result<Vec<Run>> {
        let mut reader = PagemapReader::new("pagemap-1.img", bytes)?;
        let mut runs = Vec::new();
        while let Some(run) = reader.next()? {
            runs.push(run);
        }
        Ok(runs)
    }

    #[test]
    fn the_bytes_are_those_of_criu() {
        // Three pages that are present and lazy, as CRIU 4.1 writes them.
        let expected = *b"\x19\x43\x56\x54\x25\x40\x08\x56\x02\0\0\0\x08\x07\
            \x09\0\0\0\x08\x80\x40\x10\x03\x20\x06\x28\x03";
        let ours = written(&[run(0x2000, 1, 6), run(0x3000, 2, 6)]);
        assert_eq!(read(&expected).unwrap(), read(&ours).unwrap());
        assert_eq!(read(&ours).unwrap(), [run(0x2000, 3, 6)]);
        // CRIU requires these fields, also if they are zero.
        assert_eq!(written(&[run(0, 1, 4)])[14..], *b"\x08\0\0\0\x08\0\x10\x01\x20\x04\x28\x01");
    }

    #[test]
    fn runs_are_merged_only_if_they_are_adjacent_and_alike() {
        let runs = [run(0x1000, 1, 4), run(0x2000, 1, 4), run(0x3000, 1, 1), run(0x5000, 1, 1)];
        assert_eq!(read(&written(&runs)).unwrap(), [run(0x1000, 2, 4), run(0x3000, 1, 1), run(0x5000, 1, 1)]);
        let large = [run(0, u64::from(u32::MAX), 4), run(u64::from(u32::MAX) * PAGE, 2, 4)];
        assert_eq!(read(&written(&large)).unwrap(), large);
    }

    #[test]
    fn hostile_runs_are_errors() {
        for bad in [run(0, 0, 4), run(0, u64::MAX, 4), run(!0xfff, 2, 4)] {
            assert!(PagemapWriter::new(Vec::new(), 1).unwrap().add(bad).is_err(), "{bad:?}");
        }
        let mut writer = PagemapWriter::new(Vec::new(), 1).unwrap();
        writer.add(run(0x3000, 2, 4)).unwrap();
        assert!(writer.add(run(0x4000, 1, 4)).is_err());
        let entry = |vaddr, pages| {
            let entry = PagemapEntry { vaddr, nr_pages: pages, flags: Some(4), ..Default::default() };
            let mut bytes = written(&[run(0x9000, 1, 4)]);
            write_message(&mut bytes, &entry).unwrap();
            read(&bytes).unwrap_err().to_string()
        };
        assert!(entry(0xa001, 1).contains("page boundary"));
        assert!(entry(0x9000, 1).contains("overlaps"));
        assert!(entry(0xa000, 0).contains("no pages"));
        assert!(entry(0xa000, u64::MAX).contains("too many pages"));
    }

    #[test]
    fn a_truncated_pagemap_is_an_error_or_shorter() {
        let complete = written(&[run(0x1000, 1, 4), run(0x4000, 2, 1)]);
        for cut in 0..complete.len() {
            assert!(read(&complete[..cut]).map_or(true, |runs| runs.len() < 2), "{cut}");
        }
        let lying = [&complete[..14], &[0xff; 4][..], &[0; 16]].concat();
        assert!(read(&lying).is_err());
    }

    #[test]
    fn the_flags_of_a_run_say_where_its_pages_are() {
        for (flags, in_parent, expected) in [
            (None, false, (false, true, false)),
            (None, true, (true, false, false)),
            (Some(0), true, (false, false, false)),
            (Some(1), false, (true, false, false)),
            (Some(4), false, (false, true, false)),
            (Some(5), false, (true, true, false)),
            (Some(12), false, (false, true, true)),
            (Some(2), false, (false, false, false)),
        ] {
            let run = PagemapEntry { flags, in_parent, ..PagemapEntry::default() };
            assert_eq!(
                (run.is_in_parent(), run.is_present(), run.is_aligned()),
                expected,
                "{flags:?} {in_parent}"
            );
        }
    }

    #[test]
    fn older_versions_of_criu_have_another_number_of_pages() {
        for (nr_pages, compat_nr_pages, pages) in [(0, 3, 3), (5, 0, 5), (0, 0, 0), (1 << 40, 3, 1 << 40)] {
            let run = PagemapEntry { nr_pages, compat_nr_pages, ..PagemapEntry::default() };
            assert_eq!(run.pages(), pages);
        }
    }
}
