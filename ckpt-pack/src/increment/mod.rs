//! `--base`: leaves out memory pages that an earlier archive holds.
//!
//! The archive of a base is read in one pass for each level of its chain, usually once, and its pages
//! are compared with those in the image directory while they are read. A compressed base needs no
//! temporary copy.

pub mod args;
mod base_archive;
mod flatten;
mod write;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use checkpoint::config_dump::ConfigDump;
use checkpoint::delta::{Base, Delta};
use checkpoint::incremental::{
    FileRange, Marks, Memory, MemoryImage, Pagemap, Spool, compare, write_pagemap,
};
use cli::{Hint, Session};
use tartree::{Root, TarPath};

use crate::args::Args;
use base_archive::{BaseArchive, Facts, PagesImage, check_chain};

pub use flatten::Flattening;

/// The memory images of the directory that are written in another form.
pub struct Increment {
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
        let mut pagemaps = Spool::new(cli::spool(Some(spool_dir))?);
        let mut new = Increment::memory(images, &mut pagemaps).with_context(|| cli::display_path(images))?;
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
        check_chain(&chain, "give the archives that a base needs first: --base FULL --base DELTA")?;
        let Some(newest) = found.first() else { bail!("--base: no archive") };
        check_container(paths, newest, config, &new)?;
        Increment::replace(&mut new, &mut pagemaps).with_context(|| cli::display_path(spool_dir))?;
        let delta = Delta {
            id: None,
            base: Some(Base {
                id: newest.id.clone(),
                container: newest.config.text("id").map(str::to_owned),
                checkpointed: newest.config.text("checkpointedTime").map(str::to_owned),
            }),
        };
        let (equal, all) = new.values().fold((0u64, 0u64), |(equal, all), image| {
            (equal + image.marks.equal_pages(), all + image.memory.pagemap.present())
        });
        session.note(format_args!("checkpoint/: {equal} of {all} memory pages are in the base"));
        let by_pages =
            new.iter().map(|(name, image)| (image.memory.pagemap.pages_id(), name.clone())).collect();
        let parents = if args.incremental.self_contained { bases } else { Vec::new() };
        Ok(Increment { images: new, by_pages, parents: parents.into_iter().rev().collect(), delta })
    }

    /// Opens the memory images in a directory. Pagemaps are copied to `spool`, so that only one file
    /// stays open for each process.
    fn memory(images: &Path, spool: &mut Spool) -> anyhow::Result<BTreeMap<String, Replaced>> {
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
                let memory = Memory::new(pagemap, FileRange::whole(pages)?)?;
                let marks = Marks::default();
                found.insert(name.to_owned(), Replaced { memory, marks, pagemap: None });
            }
        }
        Ok(found)
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

/// Checks that the base is a checkpoint of the same container and of the same processes.
fn check_container(
    paths: &[PathBuf],
    base: &Facts,
    config: &ConfigDump,
    new: &BTreeMap<String, Replaced>,
) -> anyhow::Result<()> {
    let name = || paths.last().map(cli::display_path).unwrap_or_default();
    if let (Some(theirs), Some(ours)) = (base.config.text("id"), config.text("id")) {
        if theirs != ours {
            let e = anyhow::anyhow!(
                "{}: a checkpoint of another container: expected the ID {ours}, found {theirs}",
                name()
            );
            return Err(Hint::on(
                e,
                "choose an earlier archive of this container, or declare its ID: --id ID",
            ));
        }
    }
    let pagemaps = base.levels.first();
    let mut theirs = pagemaps.into_iter().flat_map(BTreeMap::values);
    if !new.is_empty() && !theirs.any(|pagemap| new.contains_key(pagemap.name())) {
        let expected = new.keys().next().map(String::as_str).unwrap_or_default();
        bail!("{}: a checkpoint of other processes: it has no checkpoint/{expected}", name());
    }
    Ok(())
}
