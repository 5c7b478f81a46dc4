//! `--xor`: stores the pages as XOR with those of the base; and `--flatten` of such an archive.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use checkpoint::Member;
use checkpoint::archive::{ArchiveWriter, MemberContent, Members};
use checkpoint::config_dump::ConfigDump;
use checkpoint::delta::{Delta, Encoding, ImagesId};
use checkpoint::incremental::{HashedReader, ImagesDigest, Memory, MemoryImage, Spool};
use checkpoint::xor::{
    Chain, ChainFault, Decoder, Encoder, Level, MAX_CHAIN, Pagemaps, pages_name, pages_number,
};
use cli::{Hint, Session};
use tartree::{Destination, Entry, Meta, Root, TarPath, Timestamp};

use super::base_archive::BaseArchive;
use super::{ORDER, base, check_container, kept, memory, write_file};
use crate::args::Args;

/// The hint for a chain that is too long.
const RESTART: &str = "pack a complete archive, without --base, or combine the bases: --flatten";

/// The memory images of the directory, and the archives of `--base`.
pub struct XorImages {
    /// The images, by the number of their `pages` image.
    images: BTreeMap<u32, Memory>,
    chain: Chain,
    delta: Delta,
}

impl XorImages {
    /// Reads the archives of `--base`, and checks the newest one. Otherwise, a modified base would be
    /// found only when the new archive is decoded.
    pub fn plan(
        args: &Args,
        images: &Path,
        config: &ConfigDump,
        spool_dir: &Path,
        session: &Session,
    ) -> anyhow::Result<XorImages> {
        let mut spool = Spool::new(cli::spool(Some(spool_dir))?);
        let name = || cli::display_path(images);
        let memory = memory(images, &mut spool).with_context(name)?;
        let id = digest(images).with_context(name)?;
        let paths = &args.incremental.base;
        if paths.len() >= MAX_CHAIN {
            return Err(Hint::on(ChainFault::TooLong, RESTART));
        }
        let mut chain = chain(args, paths.iter().rev(), &mut spool, session, ORDER)?;
        chain.verify()?;
        let Some(newest) = chain.newest() else { bail!("--base: no archive") };
        check_container(args, &newest.config, newest.pagemaps.names(), config, memory.keys())?;
        let base = Some(base(newest.id(), &newest.config));
        let delta = Delta { encoding: Some(Encoding::Xor), id: Some(id), base };
        let mut by_pages = BTreeMap::new();
        for (name, memory) in memory {
            if by_pages.insert(memory.pagemap.pages_id(), memory).is_some() {
                bail!("{}/{name}: refers to the same pages as another pagemap", cli::display_path(images));
            }
        }
        Ok(XorImages { images: by_pages, chain, delta })
    }

    pub fn write_delta<W: Destination>(
        &self,
        writer: &mut ArchiveWriter<W>,
        time: Timestamp,
    ) -> anyhow::Result<()> {
        Ok(writer.small(&Delta::member(), &self.delta.write(), time)?)
    }

    pub fn write<W: Destination>(
        &mut self,
        path: &TarPath,
        meta: Meta,
        writer: &mut ArchiveWriter<W>,
    ) -> anyhow::Result<Option<u64>> {
        let Some((0, MemoryImage::Pages(number))) = MemoryImage::of(path.as_bytes()) else { return Ok(None) };
        let Some(memory) = self.images.get(&number) else { return Ok(None) };
        let encoder = Encoder::new(memory, &mut self.chain)?;
        let member = Member::Images(TarPath::root().child(pages_name(number).as_bytes()));
        let size = encoder.size();
        write_file(writer, &member, meta, size, encoder).with_context(|| member.to_string())?;
        Ok(Some(size))
    }
}

/// Returns the ID that the images in a directory have in a complete archive.
fn digest(images: &Path) -> anyhow::Result<ImagesId> {
    let mut root = Root::open(images)?;
    let mut digest = ImagesDigest::default();
    for name in root.list(b"")? {
        let Some((0, _)) = MemoryImage::of(name.to_bytes()) else { continue };
        let path = TarPath::root().child(name.to_bytes());
        let mut hashed = HashedReader::new(root.open_file(&path).with_context(|| path.to_string())?);
        hashed.drain().with_context(|| path.to_string())?;
        digest.add(&path.to_string(), hashed);
    }
    Ok(digest.finish(None))
}

/// Reads the archives, the newest first, each of which must be the base of the one before it. `hint`
/// says how to give the base of the oldest archive.
fn chain<'p>(
    args: &Args,
    paths: impl Iterator<Item = &'p PathBuf>,
    spool: &mut Spool,
    session: &Session,
    hint: &str,
) -> anyhow::Result<Chain> {
    let mut levels = Vec::new();
    for path in paths {
        let archive = BaseArchive::open(args, path)?;
        session.stage("reading", archive.size());
        let name = archive.name.clone();
        levels.push(Level::survey(archive.into_file(), spool).context(name)?);
    }
    Chain::new(levels).map_err(|fault| {
        let hint = match &fault {
            ChainFault::Missing { .. } => hint,
            ChainFault::LeavesOut { .. } => {
                "combine it with its bases first: ckpt-pack --from-archive FILE --base BASE --flatten"
            }
            ChainFault::TooLong => RESTART,
            ChainFault::Complete { .. } => "leave out this --base",
            ChainFault::Other { .. } => return fault.into(),
        };
        Hint::on(fault, hint)
    })
}

/// `--flatten` of an archive whose pages are stored as XOR. No memory is copied to a temporary file.
pub struct XorFlattening {
    chain: Chain,
    pagemaps: Pagemaps,
    digest: ImagesDigest,
    id: ImagesId,
}

impl XorFlattening {
    /// Reads the archive `file` and the archives of `--base`.
    pub fn read(args: &Args, file: &Path, session: &Session) -> anyhow::Result<XorFlattening> {
        let mut spool = Spool::new(cli::spool(None)?);
        let newest = file.to_owned();
        let paths = std::iter::once(&newest).chain(args.incremental.base.iter().rev());
        let hint = "add --base FILE; if FILE needs other archives, give them first";
        let chain = chain(args, paths, &mut spool, session, hint)?;
        let Some((newest, chain)) = chain.split_newest() else { bail!("no archive") };
        let id = newest.id();
        Ok(XorFlattening { chain, digest: newest.digest, pagemaps: newest.pagemaps, id })
    }

    /// Writes the member in its complete form, or leaves it out if only the encoded archive has it.
    /// Returns `false` if the member is to be copied as it is.
    pub fn write<W: Destination>(
        &mut self,
        member: &Member,
        entry: &Entry,
        reader: &mut Members<'_>,
        writer: &mut ArchiveWriter<W>,
    ) -> anyhow::Result<bool> {
        let Member::Images(path) = member else { return Ok(false) };
        if member.is_delta() {
            return Ok(true);
        }
        let Some(number) = pages_number(path.as_bytes()) else { return Ok(false) };
        let bound = reader.bound();
        let content = MemberContent::new(&entry.kind, reader.content(), bound);
        let pagemap = self.pagemaps.of_pages(&path.to_string(), number)?.clone();
        let decoder = Decoder::new(&pagemap, entry.kind.len(), content, &mut self.chain)?;
        let size = decoder.size();
        let name = format!("pages-{number}.img");
        let decoded = Member::Images(TarPath::root().child(name.as_bytes()));
        let mut hashed = HashedReader::new(decoder);
        write_file(writer, &decoded, kept(&entry.meta), size, &mut hashed)
            .with_context(|| member.to_string())?;
        self.digest.add(&name, hashed);
        Ok(true)
    }

    /// Checks the decoded images, once all members were copied.
    ///
    /// # Errors
    /// Returns an error if an archive was modified.
    pub fn check(&self) -> anyhow::Result<()> {
        let found = self.digest.finish(None);
        if found != self.id {
            bail!("checkpoint/: the archive or its base was modified: expected {}, found {found}", self.id);
        }
        Ok(())
    }
}
