//! The memory pages of an archive, for reading in any order.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Seek};
use std::os::unix::fs::FileExt;

use anyhow::Context;
use checkpoint::Member;
use checkpoint::archive::ArchiveFile;
use checkpoint::pages::Piece;
use tartree::Kind;

use crate::xor;

/// The `pages` images of an archive. In a plain archive they are read in place. Those of a
/// compressed archive are copied to an unnamed file.
pub struct Store {
    archive: Option<File>,
    copy: Option<File>,
    images: BTreeMap<String, Place>,
}

/// The place of an image.
struct Place {
    is_copy: bool,
    /// The offset of the stored bytes, which do not include holes.
    offset: u64,
    size: u64,
    /// The data segments: the offset in the image, the offset in the stored bytes, and the length.
    segments: Vec<(u64, u64, u64)>,
}

impl Place {
    fn new(is_copy: bool, offset: u64, kind: &Kind) -> Place {
        let whole = [(0, kind.len())];
        let map = match kind {
            Kind::File { map: Some(map), .. } => &map.0[..],
            _ => &whole,
        };
        let mut stored = 0;
        let segments = map.iter().map(|&(offset, len)| {
            stored += len;
            (offset, stored - len, len)
        });
        Place { is_copy, offset, size: kind.len(), segments: segments.collect() }
    }

    /// Returns the data segments that end after `start`.
    fn after(&self, start: u64) -> &[(u64, u64, u64)] {
        &self.segments[self.segments.partition_point(|(offset, _, len)| offset + len <= start)..]
    }
}

impl Store {
    /// Locates the images.
    ///
    /// # Errors
    /// Returns an error if the archive is damaged, or if a copy cannot be written.
    pub fn open(archive: &mut ArchiveFile) -> anyhow::Result<Store> {
        let name = archive.name().to_owned();
        super::require_file(archive)?;
        let (file, start) = archive.file().with_context(|| name.clone())?.unzip();
        let mut store = Store { archive: file, copy: None, images: BTreeMap::new() };
        let mut reader = archive.survey_of_all().with_context(|| name.clone())?;
        while let Some((member, entry)) = reader.next().with_context(|| name.clone())? {
            let Member::Images(path) = member else { continue };
            let image = path.to_string();
            xor::refuse(&image).with_context(|| name.clone())?;
            if !image.starts_with("pages-") {
                continue;
            }
            let in_place = reader.content_offset().zip(start);
            let place = match in_place.and_then(|(offset, start)| start.checked_add(offset)) {
                Some(offset) => Place::new(false, offset, &entry.kind),
                None => Place::new(true, store.add_copy(&mut reader.content())?, &entry.kind),
            };
            store.images.insert(image, place);
        }
        reader.finish().context(name)?;
        Ok(store)
    }

    /// Copies the stored bytes of an image, without its holes. Returns their offset in the copy.
    fn add_copy(&mut self, content: &mut impl io::Read) -> anyhow::Result<u64> {
        let copy = match &mut self.copy {
            Some(copy) => copy,
            copy => copy.insert(cli::spool(None)?),
        };
        let offset = copy.stream_position()?;
        io::copy(content, copy).context("copy of the memory pages")?;
        Ok(offset)
    }

    /// Checks that the image of a piece holds the piece.
    ///
    /// # Errors
    /// Returns an error if the image is missing or too short.
    pub fn check(&self, piece: &Piece) -> anyhow::Result<()> {
        self.place(piece, 0, piece.len).map(drop)
    }

    /// Returns the place of the `len` bytes at `within` in a piece, and their offset in the image.
    fn place(&self, piece: &Piece, within: u64, len: u64) -> anyhow::Result<(&Place, u64)> {
        let image = &piece.image;
        let Some(place) = self.images.get(image) else {
            anyhow::bail!("checkpoint/{image}: not in the archive");
        };
        let start = piece.offset.checked_add(within).context("offset")?;
        if start.checked_add(len).is_none_or(|end| end > place.size) {
            let missing = piece.address.saturating_add(place.size.saturating_sub(piece.offset));
            anyhow::bail!("checkpoint/{image}: ends before the memory at {missing:#x}");
        }
        Ok((place, start))
    }

    /// Returns the length of the hole at `within` in a piece, which is 0 if there is data.
    ///
    /// # Errors
    /// Returns an error if the image is missing or too short.
    pub fn hole(&self, piece: &Piece, within: u64) -> anyhow::Result<u64> {
        let (place, start) = self.place(piece, within, 0)?;
        let data = place.after(start).first().map_or(place.size, |(offset, ..)| *offset);
        Ok(data.saturating_sub(start))
    }

    /// Reads the bytes at `within` in a piece.
    ///
    /// # Errors
    /// Returns an error if the image is missing or too short.
    pub fn read(&self, piece: &Piece, within: u64, buffer: &mut [u8]) -> anyhow::Result<()> {
        let (place, start) = self.place(piece, within, buffer.len() as u64)?;
        let end = start + buffer.len() as u64;
        let file = if place.is_copy { &self.copy } else { &self.archive };
        buffer.fill(0);
        for (offset, stored, len) in place.after(start).iter().take_while(|(offset, ..)| *offset < end) {
            let file = file.as_ref().context("file")?;
            let (from, to) = (start.max(*offset), end.min(offset + len));
            let part = &mut buffer[(from - start) as usize..(to - start) as usize];
            file.read_exact_at(part, place.offset + stored + (from - offset))
                .with_context(|| format!("checkpoint/{}", piece.image))?;
        }
        Ok(())
    }
}
