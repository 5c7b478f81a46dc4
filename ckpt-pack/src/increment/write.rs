//! Writes the memory images of an incremental archive.

use std::collections::BTreeSet;

use anyhow::Context;
use checkpoint::Member;
use checkpoint::archive::ArchiveWriter;
use checkpoint::delta::Delta;
use checkpoint::incremental::{KeptPages, MemoryImage};
use tartree::{Destination, Entry, Kind, Meta, TarPath, Timestamp};

use super::{Changes, Increment};
use crate::criu_images::Zeros;

impl Increment {
    /// Writes the document that names the base, unless the base is part of the archive. It precedes
    /// the images, so that readers reject a wrong base early.
    pub fn write_delta<W: Destination>(
        &self,
        writer: &mut ArchiveWriter<W>,
        time: Timestamp,
    ) -> anyhow::Result<()> {
        match self {
            Increment::Changes(changes) => changes.write_delta(writer, time),
            Increment::Xor(images) => images.write_delta(writer, time),
        }
    }

    /// Writes the image at `path` if it differs from the file in the directory. Returns the number of
    /// bytes that were written, or `None` if the file is to be written as it is.
    pub fn write<W: Destination>(
        &mut self,
        path: &TarPath,
        meta: &Meta,
        zeros: Zeros,
        writer: &mut ArchiveWriter<W>,
    ) -> anyhow::Result<Option<u64>> {
        let meta =
            Meta { mode: meta.mode & 0o777, mtime: Timestamp { nsec: 0, ..meta.mtime }, ..Meta::default() };
        match self {
            Increment::Changes(changes) => changes.write(path, meta, zeros, writer),
            Increment::Xor(images) => images.write(path, meta, writer),
        }
    }

    /// With `--self-contained`, writes the memory images of the bases as directories `parent`.
    pub fn write_parents<W: Destination>(
        &mut self,
        writer: &mut ArchiveWriter<W>,
        zeros: Zeros,
        time: Timestamp,
    ) -> anyhow::Result<()> {
        match self {
            Increment::Changes(changes) => changes.write_parents(writer, zeros, time),
            Increment::Xor(_) => Ok(()),
        }
    }
}

impl Changes {
    fn write_delta<W: Destination>(
        &self,
        writer: &mut ArchiveWriter<W>,
        time: Timestamp,
    ) -> anyhow::Result<()> {
        match self.parents.is_empty() {
            true => Ok(writer.small(&Delta::member(), &self.delta.write(), time)?),
            false => Ok(()),
        }
    }

    fn write<W: Destination>(
        &self,
        path: &TarPath,
        meta: Meta,
        zeros: Zeros,
        writer: &mut ArchiveWriter<W>,
    ) -> anyhow::Result<Option<u64>> {
        let member = Member::Images(path.clone());
        let Some((0, image)) = MemoryImage::of(path.as_bytes()) else { return Ok(None) };
        let name = match image {
            MemoryImage::Pagemap(name) => Some(name),
            MemoryImage::Pages(number) => self.by_pages.get(&number).map(String::as_str),
        };
        let Some(replaced) = name.and_then(|name| self.images.get(name)) else { return Ok(None) };
        if let (MemoryImage::Pagemap(_), Some(pagemap)) = (&image, &replaced.pagemap) {
            writer.copy(&member, pagemap.len(), meta.mode, meta.mtime, pagemap.reader())?;
            return Ok(Some(pagemap.len()));
        }
        let (memory, marks) = (&replaced.memory, &replaced.marks);
        let map = match zeros {
            Zeros::Holes => KeptPages::map(memory, marks)?,
            Zeros::AsFound | Zeros::Bytes => None,
        };
        let content = KeptPages::new(memory, marks, map.as_ref())?;
        let kind = Kind::File { size: KeptPages::size(memory, marks), map };
        let stored = kind.data_len();
        let entry = Entry { path: member.path(), kind, meta };
        writer.verbatim(&member, None, &entry, stored, content).with_context(|| member.to_string())?;
        Ok(Some(stored))
    }

    fn write_parents<W: Destination>(
        &mut self,
        writer: &mut ArchiveWriter<W>,
        zeros: Zeros,
        time: Timestamp,
    ) -> anyhow::Result<()> {
        let mut above = TarPath::root();
        let mut dirs = BTreeSet::new();
        for base in &mut self.parents {
            above = above.child(b"parent");
            let name = base.name.clone();
            let (mut last, first) = (above.clone(), above.clone());
            let copied = base.memory_images(
                &mut |path, entry, content| {
                    let path = first.child(path.as_bytes());
                    if let Some(dir) = path.parent() {
                        write_dirs(&dir, &mut dirs, writer, time)?;
                        last = last.clone().max(dir);
                    }
                    let member = Member::Images(path);
                    let stored = entry.kind.data_len();
                    let mtime = Timestamp { nsec: 0, ..entry.meta.mtime };
                    let meta = Meta { mode: 0o600, mtime, ..Meta::default() };
                    let entry = Entry { path: member.path(), kind: entry.kind, meta };
                    Ok(writer.verbatim(&member, None, &entry, stored, content)?)
                },
                zeros != Zeros::Bytes,
            );
            copied.context(name)?;
            // The images of the next base are below the deepest directory of this one.
            above = last;
        }
        Ok(())
    }
}

/// Writes the directory and those above it, each once.
fn write_dirs<W: Destination>(
    dir: &TarPath,
    dirs: &mut BTreeSet<TarPath>,
    writer: &mut ArchiveWriter<W>,
    time: Timestamp,
) -> anyhow::Result<()> {
    if dir.is_root() || dirs.contains(dir) {
        return Ok(());
    }
    if let Some(above) = dir.parent() {
        write_dirs(&above, dirs, writer, time)?;
    }
    dirs.insert(dir.clone());
    Ok(writer.dir(&Member::Images(dir.clone()), 0o700, time)?)
}
