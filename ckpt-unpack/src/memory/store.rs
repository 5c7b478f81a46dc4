//! The memory pages of an archive, for reading in any order.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Seek};
use std::os::unix::fs::FileExt;

use anyhow::Context;
use checkpoint::Member;
use checkpoint::archive::ArchiveFile;
use checkpoint::pages::Piece;
use tartree::{Expanded, Kind};

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
    offset: u64,
    size: u64,
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
            if !image.starts_with("pages-") {
                continue;
            }
            let size = entry.kind.len();
            let is_plain = matches!(entry.kind, Kind::File { map: None, .. });
            let in_place = reader.content_offset().zip(start).filter(|_| is_plain);
            let place = match in_place.and_then(|(offset, start)| start.checked_add(offset)) {
                Some(offset) => Place { is_copy: false, offset, size },
                None => store.add_copy(&mut Expanded::new(&entry.kind, reader.content()), size)?,
            };
            store.images.insert(image, place);
        }
        reader.finish().context(name)?;
        Ok(store)
    }

    fn add_copy(&mut self, content: &mut impl io::Read, size: u64) -> anyhow::Result<Place> {
        let copy = match &mut self.copy {
            Some(copy) => copy,
            copy => copy.insert(cli::spool(None)?),
        };
        let offset = copy.stream_position()?;
        io::copy(content, copy).context("copy of the memory pages")?;
        Ok(Place { is_copy: true, offset, size })
    }

    /// Reads the bytes at `within` in a piece.
    ///
    /// # Errors
    /// Returns an error if the image is missing or too short.
    pub fn read(&self, piece: &Piece, within: u64, buffer: &mut [u8]) -> anyhow::Result<()> {
        let image = &piece.image;
        let Some(place) = self.images.get(image) else {
            anyhow::bail!("checkpoint/{image}: not in the archive");
        };
        let start = piece.offset.checked_add(within).context("offset")?;
        let end = start.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > place.size) {
            anyhow::bail!("checkpoint/{image}: ends before the memory at {:#x}", piece.address);
        }
        let file = if place.is_copy { &self.copy } else { &self.archive };
        let file = file.as_ref().context("file")?;
        file.read_exact_at(buffer, place.offset + start).with_context(|| format!("checkpoint/{image}"))
    }
}
