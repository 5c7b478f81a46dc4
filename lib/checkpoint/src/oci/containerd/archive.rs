//! Converts a checkpoint of containerd to a checkpoint archive.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, Write};

use tartree::{END_OF_ARCHIVE, Entry, Item, Kind, Limits, Meta, RootName, TarPath, Timestamp, padding};

use super::Parts;
use crate::compress::Bound;
use crate::error::{Error, Result};
use crate::member::Member;
use crate::oci::blob::Blob;
use crate::oci::merge::{BUFFER, reader};

/// The name of the image that CRIU writes last.
const INVENTORY: &[u8] = b"inventory.img";

/// Writes `parts` to `into` as a checkpoint archive.
///
/// # Errors
/// Returns an error if a part does not match its digest, if the tar of CRIU's images is damaged, or
/// if writing to `into` fails.
pub fn archive(mut parts: Parts, into: File, limits: &Limits, bound: &Bound) -> Result<Blob> {
    parts.criu.prove()?;
    parts.layer.as_mut().map_or(Ok(()), Blob::prove)?;
    let mut tar = Tar { out: BufWriter::with_capacity(BUFFER, into) };
    tar.small(&Member::SpecDump, &parts.spec, Timestamp::default())?;
    let (images, mut time) = (Member::Images(TarPath::root()).path(), Timestamp::default());
    let dir = Meta { mode: 0o700, ..Meta::default() };
    tar.header(&Entry { path: images.clone(), kind: Kind::Dir, meta: dir })?;
    let mut criu = reader(&parts.criu, limits, &bound.anew())?;
    while let Some(item) = criu.next()? {
        // The reader of the archive checks the type and name of each member.
        let Item::Entry(entry) = item else { continue };
        if entry.path.is_root() {
            continue;
        }
        if entry.path.as_bytes() == INVENTORY {
            time = entry.meta.mtime;
        }
        let path = [images.as_bytes(), b"/", entry.path.as_bytes()].concat();
        let path = TarPath::parse(&path).map_err(tartree::Error::from)?;
        tar.header(&Entry { path, ..entry })?;
        tar.content(&mut criu.content())?;
    }
    criu.drain()?;
    parts.config.set("checkpointedTime", Timestamp { nsec: 0, ..time }.to_string());
    tar.small(&Member::ConfigDump, &parts.config.write(), time)?;
    if let Some(layer) = parts.layer {
        tar.header(&Entry::file(Member::RootfsDiff.path(), layer.size, Member::RootfsDiff.mode(), time))?;
        tar.content(&mut layer.open()?)?;
    }
    tar.finish()
}

/// The archive that is written.
struct Tar {
    out: BufWriter<File>,
}

impl Tar {
    fn header(&mut self, entry: &Entry) -> Result<()> {
        let mut header = Vec::new();
        tartree::encode(&mut header, entry, RootName::Dot);
        self.out.write_all(&header).map_err(stream)
    }

    fn content(&mut self, content: &mut impl Read) -> Result<()> {
        let size = io::copy(content, &mut self.out).map_err(stream)?;
        self.out.write_all(&[0; 512][..padding(size) as usize]).map_err(stream)
    }

    fn small(&mut self, member: &Member, bytes: &[u8], time: Timestamp) -> Result<()> {
        self.header(&Entry::file(member.path(), bytes.len() as u64, member.mode(), time))?;
        self.content(&mut &bytes[..])
    }

    fn finish(mut self) -> Result<Blob> {
        self.out.write_all(&END_OF_ARCHIVE).map_err(stream)?;
        let mut file = self.out.into_inner().map_err(|e| stream(e.into_error()))?;
        let size = file.stream_position().map_err(stream)?;
        Ok(Blob { file, offset: 0, size, digest: None })
    }
}

fn stream(e: io::Error) -> Error {
    Error::from(tartree::Error::Stream(e))
}
