//! Merges several layers of an image into one archive.
//!
//! The image of a checkpoint has one layer if an engine or `buildah add` wrote it, and several
//! layers if a build with more steps wrote it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};

use tartree::{END_OF_ARCHIVE, Item, Kind, Limits, Reader, RootName, TarPath, padding};

use super::blob::Blob;
use crate::compress::{Bound, Decoder};
use crate::error::{Error, Result};
use crate::rootfs::whiteout::{Whiteout, Whiteouts};

/// The size of each buffer, in bytes.
pub(super) const BUFFER: usize = 256 << 10;

/// Writes the entries of `layers`, the lowest layer first, to `into` as one tar. An entry replaces
/// the entry with the same path in a lower layer, and whiteouts delete entries of lower layers.
///
/// # Errors
/// Returns an error if a layer is not a tar, or if writing to `into` fails.
pub(super) fn merge(layers: Vec<Blob>, into: File, limits: &Limits, bound: &Bound) -> Result<Blob> {
    let bound = bound.anew();
    let mut owners: BTreeMap<TarPath, usize> = BTreeMap::new();
    for (n, layer) in layers.iter().enumerate() {
        let mut reader = reader(layer, limits, &bound.anew())?;
        let mut own = Vec::new();
        while let Some(item) = reader.next()? {
            let Item::Entry(entry) = item else { continue };
            match Whiteouts::Named.in_entry(&entry) {
                Some(Whiteout::File(path)) => {
                    owners.remove(&path);
                    remove_below(&mut owners, &path);
                }
                Some(Whiteout::Opaque(dir)) => remove_below(&mut owners, &dir),
                Some(Whiteout::Reserved) => {}
                None => own.push((entry.path, entry.kind == Kind::Dir)),
            }
        }
        for (path, is_dir) in own {
            if !is_dir {
                // The file may replace a directory of a lower layer.
                remove_below(&mut owners, &path);
            }
            owners.insert(path, n);
        }
    }
    let io = |e: io::Error| Error::from(tartree::Error::Stream(e));
    let mut out = BufWriter::with_capacity(BUFFER, into);
    for (n, layer) in layers.iter().enumerate() {
        let mut reader = reader(layer, limits, &bound)?;
        while let Some(item) = reader.next()? {
            let Item::Entry(entry) = item else { continue };
            if owners.get(&entry.path) != Some(&n) {
                continue;
            }
            // The reader of the archive rejects a path that occurs twice in one layer.
            let mut header = Vec::new();
            tartree::encode(&mut header, &entry, RootName::Dot);
            out.write_all(&header).map_err(io)?;
            let size = io::copy(&mut reader.content(), &mut out).map_err(io)?;
            out.write_all(&[0; 512][..padding(size) as usize]).map_err(io)?;
        }
        reader.drain()?;
    }
    out.write_all(&END_OF_ARCHIVE).map_err(io)?;
    let mut file = out.into_inner().map_err(|e| io(e.into_error()))?;
    let size = file.stream_position().map_err(io)?;
    Ok(Blob { file, offset: 0, size, digest: None })
}

fn remove_below(owners: &mut BTreeMap<TarPath, usize>, dir: &TarPath) {
    // Paths are sorted, so the paths below a directory follow each other, starting with the
    // directory's path and a slash.
    let below = owners.range(dir.child(b"")..).take_while(|(path, _)| path.starts_with(dir));
    let below: Vec<TarPath> = below.map(|(path, _)| path.clone()).collect();
    for path in &below {
        owners.remove(path);
    }
}

pub(super) type LayerReader<'a> = Reader<BufReader<Decoder<BufReader<io::Take<&'a File>>>>>;

/// Returns a reader of the entries of `layer`, which may be compressed.
pub(super) fn reader<'a>(layer: &'a Blob, limits: &Limits, bound: &Bound) -> Result<LayerReader<'a>> {
    let io = |e: io::Error| Error::from(tartree::Error::Stream(e));
    let mut file = &layer.file;
    file.seek(SeekFrom::Start(layer.offset)).map_err(io)?;
    let input = BufReader::with_capacity(BUFFER, file.take(layer.size));
    let decoder = Decoder::bounded(input, bound.clone()).map_err(io)?;
    Ok(Reader::new(BufReader::with_capacity(BUFFER, decoder), limits.clone()))
}
