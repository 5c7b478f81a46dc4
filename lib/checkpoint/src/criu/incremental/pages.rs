//! Combines the pages of a chain of dumps into one `pages` image.

use std::collections::VecDeque;
use std::io::{self, Read, Write};

use super::cursor::{Cursor, Part, resolve};
use super::memory::{Memory, Pagemap};
use crate::PAGE;
use crate::criu::pagemap::{IN_PARENT, PRESENT, PagemapWriter, Run};
use crate::error::{Error, Result};

/// The pages in parent that are looked up at a time, so that a long run of single pages needs little
/// memory.
const LOOKUP: u64 = 1024;

/// The pages of a process, of which the newest images have only some.
pub struct FlattenedPages<'c> {
    top: &'c Pagemap,
    /// The images of the parents, the newest first.
    parents: &'c [Memory],
    page_size: u64,
}

impl<'c> FlattenedPages<'c> {
    /// Combines the pagemap `top`, whose `pages` image has `top_size` bytes, with `parents`, the
    /// newest first.
    ///
    /// # Errors
    /// Returns an error if an image is too short or if the sizes of pages differ.
    pub fn new(top: &'c Pagemap, top_size: u64, parents: &'c [Memory]) -> Result<FlattenedPages<'c>> {
        let mut sizes: Vec<u64> = if top.present() > 0 { vec![top.page_size(top_size)?] } else { Vec::new() };
        sizes.extend(parents.iter().filter(|p| p.pagemap.present() > 0).map(|p| p.page_size));
        let page_size = sizes.first().copied().unwrap_or(PAGE);
        match sizes.iter().all(|size| *size == page_size) {
            true => Ok(FlattenedPages { top, parents, page_size }),
            false => Err(Error::member(top.name(), "the archives of the chain have pages of several sizes")),
        }
    }

    /// Returns the size of the combined `pages` image in bytes.
    pub fn size(&self) -> u64 {
        self.top.present().saturating_add(self.top.in_parent()).saturating_mul(self.page_size)
    }

    /// Writes the combined pagemap.
    ///
    /// # Errors
    /// Returns an error if a page is in no image, if a pagemap cannot be read, or if writing to the
    /// output fails.
    pub fn write_pagemap(&self, out: impl Write) -> Result<()> {
        let fail = |e: io::Error| Error::member(self.top.name(), e);
        let mut writer =
            PagemapWriter::with_page_size(out, self.top.pages_id(), self.page_size).map_err(fail)?;
        let mut pieces = self.pieces()?;
        while let Some((_, part)) = pieces.next()? {
            writer.add(part.run).map_err(fail)?;
        }
        writer.finish().map(drop).map_err(fail)
    }

    /// Returns a reader of the combined `pages` image. `top` reads the `pages` image of the newest
    /// dump.
    ///
    /// # Errors
    /// Returns an error if a pagemap cannot be read.
    pub fn reader<R: Read>(&self, top: R) -> Result<impl Read + use<'c, R>> {
        let parents = self.parents;
        let pieces = self.pieces()?;
        Ok(FlatReader { pieces, parents, page_size: self.page_size, top, source: None, at: 0, left: 0 })
    }

    fn pieces(&self) -> Result<Pieces> {
        let cursor = |memory: &Memory| Cursor::new(&memory.pagemap, self.page_size);
        Ok(Pieces {
            cursor: Cursor::new(self.top, self.page_size)?,
            parents: self.parents.iter().map(cursor).collect::<Result<_>>()?,
            page_size: self.page_size,
            rest: None,
            found: VecDeque::new(),
        })
    }
}

/// The pages in the order of their addresses, each with its source: the newest images, or the number
/// of a parent.
struct Pieces {
    cursor: Cursor,
    parents: Vec<Cursor>,
    page_size: u64,
    /// Pages in parent that have not been looked up.
    rest: Option<Run>,
    found: VecDeque<(Option<usize>, Part)>,
}

impl Pieces {
    fn next(&mut self) -> Result<Option<(Option<usize>, Part)>> {
        loop {
            if let Some(piece) = self.found.pop_front() {
                return Ok(Some(piece));
            }
            if let Some(run) = self.rest.take() {
                self.look_up(run)?;
                continue;
            }
            match self.cursor.next()? {
                Some(part) if part.run.is_in_parent() && !part.run.is_present() => self.rest = Some(part.run),
                Some(part) => return Ok(Some((None, part))),
                None => return Ok(None),
            }
        }
    }

    fn look_up(&mut self, run: Run) -> Result<()> {
        let now = Run { pages: run.pages.min(LOOKUP), ..run };
        let left = run.pages - now.pages;
        if left > 0 {
            self.rest = Some(Run { vaddr: now.end(self.page_size), pages: left, ..run });
        }
        let found = &mut self.found;
        resolve(&mut self.parents, now, &mut |level, part| {
            let flags = part.run.flags & !IN_PARENT | PRESENT;
            found.push_back((Some(level), Part { run: Run { flags, ..part.run }, ..part }));
            Ok(())
        })
    }
}

struct FlatReader<'c, R> {
    pieces: Pieces,
    parents: &'c [Memory],
    page_size: u64,
    top: R,
    /// The parent that has the current pages, or `None` for the newest images.
    source: Option<usize>,
    /// The offset of the current pages in the image of the parent.
    at: u64,
    /// The bytes of the current pages that have not been read.
    left: u64,
}

impl<R: Read> Read for FlatReader<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.left == 0 {
            let Some((source, part)) = self.pieces.next().map_err(io::Error::other)? else { return Ok(0) };
            if part.run.is_present() {
                self.source = source;
                self.at = part.first.saturating_mul(self.page_size);
                self.left = part.run.pages.saturating_mul(self.page_size);
            }
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buf.len());
        let got = match self.source.map(|level| self.parents.get(level)) {
            None => self.top.read(&mut buf[..most])?,
            Some(Some(parent)) => parent.pages.read_at(&mut buf[..most], self.at)?,
            Some(None) => 0,
        };
        if got == 0 && most > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += got as u64;
        self.left -= got as u64;
        Ok(got)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{FileRange, KeptPages, Marks, compare, uncovered, write_pagemap};
    use super::*;
    use std::io::Seek;

    const SIZE: usize = PAGE as usize;

    fn file(bytes: &[u8]) -> FileRange {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        FileRange::whole(file).unwrap()
    }

    /// Makes the images of pages: an address as a number of pages, and the byte that fills the page,
    /// or `None` for a page in parent.
    fn memory(pages: &[(u64, Option<u8>)]) -> Memory {
        let mut writer = PagemapWriter::new(Vec::new(), 1).unwrap();
        let mut bytes = Vec::new();
        for (address, content) in pages {
            let flags = if content.is_some() { 6 } else { 1 };
            writer.add(Run { vaddr: address * PAGE, pages: 1, flags }).unwrap();
            bytes.extend(content.iter().flat_map(|byte| [*byte; SIZE]));
        }
        let pagemap = Pagemap::read("pagemap-1.img", file(&writer.finish().unwrap())).unwrap();
        Memory::new(pagemap, file(&bytes)).unwrap()
    }

    fn compare_with(new: &Memory, marks: &mut Marks, base: &Memory) {
        compare(new, marks, &base.pagemap, &mut base.pages.reader(), base.pages.len()).unwrap();
    }

    fn delta(new: &Memory, marks: &Marks) -> Memory {
        let mut pagemap = Vec::new();
        write_pagemap(new, marks, &mut pagemap).unwrap();
        let mut pages = Vec::new();
        KeptPages::new(new, marks, None).unwrap().read_to_end(&mut pages).unwrap();
        assert_eq!(pages.len() as u64, KeptPages::size(new, marks));
        Memory::new(Pagemap::read("pagemap-1.img", file(&pagemap)).unwrap(), file(&pages)).unwrap()
    }

    fn flat(top: &Memory, parents: &[Memory]) -> Result<(Vec<u8>, Vec<u8>)> {
        let flattened = FlattenedPages::new(&top.pagemap, top.pages.len(), parents)?;
        let (mut pagemap, mut pages) = (Vec::new(), Vec::new());
        flattened.write_pagemap(&mut pagemap)?;
        flattened.reader(top.pages.reader())?.read_to_end(&mut pages).map_err(tartree::Error::Stream)?;
        assert_eq!(pages.len() as u64, flattened.size());
        Ok((pagemap, pages))
    }

    fn bytes(range: &FileRange) -> Vec<u8> {
        let mut bytes = Vec::new();
        range.reader().read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_chain_of_three_dumps_becomes_the_last_dump_again() {
        let first = memory(&[(1, Some(1)), (2, Some(2)), (3, Some(3)), (7, Some(7)), (9, Some(9))]);
        let second = memory(&[(1, Some(1)), (2, Some(22)), (3, Some(3)), (4, Some(4)), (9, Some(9))]);
        let third =
            memory(&[(0, Some(5)), (1, Some(1)), (2, Some(22)), (3, Some(33)), (4, Some(4)), (9, Some(9))]);
        let mut marks = Marks::default();
        compare_with(&second, &mut marks, &first);
        assert_eq!(marks.equal_pages(), 3);
        let second_delta = delta(&second, &marks);
        assert_eq!(second_delta.pages.len(), 2 * PAGE);

        let mut marks = Marks::default();
        compare_with(&third, &mut marks, &second_delta);
        assert!(marks.descend());
        compare_with(&third, &mut marks, &first);
        assert!(!marks.descend());
        let third_delta = delta(&third, &marks);
        assert_eq!(third_delta.pages.len(), 2 * PAGE);

        let parents = [second_delta.clone(), first.clone()];
        let (pagemap, pages) = flat(&third_delta, &parents).unwrap();
        assert_eq!(pages, bytes(&third.pages));
        let again =
            Memory::new(Pagemap::read("pagemap-1.img", file(&pagemap)).unwrap(), file(&pages)).unwrap();
        let (unchanged, _) = flat(&again, &[]).unwrap();
        assert_eq!(pagemap, unchanged);

        let runs = |memory: &Memory| memory.pagemap.runs().unwrap();
        let lacking = |parent: Option<&Memory>| {
            uncovered(&mut runs(&third_delta), parent.map(runs).as_mut(), PAGE).unwrap()
        };
        assert_eq!(lacking(Some(&second_delta)), None);
        assert_eq!(lacking(Some(&memory(&[(1, Some(1)), (3, Some(3)), (4, Some(4))]))), Some(2 * PAGE));
        assert_eq!(lacking(None), Some(PAGE));
        assert!(flat(&third_delta, &parents[..1]).is_err());
        assert!(flat(&third_delta, &parents[1..]).is_err());
    }

    #[test]
    fn a_page_in_the_parent_of_the_base_is_not_compared_with_other_pages() {
        // Page 1 changed from 1 to 2 and back. The delta in between has it, so the oldest page, which
        // has the same content, must not be used: CRIU would read the page of the delta.
        let first = memory(&[(1, Some(1))]);
        let between = memory(&[(1, Some(2))]);
        let new = memory(&[(1, Some(1))]);
        let mut marks = Marks::default();
        compare_with(&new, &mut marks, &between);
        assert!(!marks.descend());
        compare_with(&new, &mut marks, &first);
        assert_eq!(marks.equal_pages(), 0);
    }

    #[test]
    fn long_zeros_become_holes_and_the_rest_is_unchanged() {
        let mut pages: Vec<_> =
            (0..100).map(|n| (n, Some(if (10..60).contains(&n) { 0 } else { 8 }))).collect();
        pages[95].1 = Some(0);
        let new = memory(&pages);
        let marks = Marks::default();
        let map = KeptPages::map(&new, &marks).unwrap().unwrap();
        assert_eq!(map.0, [(0, 10 * PAGE), (60 * PAGE, 40 * PAGE)]);
        let mut stored = Vec::new();
        KeptPages::new(&new, &marks, Some(&map)).unwrap().read_to_end(&mut stored).unwrap();
        let all = bytes(&new.pages);
        assert_eq!(stored, [&all[..10 * SIZE], &all[60 * SIZE..]].concat());
        let zeros = memory(&[(1, Some(0)), (2, Some(0))]);
        assert_eq!(KeptPages::map(&zeros, &marks).unwrap().map(|map| map.0), Some(Vec::new()));
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { cases: 64, ..Default::default() })]

        /// Each dump has some pages, each with one of few contents, so that pages are often equal to
        /// those of any earlier dump. However they changed, the chain has the memory of the last dump.
        #[test]
        fn the_chain_of_any_dumps_is_the_last_dump(
            dumps in proptest::collection::vec(
                proptest::collection::btree_map(0u64..40, 0u8..3, 0..40), 1..6
            )
        ) {
            let mut parents: Vec<Memory> = Vec::new();
            for dump in dumps {
                let pages: Vec<_> = dump.into_iter().map(|(address, content)| (address, Some(content))).collect();
                let full = memory(&pages);
                let mut marks = Marks::default();
                for parent in &parents {
                    compare_with(&full, &mut marks, parent);
                    marks.descend();
                }
                let newest = delta(&full, &marks);
                let (_, pages) = flat(&newest, &parents).unwrap();
                assert_eq!(pages, bytes(&full.pages));
                let top = parents.first().map(|parent| parent.pagemap.runs().unwrap());
                assert_eq!(uncovered(&mut newest.pagemap.runs().unwrap(), top.into_iter().next().as_mut(), PAGE).unwrap(), None);
                parents.insert(0, newest);
            }
        }
    }

    #[test]
    fn a_short_base_is_an_error() {
        let new = memory(&[(1, Some(1)), (2, Some(2))]);
        let base = memory(&[(1, Some(1)), (2, Some(2))]);
        let mut marks = Marks::default();
        let half = &bytes(&base.pages)[..SIZE];
        let e = compare(&new, &mut marks, &base.pagemap, &mut &half[..], base.pages.len()).unwrap_err();
        assert!(e.to_string().contains("ends before the 2 pages"), "{e}");
        assert!(Memory::new(base.pagemap.clone(), file(half)).is_err());
    }
}
