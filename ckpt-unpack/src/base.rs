//! `--base`: unpacks the memory images of earlier archives into directories `parent`, in which CRIU
//! looks for the pages that the newest archive leaves out.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use checkpoint::Member;
use checkpoint::archive::{ArchiveFile, MemberContent};
use checkpoint::criu::check::{Image, Source, check_levels, check_pagemaps, check_parents};
use checkpoint::delta::{Base, Delta, ImagesId};
use checkpoint::incremental::{HashedReader, ImagesDigest, MemoryImage, Spool};
use checkpoint::xor::{Chain, ChainFault, Level};
use cli::{Hint, Session};
use tartree::{Entry, Kind, Root, TarPath};

use crate::archive_input::{self, OpenedAs};
use crate::args::Args;
use crate::rounds::MAX_ROUNDS;

/// The archives of `--base`.
#[derive(Default)]
pub struct Bases {
    archives: Vec<ArchiveFile>,
    /// The number of archives that were given.
    number: usize,
    /// The newest archive, once all are unpacked.
    newest: Option<(String, ImagesId)>,
}

/// Writes a memory image of a base at a path in the image directory.
pub type WriteImage<'w> = dyn FnMut(&TarPath, &Entry, &mut dyn Read) -> anyhow::Result<()> + 'w;

/// The facts about one base.
struct Facts {
    id: ImagesId,
    base: Option<Base>,
    /// The number of directories `parent` in the archive.
    levels: usize,
}

impl Bases {
    /// Opens the archives, the oldest first.
    pub fn open(paths: &[PathBuf], args: &Args) -> anyhow::Result<Bases> {
        let open = |path: &PathBuf| {
            let (archive, found) = archive_input::open_found(Some(path), args)?;
            if found == OpenedAs::Pod && args.container.is_none() {
                let e = anyhow::anyhow!("--base: {} is a pod archive", archive.name());
                let hint = "write the archive of one container: ckpt-unpack --cat NAME.tar FILE";
                return Err(Hint::on(e, hint));
            }
            Ok(archive)
        };
        let archives = paths.iter().map(open).collect::<Result<_, _>>()?;
        Ok(Bases { archives, number: paths.len(), newest: None })
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.number == 0
    }

    /// Checks, before an archive of `--base` is read, that `number` archives can be right.
    ///
    /// # Errors
    /// Returns an error if the base is missing, or if a complete archive has a base.
    pub fn check_number(number: usize, delta: Option<&Delta>) -> anyhow::Result<()> {
        match delta.and_then(|delta| delta.base.as_ref()) {
            Some(base) if number == 0 && base.id.is_digest() => Err(missing("checkpoint/delta.json", base)),
            None if number > 0 => Err(Hint::on(
                anyhow::anyhow!("--base: the archive names no base in checkpoint/delta.json"),
                "leave out --base",
            )),
            _ => Ok(()),
        }
    }

    /// Reads all archives, calls `write` for each memory image, and checks that each archive is the
    /// base of the next one.
    ///
    /// # Errors
    /// Returns an error if an archive cannot be read or belongs to another chain.
    pub fn unpack(&mut self, write: &mut WriteImage<'_>, session: &Session) -> anyhow::Result<()> {
        let mut above = TarPath::root();
        let mut needed: Option<(String, Option<Base>)> = None;
        for archive in self.archives.iter_mut().rev() {
            session.stage("unpacking the base", archive.size());
            above = above.child(b"parent");
            let name = archive.name().to_owned();
            let facts = unpack_one(archive, &above, write).with_context(|| name.clone())?;
            match needed {
                Some((newer, Some(base))) if base.id != facts.id => {
                    bail!("{name}: not the base of {newer}: expected {}, found {}", base.id, facts.id)
                }
                Some((newer, None)) => bail!("{name}: not the base of {newer}, which is complete"),
                Some(_) => {}
                None => self.newest = Some((name.clone(), facts.id)),
            }
            for _ in 0..facts.levels {
                above = above.child(b"parent");
            }
            needed = Some((name, facts.base));
        }
        match needed {
            Some((name, Some(base))) => Err(missing(&name, &base)),
            _ => Ok(()),
        }
    }

    /// Reads the archives to decode images with them. Keeps pagemaps in `spool`.
    ///
    /// # Errors
    /// Returns an error if an archive cannot be read twice, if the newest archive is not `base`, or
    /// if another archive belongs to another chain.
    pub fn chain(&mut self, base: &Base, spool: &mut Spool, session: &Session) -> anyhow::Result<Chain> {
        let mut levels = Vec::new();
        for archive in std::mem::take(&mut self.archives).into_iter().rev() {
            let name = archive.name().to_owned();
            if !archive.can_rewind() {
                bail!("{name}: expected a file, because it is read twice");
            }
            session.stage("reading the base", archive.size());
            let level = Level::survey(archive, spool).with_context(|| name.clone())?;
            if levels.is_empty() && level.id() != base.id {
                return Err(another(&name, base, &level.id()));
            }
            levels.push(level);
        }
        if levels.is_empty() {
            return Err(missing("checkpoint/delta.json", base));
        }
        Chain::new(levels).map_err(|fault| match &fault {
            ChainFault::Missing { name, base } => missing(name, base),
            ChainFault::LeavesOut { .. } => Hint::on(
                fault,
                "combine it with its bases first: ckpt-pack --from-archive FILE --base BASE --flatten",
            ),
            ChainFault::Complete { .. } => Hint::on(fault, "leave out this --base"),
            _ => fault.into(),
        })
    }

    /// Checks that the newest of the archives, which were unpacked, is the one that `delta` names.
    ///
    /// # Errors
    /// Returns an error that names both IDs.
    pub fn check(&self, delta: Option<&Delta>) -> anyhow::Result<()> {
        Bases::check_number(self.number, delta)?;
        match (delta.and_then(|delta| delta.base.as_ref()), &self.newest) {
            (Some(base), Some((name, found))) if base.id != *found => Err(another(name, base, found)),
            _ => Ok(()),
        }
    }
}

/// Returns the error that the archive `name` is not `base`.
fn another(name: &str, base: &Base, found: &ImagesId) -> anyhow::Error {
    let e = anyhow::anyhow!("{name}: another archive, or modified: expected {}, found {found}", base.id);
    Hint::on(e, format!("give {}", described(base)))
}

/// Returns the error that the base of `object` is missing.
fn missing(object: &str, base: &Base) -> anyhow::Error {
    let e = anyhow::anyhow!("{object}: the images need those of {}", described(base));
    Hint::on(e, "add --base FILE; if FILE needs other archives, give them first")
}

/// Describes a base that the user has to find.
pub fn described(base: &Base) -> String {
    let time =
        base.checkpointed.as_ref().map(|time| format!(" of {}", cli::escape(time))).unwrap_or_default();
    let container =
        base.container.as_ref().map(|id| format!(" of container {}", cli::escape(id))).unwrap_or_default();
    format!("the checkpoint{time}{container} ({})", base.id)
}

fn unpack_one(
    archive: &mut ArchiveFile,
    above: &TarPath,
    write: &mut WriteImage<'_>,
) -> anyhow::Result<Facts> {
    let (mut digest, mut base, mut levels, mut found) = (ImagesDigest::default(), None, 0, false);
    let mut reader = archive.reader()?;
    while let Some((member, entry)) = reader.next()? {
        match &member {
            Member::Images(_) if member.is_delta() => {
                let name = member.to_string();
                let bytes = cli::read_document(reader.content(), &name, member.document_limit())?;
                let delta = Delta::read(&bytes)?;
                if delta.is_xor() {
                    bail!("{member}: the pages are stored as XOR, but those of the newer archive are not");
                }
                base = delta.base;
            }
            Member::Images(path) => {
                if matches!(entry.kind, Kind::Symlink { .. }) {
                    bail!(
                        "{member}: the archive needs the images of a pre-checkpoint, which is not supported"
                    );
                }
                let Some((level, _)) = MemoryImage::of(path.as_bytes()) else { continue };
                (levels, found) = (levels.max(level), true);
                let bound = reader.bound();
                let content = MemberContent::new(&entry.kind, reader.content(), bound);
                let mut hashed = HashedReader::new(content);
                let whole = Entry { kind: Kind::File { size: entry.kind.len(), map: None }, ..entry };
                write(&above.child(path.as_bytes()), &whole, &mut hashed)?;
                hashed.drain().with_context(|| member.to_string())?;
                digest.add(&path.to_string(), hashed);
            }
            _ => {}
        }
    }
    reader.finish()?;
    match found {
        true => Ok(Facts { id: digest.finish(base.as_ref().map(|base| &base.id)), base, levels }),
        false => bail!("checkpoint/: holds no memory"),
    }
}

/// Images whose directory `parent` is another directory.
struct Linked {
    images: Root,
    parent: Root,
}

impl Linked {
    fn find<'n>(&mut self, name: &'n str) -> (&mut Root, &'n str) {
        match name.strip_prefix("parent/") {
            Some(below) => (&mut self.parent, below),
            None => (&mut self.images, name),
        }
    }
}

impl Source for Linked {
    fn read(&mut self, name: &str) -> io::Result<Option<Image>> {
        let (root, name) = self.find(name);
        Source::read(root, name)
    }

    fn size(&mut self, name: &str) -> io::Result<Option<u64>> {
        let (root, name) = self.find(name);
        Source::size(root, name)
    }

    fn end_of_data(&mut self, name: &str) -> io::Result<u64> {
        let (root, name) = self.find(name);
        Source::end_of_data(root, name)
    }

    fn names(&mut self) -> Vec<String> {
        Source::names(&mut self.images)
    }
}

/// Checks that all pages are there that the unpacked images in `dir` leave out: those of `--base`,
/// those in the archive, and those of earlier rounds, which may be in `bundle`.
pub fn check_unpacked(dir: &Path, bundle: &Path, is_round: bool) -> anyhow::Result<()> {
    let name = if is_round { "pre-checkpoint" } else { "checkpoint" };
    let images = dir.join(name);
    if !images.is_dir() {
        return Ok(());
    }
    let parent = images.join("parent").symlink_metadata().ok();
    let is_link = parent.as_ref().is_some_and(|meta| meta.is_symlink());
    let here = dir.join("pre-checkpoint");
    let previous = if is_link && here.is_dir() { here } else { bundle.join("pre-checkpoint") };
    let is_linked = (is_round || is_link) && previous.is_dir();
    let mut root = Root::open(&images).context(name)?;
    let mut problems = if is_round || parent.is_some() { check_pagemaps(&mut root) } else { Vec::new() };
    problems.extend(match is_linked {
        true => {
            let parent = Root::open(&previous).with_context(|| cli::display_path(&previous))?;
            check_levels(&mut Linked { images: root, parent }, MAX_ROUNDS)
        }
        false => check_parents(&mut root),
    });
    match problems.into_iter().next() {
        Some(problem) => bail!("{name}/{problem}"),
        None => Ok(()),
    }
}
