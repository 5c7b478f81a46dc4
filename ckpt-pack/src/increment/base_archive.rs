//! Reads the memory images of an earlier archive.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;

use anyhow::{Context, bail};
use checkpoint::Member;
use checkpoint::archive::{ArchiveFile, MemberContent, Unknown};
use checkpoint::config_dump::ConfigDump;
use checkpoint::delta::{Delta, ImagesId};
use checkpoint::incremental::{HashedReader, ImagesDigest, MemoryImage, Pagemap, Spool, uncovered};
use checkpoint::xor::pages_number;
use cli::Hint;
use tartree::{Entry, Kind};

use crate::args::Args;
use crate::from_archive::open_as;

/// An earlier archive.
pub struct BaseArchive {
    file: ArchiveFile,
    pub name: String,
}

/// The facts that a first pass over the archive finds.
pub struct Facts {
    pub id: ImagesId,
    pub delta: Option<Delta>,
    pub config: ConfigDump,
    /// The pagemaps: for each number of directories `parent`, by the number of the `pages` image.
    pub levels: Vec<BTreeMap<u32, Pagemap>>,
    /// The sizes of the `pages` images in bytes.
    pub sizes: BTreeMap<(usize, u32), u64>,
    /// The `pages` images that preceded their pagemaps and were not visited.
    pub not_visited: BTreeSet<(usize, u32)>,
}

impl Facts {
    /// Returns the pagemaps below `level` directories `parent`.
    fn pagemaps(&self, level: usize) -> impl Iterator<Item = &Pagemap> {
        self.levels.get(level).into_iter().flat_map(BTreeMap::values)
    }

    fn page_size(&self, level: usize, pagemap: &Pagemap) -> checkpoint::Result<u64> {
        pagemap.page_size(self.sizes.get(&(level, pagemap.pages_id())).copied().unwrap_or(0))
    }
}

/// A `pages` image, its pagemap, and the number of directories `parent` above it.
pub struct PagesImage<'p> {
    pub level: usize,
    pub pagemap: &'p Pagemap,
    pub size: u64,
}

/// Receives each `pages` image and its content.
pub type Visit<'v> = dyn FnMut(&PagesImage<'_>, &mut dyn Read) -> anyhow::Result<()> + 'v;

impl BaseArchive {
    /// Opens the archive `path`, which is read several times.
    pub fn open(args: &Args, path: &Path) -> anyhow::Result<BaseArchive> {
        let file = open_as(args, path, Unknown::Keep, None)?;
        let name = file.name().to_owned();
        match file.can_rewind() {
            true => Ok(BaseArchive { file, name }),
            false => bail!("{name}: expected a file, because it is read several times"),
        }
    }

    /// Returns the archive.
    pub fn into_file(self) -> ArchiveFile {
        self.file
    }

    /// Reads the document that names the base, if it precedes the memory, as [`Delta::member`] does.
    pub fn delta(&mut self) -> anyhow::Result<Option<Delta>> {
        let name = self.name.clone();
        let mut read = || {
            let mut reader = self.file.survey()?;
            while let Some((member, _)) = reader.next()? {
                match &member {
                    Member::Images(_) if member.is_delta() => {
                        return Ok(Some(Delta::read(&document(&member, reader.content())?)?));
                    }
                    Member::Images(path) if is_memory(path.as_bytes()) => break,
                    _ => {}
                }
            }
            anyhow::Ok(None)
        };
        read().context(name)
    }

    /// Returns the size of the archive in bytes, if it is known.
    pub fn size(&self) -> Option<u64> {
        self.file.size()
    }

    /// Reads the complete archive. Keeps pagemaps in `spool`, and calls `visit` for the `pages`
    /// images whose pagemaps precede them.
    pub fn survey(&mut self, spool: &mut Spool, visit: &mut Visit<'_>) -> anyhow::Result<Facts> {
        let name = self.name.clone();
        self.read_all(spool, visit).context(name)
    }

    fn read_all(&mut self, spool: &mut Spool, visit: &mut Visit<'_>) -> anyhow::Result<Facts> {
        let mut digest = ImagesDigest::default();
        let (mut delta, mut config, mut has_link) = (None, ConfigDump::default(), false);
        let (mut levels, mut sizes) = (Vec::<BTreeMap<u32, Pagemap>>::new(), BTreeMap::new());
        let mut not_visited = BTreeSet::new();
        let mut reader = self.file.survey()?;
        while let Some((member, entry)) = reader.next()? {
            let path = match &member {
                Member::ConfigDump => {
                    config = ConfigDump::read(&document(&member, reader.content())?)?;
                    continue;
                }
                Member::Images(_) if member.is_delta() => {
                    delta = Some(Delta::read(&document(&member, reader.content())?)?);
                    continue;
                }
                Member::Images(path) => path,
                _ => continue,
            };
            has_link |= matches!(entry.kind, Kind::Symlink { .. });
            let Some((level, image)) = MemoryImage::of(path.as_bytes()) else { continue };
            let bound = reader.bound();
            let content = MemberContent::new(&entry.kind, reader.content(), bound);
            let mut hashed = HashedReader::new(content);
            match image {
                MemoryImage::Pagemap(name) => {
                    let bytes = spool.append(&mut hashed).with_context(|| member.to_string())?;
                    let pagemap = Pagemap::read(name, bytes).context("checkpoint")?;
                    if levels.len() <= level {
                        levels.resize_with(level + 1, BTreeMap::new);
                    }
                    if let Some(other) = levels[level].insert(pagemap.pages_id(), pagemap) {
                        bail!("{member}: refers to the same pages as {}", other.name());
                    }
                }
                MemoryImage::Pages(number) => {
                    let size = entry.kind.len();
                    sizes.insert((level, number), size);
                    match levels.get(level).and_then(|pagemaps| pagemaps.get(&number)) {
                        Some(pagemap) => visit(&PagesImage { level, pagemap, size }, &mut hashed)?,
                        None => _ = not_visited.insert((level, number)),
                    }
                }
            }
            hashed.drain().with_context(|| member.to_string())?;
            digest.add(&path.to_string(), hashed);
        }
        reader.finish()?;
        if has_link {
            bail!(
                "checkpoint/parent: the archive needs the images of a pre-checkpoint, which is not supported"
            );
        }
        if levels.first().is_none_or(BTreeMap::is_empty) {
            bail!("checkpoint/: holds no memory");
        }
        if delta.as_ref().is_some_and(Delta::is_xor) {
            let e = anyhow::anyhow!("{}: the pages are stored as XOR with those of a base", Delta::member());
            let hint = "add --xor, or combine the archive with its base first: --from-archive FILE --flatten";
            return Err(Hint::on(e, hint));
        }
        let id = digest.finish(delta.as_ref().and_then(|delta| delta.base.as_ref()).map(|base| &base.id));
        Ok(Facts { id, delta, config, levels, sizes, not_visited })
    }

    /// Calls `visit` for the `pages` images that `wanted` selects.
    pub fn pages(
        &mut self,
        facts: &Facts,
        wanted: &dyn Fn(usize, u32) -> bool,
        visit: &mut Visit<'_>,
    ) -> anyhow::Result<()> {
        let mut each = |level: usize, number: u32, entry: &Entry, content: &mut dyn Read| match facts
            .levels
            .get(level)
            .and_then(|pagemaps| pagemaps.get(&number))
        {
            Some(pagemap) if wanted(level, number) => {
                visit(&PagesImage { level, pagemap, size: entry.kind.len() }, content)
            }
            _ => Ok(()),
        };
        let name = self.name.clone();
        let mut read = || {
            let mut reader = self.file.survey()?;
            while let Some((member, entry)) = reader.next()? {
                let Member::Images(path) = &member else { continue };
                if let Some((level, MemoryImage::Pages(number))) = MemoryImage::of(path.as_bytes()) {
                    let bound = reader.bound();
                    let mut content = MemberContent::new(&entry.kind, reader.content(), bound);
                    each(level, number, &entry, &mut content)?;
                }
            }
            anyhow::Ok(())
        };
        read().context(name)
    }

    /// Calls `copy` for each memory image, with the path, the entry and the stored content.
    pub fn memory_images(
        &mut self,
        copy: &mut dyn FnMut(&tartree::TarPath, Entry, &mut dyn Read) -> anyhow::Result<()>,
        with_holes: bool,
    ) -> anyhow::Result<()> {
        let mut reader = self.file.reader()?;
        while let Some((member, mut entry)) = reader.next()? {
            let Member::Images(path) = &member else { continue };
            if MemoryImage::of(path.as_bytes()).is_none() {
                continue;
            }
            if with_holes {
                copy(path, entry, &mut reader.content())?;
            } else {
                let bound = reader.bound();
                let mut content = MemberContent::new(&entry.kind, reader.content(), bound);
                entry.kind = Kind::File { size: entry.kind.len(), map: None };
                copy(path, entry, &mut content)?;
            }
        }
        Ok(())
    }
}

/// Checks that each archive of `chain` is the base of the next one, and that the chain has all pages.
/// The oldest archive comes first. `hint` says how to give the base of the oldest archive.
pub fn check_chain(chain: &[(&str, &Facts)], hint: &str) -> anyhow::Result<()> {
    for (i, (name, facts)) in chain.iter().enumerate() {
        let needed = facts.delta.as_ref().and_then(|delta| delta.base.as_ref());
        match (needed, i.checked_sub(1).and_then(|before| chain.get(before))) {
            (None, None) => {}
            (Some(needed), Some((_, base))) if needed.id == base.id => {}
            (None, Some((base, _))) => {
                bail!("{base}: not the base of {name}, which is a complete archive")
            }
            (Some(needed), Some((base, found))) => {
                bail!("{base}: not the base of {name}: expected {}, found {}", needed.id, found.id)
            }
            (Some(needed), None) => {
                let e = anyhow::anyhow!("{name}: needs its base, {}", needed.id);
                return Err(Hint::on(e, hint));
            }
        }
    }
    check_pages(chain)
}

/// Checks that each page that a pagemap marks as in parent is in the next older images.
fn check_pages(chain: &[(&str, &Facts)]) -> anyhow::Result<()> {
    let levels: Vec<_> = chain
        .iter()
        .rev()
        .flat_map(|(name, facts)| (0..facts.levels.len()).map(move |level| (*name, *facts, level)))
        .collect();
    for (i, (name, facts, level)) in levels.iter().enumerate() {
        for pagemap in facts.pagemaps(*level).filter(|pagemap| pagemap.in_parent() > 0) {
            let below = levels.get(i + 1).and_then(|(_, facts, level)| {
                let parent = facts.pagemaps(*level).find(|parent| parent.name() == pagemap.name())?;
                Some((parent, *facts, *level))
            });
            let page_size = match below {
                Some((parent, facts, level)) if pagemap.present() == 0 => facts.page_size(level, parent),
                _ => facts.page_size(*level, pagemap),
            };
            let mut parent = below.map(|(parent, ..)| parent.runs()).transpose()?;
            if let Some(vaddr) = uncovered(&mut pagemap.runs()?, parent.as_mut(), page_size?)? {
                let path = format!("checkpoint/{}{}", "parent/".repeat(*level), pagemap.name());
                let e = anyhow::anyhow!("{name}: {path}: the page at {vaddr:#x} is in no earlier images");
                return Err(Hint::on(e, "pack a complete archive first, without --base"));
            }
        }
    }
    Ok(())
}

fn is_memory(path: &[u8]) -> bool {
    MemoryImage::of(path).is_some() || pages_number(path).is_some()
}

fn document(member: &Member, content: impl Read) -> anyhow::Result<Vec<u8>> {
    cli::read_document(content, &member.to_string(), member.document_limit())
}
