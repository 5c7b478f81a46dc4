//! Archives whose memory pages are stored as XOR with those of their base (`ckpt-pack --xor`).

use std::io::{self, Read};

use anyhow::{Context, bail};
use checkpoint::Member;
use checkpoint::criu::check::Collected;
use checkpoint::delta::{Delta, ImagesId};
use checkpoint::incremental::{HashedReader, ImagesDigest, MemoryImage, Pagemap, Spool};
use checkpoint::xor::{Chain, Decoder, Header, Pagemaps, pages_number};
use cli::{Hint, Session};
use tartree::{Kind, SparseMap, TarPath};

use crate::base::Bases;

/// Decodes the memory images of an archive while they are read.
pub struct Decoding {
    chain: Chain,
    pagemaps: Pagemaps,
    digest: ImagesDigest,
    id: ImagesId,
    /// The pagemaps are kept in an unnamed file until their pages follow.
    spool: Spool,
}

/// Receives an image: its path in the image directory, its size, and its content.
pub type WriteImage<'w> = dyn FnMut(&TarPath, u64, &mut dyn Read) -> anyhow::Result<()> + 'w;

impl Decoding {
    /// Reads the archives of `--base`, which `delta` must name.
    ///
    /// # Errors
    /// Returns an error if they are other archives, or if one of them cannot be read.
    pub fn new(bases: &mut Bases, delta: &Delta, session: &Session) -> anyhow::Result<Decoding> {
        let mut spool = Spool::new(cli::spool(None)?);
        // Delta::read requires both.
        let (Some(id), Some(base)) = (&delta.id, &delta.base) else { bail!("{}: no base", Delta::member()) };
        let chain = bases.chain(base, &mut spool, session)?;
        let (pagemaps, digest) = (Pagemaps::default(), ImagesDigest::default());
        Ok(Decoding { chain, pagemaps, digest, id: id.clone(), spool })
    }

    /// Passes a memory image to `write` as it was dumped. `content` has its holes as zeros. Returns
    /// `false` if the image at `path` is not a memory image, and was not read.
    ///
    /// # Errors
    /// Returns an error if an archive is damaged, and the errors of `write`.
    pub fn image(
        &mut self,
        path: &TarPath,
        kind: &Kind,
        content: &mut dyn Read,
        write: &mut WriteImage<'_>,
    ) -> anyhow::Result<bool> {
        let object = || Member::Images(path.clone()).to_string();
        if let Some(number) = pages_number(path.as_bytes()) {
            let pagemap = self.pagemaps.of_pages(&object(), number)?.clone();
            let decoder =
                Decoder::new(&pagemap, kind.len(), content, &mut self.chain).context("checkpoint")?;
            let size = decoder.size();
            let name = format!("pages-{number}.img");
            let mut hashed = HashedReader::new(decoder);
            write(&TarPath::root().child(name.as_bytes()), size, &mut hashed).with_context(object)?;
            self.digest.add(&name, hashed);
            return Ok(true);
        }
        let Some((level, image)) = MemoryImage::of(path.as_bytes()) else { return Ok(false) };
        if level > 0 {
            bail!("{}: pages stored as XOR cannot have a directory parent", object());
        }
        let mut hashed = HashedReader::new(content);
        match image {
            MemoryImage::Pagemap(name) => {
                let bytes = self.spool.append(&mut hashed).with_context(object)?;
                write(path, bytes.len(), &mut bytes.reader())?;
                self.pagemaps.add(Pagemap::read(name, bytes).context("checkpoint")?)?;
            }
            MemoryImage::Pages(_) => write(path, kind.len(), &mut hashed)?,
        }
        self.digest.add(&path.to_string(), hashed);
        Ok(true)
    }

    /// Checks that the images were decoded correctly, once all were read.
    ///
    /// # Errors
    /// Returns an error that names both IDs.
    pub fn check(&self) -> anyhow::Result<()> {
        let found = self.digest.finish(None);
        if found != self.id {
            bail!("checkpoint/: the archive or its base was modified: expected {}, found {found}", self.id);
        }
        Ok(())
    }
}

/// Adds the image that `path` has once it is decoded. Its content is not known without the base.
/// Returns `false` if the image is not stored as XOR, and was not read.
///
/// # Errors
/// Returns an error if the header of the image is damaged.
pub fn add_undecoded(
    path: &TarPath,
    kind: &Kind,
    content: &mut impl Read,
    images: &mut Collected,
) -> anyhow::Result<bool> {
    let Some(number) = pages_number(path.as_bytes()) else { return Ok(false) };
    let size = Header::read(&path.to_string(), kind.len(), content).context("checkpoint")?.decoded();
    // The map says where the data ends, which is otherwise found by reading it.
    let kind = Kind::File { size, map: Some(SparseMap(vec![(0, size)])) };
    images.add(&format!("pages-{number}.img"), &kind, &mut io::empty())?;
    Ok(true)
}

/// Returns an error if the image `image` is stored as XOR, for readers of memory.
pub fn refuse(image: &str) -> anyhow::Result<()> {
    if pages_number(image.as_bytes()).is_none() {
        return Ok(());
    }
    let e = anyhow::anyhow!("checkpoint/{image}: the pages are stored as XOR with those of a base");
    let hint = "combine the archives first: ckpt-pack --from-archive ARCHIVE --base FILE --flatten -o FULL";
    Err(Hint::on(e, hint))
}
