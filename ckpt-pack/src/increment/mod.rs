//! `--base`: leaves out memory pages that an earlier archive holds.
//!
//! The archive of a base is read in one pass for each level of its chain, usually once, and its pages
//! are compared with those in the image directory while they are read. A compressed base needs no
//! temporary copy.
//!
//! `--xor` stores the pages that changed as XOR with those of the base.

pub mod args;
mod base_archive;
mod flatten;
mod write;
mod xor;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, bail};
use checkpoint::Member;
use checkpoint::archive::ArchiveWriter;
use checkpoint::config_dump::ConfigDump;
use checkpoint::delta::{Base, Delta, ImagesId};
use checkpoint::incremental::{
    FileRange, Marks, Memory, MemoryImage, Pagemap, Spool, compare, write_pagemap,
};
use cli::{Hint, Session};
use tartree::{Destination, Entry, Kind, Meta, Root, TarPath};

use crate::args::Args;
use base_archive::{BaseArchive, Facts, PagesImage, check_chain};
use xor::XorImages;

pub use flatten::Flattening;
pub use xor::XorFlattening;

/// The hint for archives of `--base` in the wrong order.
const ORDER: &str = "give the archives that a base needs first: --base FULL --base DELTA";

/// The memory images of the directory that are written in another form.
pub enum Increment {
    /// Without the pages that are equal in the base.
    Changes(Box<Changes>),
    /// As XOR with the pages of the base.
    Xor(Box<XorImages>),
}

impl Increment {
    /// Compares the images in `images` with the archives of `--base`. `config` is that of the new
    /// archive. Temporary files are created in `spool_dir`.
    pub fn plan(
        args: &Args,
        images: &Path,
        config: &ConfigDump,
        spool_dir: &Path,
        session: &Session,
    ) -> anyhow::Result<Increment> {
        refuse_base(images)?;
        Ok(match args.incremental.xor {
            true => Increment::Xor(Box::new(XorImages::plan(args, images, config, spool_dir, session)?)),
            false => Increment::Changes(Box::new(Changes::plan(args, images, config, spool_dir, session)?)),
        })
    }
}

/// The memory images without the pages that are equal in the base.
pub struct Changes {
    /// The images, by the name of the pagemap.
    images: BTreeMap<String, Replaced>,
    /// The names of the pagemaps, by the number of their `pages` image.
    by_pages: BTreeMap<u32, String>,
    /// The archives of `--base`, the newest first, with `--self-contained`.
    parents: Vec<BaseArchive>,
    delta: Delta,
}

/// A pagemap and its pages.
struct Replaced {
    memory: Memory,
    marks: Marks,
    /// The new pagemap.
    pagemap: Option<FileRange>,
}

impl Changes {
    fn plan(
        args: &Args,
        images: &Path,
        config: &ConfigDump,
        spool_dir: &Path,
        session: &Session,
    ) -> anyhow::Result<Changes> {
        let mut pagemaps = Spool::new(cli::spool(Some(spool_dir))?);
        let memory = memory(images, &mut pagemaps).with_context(|| cli::display_path(images))?;
        let replaced = |memory| Replaced { memory, marks: Marks::default(), pagemap: None };
        let mut new: BTreeMap<_, _> =
            memory.into_iter().map(|(name, memory)| (name, replaced(memory))).collect();
        let paths = &args.incremental.base;
        let mut bases = Vec::new();
        for path in paths {
            bases.push(BaseArchive::open(args, path)?);
        }
        let mut found: Vec<Facts> = Vec::new();
        let mut is_comparing = true;
        for base in bases.iter_mut().rev() {
            session.stage("comparing", base.size());
            let (facts, left) = compare_with(base, &mut new, &mut pagemaps, is_comparing)?;
            is_comparing = left;
            found.push(facts);
        }
        let chain: Vec<_> = bases.iter().map(|base| base.name.as_str()).zip(found.iter().rev()).collect();
        check_chain(&chain, ORDER)?;
        let Some(newest) = found.first() else { bail!("--base: no archive") };
        let theirs = newest.levels.first().into_iter().flat_map(BTreeMap::values).map(Pagemap::name);
        check_container(args, &newest.config, theirs, config, new.keys())?;
        Changes::replace(&mut new, &mut pagemaps).with_context(|| cli::display_path(spool_dir))?;
        let delta = Delta { base: Some(base(newest.id.clone(), &newest.config)), ..Delta::default() };
        let (equal, all) = new.values().fold((0u64, 0u64), |(equal, all), image| {
            (equal + image.marks.equal_pages(), all + image.memory.pagemap.present())
        });
        session.note(format_args!("checkpoint/: {equal} of {all} memory pages are in the base"));
        let by_pages =
            new.iter().map(|(name, image)| (image.memory.pagemap.pages_id(), name.clone())).collect();
        let parents = if args.incremental.self_contained { bases } else { Vec::new() };
        Ok(Changes { images: new, by_pages, parents: parents.into_iter().rev().collect(), delta })
    }

    /// Makes the new pagemaps of images that have equal pages.
    fn replace(new: &mut BTreeMap<String, Replaced>, spool: &mut Spool) -> anyhow::Result<()> {
        new.retain(|_, image| image.marks.equal_pages() > 0);
        for image in new.values_mut() {
            let mut bytes = spool.writer();
            write_pagemap(&image.memory, &image.marks, &mut bytes)?;
            image.pagemap = Some(bytes.finish()?);
        }
        Ok(())
    }
}

/// Opens the memory images in a directory, by the names of their pagemaps. Pagemaps are copied to
/// `spool`, so that only one file stays open for each process.
fn memory(images: &Path, spool: &mut Spool) -> anyhow::Result<BTreeMap<String, Memory>> {
    let mut root = Root::open(images)?;
    let mut found = BTreeMap::new();
    for name in root.list(b"")? {
        let name = name.to_bytes();
        let Some((0, MemoryImage::Pagemap(name))) = MemoryImage::of(name) else { continue };
        let mut open = |name: &str| -> anyhow::Result<File> {
            root.open_file(&TarPath::root().child(name.as_bytes())).with_context(|| name.to_owned())
        };
        let pagemap = Pagemap::read(name, spool.append(open(name)?)?)?;
        // Without present pages, there need not be a pages image.
        if pagemap.present() > 0 {
            let pages = open(&format!("pages-{}.img", pagemap.pages_id()))?;
            found.insert(name.to_owned(), Memory::new(pagemap, FileRange::whole(pages)?)?);
        }
    }
    Ok(found)
}

/// Writes the file `member` with `size` bytes of `content`.
fn write_file<W: Destination>(
    writer: &mut ArchiveWriter<W>,
    member: &Member,
    meta: Meta,
    size: u64,
    content: impl Read,
) -> checkpoint::Result<()> {
    let entry = Entry { path: member.path(), kind: Kind::File { size, map: None }, meta };
    writer.verbatim(member, None, &entry, size, content)
}

/// Returns what a member keeps of its metadata: its permissions and modification time.
fn kept(meta: &Meta) -> Meta {
    Meta { mode: meta.mode & 0o777, mtime: meta.mtime, ..Meta::default() }
}

/// Returns the facts about a base for the document of the new archive.
fn base(id: ImagesId, config: &ConfigDump) -> Base {
    let text = |key| config.text(key).map(str::to_owned);
    Base { id, container: text("id"), checkpointed: text("checkpointedTime") }
}

/// Refuses a directory with images that need other images.
fn refuse_base(images: &Path) -> anyhow::Result<()> {
    for name in ["parent", "delta.json"] {
        let path = images.join(name);
        let Ok(meta) = path.symlink_metadata() else { continue };
        let e = anyhow::anyhow!("{}: the dump already has a base", cli::display_path(&path));
        let hint = match meta.is_dir() {
            true => "pack without --base, then use --from-archive FILE --flatten",
            false => "dump the container without --parent-path, or pack it without --base",
        };
        return Err(Hint::on(e, hint));
    }
    Ok(())
}

/// Compares the memory with the pages of one archive. Returns the facts about the archive, and
/// whether its own base may hold more pages. Without `is_comparing`, only reads the facts.
fn compare_with(
    base: &mut BaseArchive,
    new: &mut BTreeMap<String, Replaced>,
    spool: &mut Spool,
    is_comparing: bool,
) -> anyhow::Result<(Facts, bool)> {
    let mut one = |level: usize, image: &PagesImage<'_>, mut content: &mut dyn std::io::Read| {
        let replaced = new.get_mut(image.pagemap.name()).filter(|_| image.level == level && is_comparing);
        let Some(Replaced { memory, marks, .. }) = replaced else { return Ok(()) };
        compare(memory, marks, image.pagemap, &mut content, image.size).context("checkpoint")
    };
    let facts = base.survey(spool, &mut |image, content| one(0, image, content))?;
    if facts.not_visited.iter().any(|(level, _)| *level == 0) {
        let wanted = |level, number| facts.not_visited.contains(&(level, number));
        base.pages(&facts, &wanted, &mut |image, content| one(0, image, content))?;
    }
    let mut is_comparing = is_comparing;
    for level in 1..=facts.levels.len() {
        let descended: Vec<bool> = new.values_mut().map(|image| image.marks.descend()).collect();
        is_comparing &= descended.contains(&true);
        if level < facts.levels.len() && is_comparing {
            let mut visit = |image: &PagesImage<'_>, mut content: &mut dyn std::io::Read| {
                let Some(Replaced { memory, marks, .. }) = new.get_mut(image.pagemap.name()) else {
                    return Ok(());
                };
                compare(memory, marks, image.pagemap, &mut content, image.size).context("checkpoint")
            };
            base.pages(&facts, &|found, _| found == level, &mut visit)?;
        }
    }
    Ok((facts, is_comparing))
}

/// Checks that the newest of the archives `paths` is a checkpoint of the same container and of the
/// same processes. `theirs` and `ours` are the names of the pagemaps.
fn check_container<'n>(
    args: &Args,
    base: &ConfigDump,
    theirs: impl Iterator<Item = &'n str>,
    config: &ConfigDump,
    ours: impl Iterator<Item = &'n String>,
) -> anyhow::Result<()> {
    let name = || args.incremental.base.last().map(cli::display_path).unwrap_or_default();
    if let (Some(theirs), Some(ours)) = (base.text("id"), config.text("id")) {
        if theirs != ours {
            let e = anyhow::anyhow!(
                "{}: a checkpoint of another container: expected the ID {ours}, found {theirs}",
                name()
            );
            // --id conflicts with a config.dump that is given.
            let has_document = args.input.member.iter().any(|(member, _)| member == "config.dump")
                || args.input.bundle.as_ref().is_some_and(|bundle| bundle.join("config.dump").exists());
            let hint = match () {
                () if args.container.id.is_some() => "choose an earlier archive of this container".to_owned(),
                () if has_document => {
                    "choose an earlier archive of this container, or edit the ID in config.dump".to_owned()
                }
                () => {
                    format!("choose an earlier archive of this container, or declare its ID: --id {theirs}")
                }
            };
            return Err(Hint::on(e, hint));
        }
    }
    let ours: BTreeSet<&str> = ours.map(String::as_str).collect();
    let mut theirs = theirs;
    match ours.first() {
        Some(expected) if !theirs.any(|pagemap| ours.contains(pagemap)) => {
            bail!("{}: a checkpoint of other processes: it has no checkpoint/{expected}", name())
        }
        _ => Ok(()),
    }
}
