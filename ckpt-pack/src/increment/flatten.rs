//! `--flatten`: combines an incremental archive with its bases to a complete archive.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use anyhow::Context;
use checkpoint::Member;
use checkpoint::archive::{ArchiveWriter, MemberContent, Members};
use checkpoint::incremental::{FlattenedPages, Memory, MemoryImage, Pagemap, Spool};
use cli::Session;
use tartree::{Destination, Entry, TarPath};

use super::base_archive::{BaseArchive, Facts, PagesImage, check_chain};
use super::{XorFlattening, kept, write_file};
use crate::args::Args;

/// How an archive is combined with its bases.
pub enum Flattening {
    /// The archive leaves out pages that are equal in a base.
    Changes(Box<CombinedPages>),
    /// The pages of the archive are stored as XOR.
    Xor(Box<XorFlattening>),
}

impl Flattening {
    /// Reads the archive `file` and the archives of `--base`.
    pub fn read(args: &Args, file: &Path, session: &Session) -> anyhow::Result<Flattening> {
        let is_xor = BaseArchive::open(args, file)?.delta()?.is_some_and(|delta| delta.is_xor());
        Ok(match is_xor {
            true => Flattening::Xor(Box::new(XorFlattening::read(args, file, session)?)),
            false => Flattening::Changes(Box::new(CombinedPages::read(args, file, session)?)),
        })
    }

    /// Writes the member in its complete form, or leaves it out if only an incremental archive has
    /// it. Returns `false` if the member is to be copied as it is.
    pub fn write<W: Destination>(
        &mut self,
        member: &Member,
        entry: &Entry,
        reader: &mut Members<'_>,
        writer: &mut ArchiveWriter<W>,
    ) -> anyhow::Result<bool> {
        match self {
            Flattening::Changes(pages) => pages.write(member, entry, reader, writer),
            Flattening::Xor(images) => images.write(member, entry, reader, writer),
        }
    }

    /// Checks the images that were written, once all members were copied.
    ///
    /// # Errors
    /// Returns an error if an archive was modified.
    pub fn check(&self) -> anyhow::Result<()> {
        match self {
            // The archives were compared with their digests before the first member was written.
            Flattening::Changes(_) => Ok(()),
            Flattening::Xor(images) => images.check(),
        }
    }
}

/// The memory of the archives of a chain.
pub struct CombinedPages {
    /// The pagemaps of the newest archive, by name.
    top: BTreeMap<String, Pagemap>,
    /// The names of these pagemaps, by the number of their `pages` image.
    by_pages: BTreeMap<u32, String>,
    sizes: BTreeMap<u32, u64>,
    /// The memory of its parents, the newest first, by the name of the pagemap.
    parents: Vec<BTreeMap<String, Memory>>,
    spool: Spool,
}

impl CombinedPages {
    /// Reads the archive `file` and the archives of `--base`. The memory of all archives but the
    /// newest is copied to an unnamed file, because pages are read in another order there.
    fn read(args: &Args, file: &Path, session: &Session) -> anyhow::Result<CombinedPages> {
        let mut spool = Spool::new(cli::spool(None)?);
        let mut parents = Vec::new();
        let mut archive = BaseArchive::open(args, file)?;
        session.stage("reading", archive.size());
        let top = spooled(&mut archive, 1, &mut spool, &mut parents)?;
        let mut chain = vec![(archive.name.clone(), top)];
        for path in args.incremental.base.iter().rev() {
            let mut base = BaseArchive::open(args, path)?;
            session.stage("reading", base.size());
            let facts = spooled(&mut base, 0, &mut spool, &mut parents)?;
            chain.push((base.name.clone(), facts));
        }
        let names: Vec<_> = chain.iter().rev().map(|(name, facts)| (name.as_str(), facts)).collect();
        check_chain(&names, "add --base FILE; if FILE needs other archives, give them first")?;
        let Some((_, facts)) = chain.into_iter().next() else { anyhow::bail!("no archive") };
        let sizes = facts.sizes.iter().filter(|((level, _), _)| *level == 0);
        let sizes = sizes.map(|((_, number), size)| (*number, *size)).collect();
        let pagemaps = facts.levels.into_iter().next().unwrap_or_default();
        let by_pages =
            pagemaps.iter().map(|(number, pagemap)| (*number, pagemap.name().to_owned())).collect();
        let top = pagemaps.into_values().map(|pagemap| (pagemap.name().to_owned(), pagemap)).collect();
        Ok(CombinedPages { top, by_pages, sizes, parents, spool })
    }

    fn write<W: Destination>(
        &mut self,
        member: &Member,
        entry: &Entry,
        reader: &mut Members<'_>,
        writer: &mut ArchiveWriter<W>,
    ) -> anyhow::Result<bool> {
        let Member::Images(path) = member else { return Ok(false) };
        if member.is_delta() || path.starts_with(&TarPath::root().child(b"parent")) {
            return Ok(true);
        }
        let Some((0, image)) = MemoryImage::of(path.as_bytes()) else { return Ok(false) };
        let name = match image {
            MemoryImage::Pagemap(name) => Some(name),
            MemoryImage::Pages(number) => self.by_pages.get(&number).map(String::as_str),
        };
        let Some(pagemap) = name.and_then(|name| self.top.get(name)) else { return Ok(false) };
        if pagemap.in_parent() == 0 {
            return Ok(false);
        }
        let parents: Vec<Memory> =
            self.parents.iter().map_while(|level| level.get(pagemap.name()).cloned()).collect();
        let size = self.sizes.get(&pagemap.pages_id()).copied().unwrap_or(0);
        let flattened = FlattenedPages::new(pagemap, size, &parents)?;
        let meta = kept(&entry.meta);
        if let MemoryImage::Pagemap(_) = image {
            let mut bytes = self.spool.writer();
            flattened.write_pagemap(&mut bytes)?;
            let bytes = bytes.finish()?;
            writer.copy(member, bytes.len(), meta.mode, meta.mtime, bytes.reader())?;
        } else {
            let bound = reader.bound();
            let content = MemberContent::new(&entry.kind, reader.content(), bound);
            let content = flattened.reader(content)?;
            write_file(writer, member, meta, flattened.size(), content)
                .with_context(|| member.to_string())?;
        }
        Ok(true)
    }
}

/// Copies the memory of the archive from `first` on, which is a number of directories `parent`, to
/// `spool`, and adds it to `parents`.
fn spooled(
    archive: &mut BaseArchive,
    first: usize,
    spool: &mut Spool,
    parents: &mut Vec<BTreeMap<String, Memory>>,
) -> anyhow::Result<Facts> {
    let mut pages = Spool::new(cli::spool(None)?);
    let mut levels: Vec<BTreeMap<String, Memory>> = Vec::new();
    let mut keep = |image: &PagesImage<'_>, content: &mut dyn Read| {
        if image.level < first {
            return Ok(());
        }
        let bytes =
            pages.append(content).with_context(|| format!("pages-{}.img", image.pagemap.pages_id()))?;
        let memory = Memory::new(image.pagemap.clone(), bytes).context("checkpoint")?;
        let index = image.level - first;
        if levels.len() <= index {
            levels.resize_with(index + 1, BTreeMap::new);
        }
        levels[index].insert(image.pagemap.name().to_owned(), memory);
        Ok(())
    };
    let facts = archive.survey(spool, &mut keep)?;
    if facts.not_visited.iter().any(|(level, _)| *level >= first) {
        let wanted = |level, number| facts.not_visited.contains(&(level, number));
        archive.pages(&facts, &wanted, &mut keep)?;
    }
    parents.append(&mut levels);
    Ok(facts)
}
