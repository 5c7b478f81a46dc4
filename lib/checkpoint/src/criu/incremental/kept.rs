//! Writes the pagemap of an incremental dump, and reads the pages that it keeps.

use std::io::{self, Read, Write};

use tartree::SparseMap;

use super::compare::Marks;
use super::cursor::{Cursor, Part};
use super::memory::Memory;
use crate::criu::pagemap::{IN_PARENT, PagemapWriter, Run};
use crate::error::{Error, Result};

/// The zero pages that become a hole. A shorter hole saves less than its segment in the tar costs.
const HOLE_PAGES: u64 = 16;
/// The most segments of a sparse map. Readers in Go reject a map above 1 MiB.
const SEGMENTS: usize = 26_000;

/// Writes the pagemap of `new`, with equal pages marked as in parent.
///
/// # Errors
/// Returns an error if the pagemap cannot be read or if writing to the output fails.
pub fn write_pagemap(new: &Memory, marks: &Marks, out: impl Write) -> Result<()> {
    let name = new.pagemap.name();
    let fail = |e: io::Error| Error::member(name, e);
    let mut writer =
        PagemapWriter::with_page_size(out, new.pagemap.pages_id(), new.page_size).map_err(fail)?;
    let mut pieces = Pieces::new(new, marks)?;
    while let Some((part, is_equal)) = pieces.next()? {
        let flags = if is_equal { IN_PARENT } else { part.run.flags };
        writer.add(Run { flags, ..part.run }).map_err(fail)?;
    }
    writer.finish().map(drop).map_err(fail)
}

/// Splits the runs of a pagemap where pages that are equal in the base begin or end.
struct Pieces<'m> {
    cursor: Cursor,
    marks: &'m Marks,
    page_size: u64,
    rest: Option<Part>,
}

impl<'m> Pieces<'m> {
    fn new(new: &Memory, marks: &'m Marks) -> Result<Pieces<'m>> {
        let cursor = Cursor::new(&new.pagemap, new.page_size)?;
        Ok(Pieces { cursor, marks, page_size: new.page_size, rest: None })
    }

    /// Returns the next piece, and whether its pages are equal in the base.
    fn next(&mut self) -> Result<Option<(Part, bool)>> {
        let part = match self.rest.take() {
            Some(part) => part,
            None => match self.cursor.next()? {
                Some(part) => part,
                None => return Ok(None),
            },
        };
        if !part.run.is_present() {
            return Ok(Some((part, false)));
        }
        let is_equal = self.marks.is_equal(part.first);
        let end = part.first.saturating_add(part.run.pages);
        let pages = (part.first + 1..end).take_while(|page| self.marks.is_equal(*page) == is_equal).count();
        let pages = pages as u64 + 1;
        if pages < part.run.pages {
            let run = Run {
                vaddr: part.run.vaddr + pages * self.page_size,
                pages: part.run.pages - pages,
                ..part.run
            };
            self.rest = Some(Part { run, first: part.first + pages });
        }
        Ok(Some((Part { run: Run { pages, ..part.run }, ..part }, is_equal)))
    }
}

/// Reads the pages that are not equal in the base, one after another. With a sparse map, reads only
/// its segments.
pub struct KeptPages<'m> {
    new: &'m Memory,
    pieces: Pieces<'m>,
    /// The offset in the old image and the length of the current pages, in bytes.
    current: (u64, u64),
    /// The offset of the current pages in the new image.
    at: u64,
    /// The segments of the new image that are to be read, the next one last.
    segments: Vec<(u64, u64)>,
}

impl<'m> KeptPages<'m> {
    /// Reads all pages, or the segments of `map`.
    ///
    /// # Errors
    /// Returns an error if the pagemap cannot be read.
    pub fn new(new: &'m Memory, marks: &'m Marks, map: Option<&SparseMap>) -> Result<KeptPages<'m>> {
        let whole = [(0, u64::MAX)];
        let segments = map.map_or(&whole[..], |map| &map.0).iter().rev().copied().collect();
        Ok(KeptPages { new, pieces: Pieces::new(new, marks)?, current: (0, 0), at: 0, segments })
    }

    /// Returns the size of the image in bytes.
    pub fn size(new: &Memory, marks: &Marks) -> u64 {
        new.pagemap.present().saturating_sub(marks.equal_pages()).saturating_mul(new.page_size)
    }

    /// Returns the map of the image if zero pages become holes, or `None` if it has no holes.
    ///
    /// # Errors
    /// Returns an error if an image cannot be read.
    pub fn map(new: &Memory, marks: &Marks) -> Result<Option<SparseMap>> {
        let mut pages = KeptPages::new(new, marks, None)?;
        let mut page = vec![0; usize::try_from(new.page_size).unwrap_or(usize::MAX)];
        let zeros = page.clone();
        let mut input = io::BufReader::with_capacity(256 << 10, &mut pages);
        let (mut segments, mut at, size) = (Vec::new(), 0u64, KeptPages::size(new, marks));
        let mut data: Option<(u64, u64)> = None;
        while at < size {
            input
                .read_exact(&mut page)
                .map_err(|e| Error::member(format!("pages-{}.img", new.pagemap.pages_id()), e))?;
            if page != zeros {
                data = match data {
                    Some((start, end))
                        if at - end >= HOLE_PAGES * new.page_size && segments.len() < SEGMENTS =>
                    {
                        segments.push((start, end - start));
                        Some((at, at + new.page_size))
                    }
                    Some((start, _)) => Some((start, at + new.page_size)),
                    None if at >= HOLE_PAGES * new.page_size => Some((at, at + new.page_size)),
                    None => Some((0, at + new.page_size)),
                };
            }
            at += new.page_size;
        }
        segments.extend(data.map(|(start, end)| (start, end - start)));
        let stored: u64 = segments.iter().map(|(_, len)| len).sum();
        Ok((stored < size).then_some(SparseMap(segments)))
    }
}

impl Read for KeptPages<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some((start, len)) = self.segments.last_mut() else { return Ok(0) };
            if *len == 0 {
                self.segments.pop();
                continue;
            }
            if self.current.1 == 0 {
                let (part, is_equal) = match self.pieces.next().map_err(io::Error::other)? {
                    Some(piece) => piece,
                    None => return Ok(0),
                };
                if part.run.is_present() && !is_equal {
                    self.current = (part.first * self.new.page_size, part.run.pages * self.new.page_size);
                }
                continue;
            }
            let gap = start.saturating_sub(self.at).min(self.current.1);
            if gap > 0 {
                self.current = (self.current.0 + gap, self.current.1 - gap);
                self.at += gap;
                continue;
            }
            let most = usize::try_from(self.current.1.min(*len)).unwrap_or(usize::MAX).min(buf.len());
            let got = self.new.pages.read_at(&mut buf[..most], self.current.0)?;
            if got == 0 && most > 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let n = got as u64;
            self.current = (self.current.0 + n, self.current.1 - n);
            self.at += n;
            (*start, *len) = (*start + n, *len - n);
            return Ok(got);
        }
    }
}
