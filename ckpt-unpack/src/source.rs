//! The archive as it comes in: a file or pipe, or the layer of an OCI image.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Chain, Cursor, Read, Seek, SeekFrom, Take};
use std::path::Path;

use anyhow::{Context, bail};
use checkpoint::archive::{ArchiveReader, UNKNOWN, Unknown};
use checkpoint::compress::{Bound, Compression, Decoder};
use checkpoint::oci::{Blob, Layout, is_layout};
use cli::{Counted, Hint, Input, usage};
use tartree::{Item, Limits, Reader, SKIPPING_BUFFER, Skip, TarPath};

use crate::args::Args;
use crate::staging;

const BUFFER: usize = 256 << 10;
/// Compressed bytes in which the first entry must be found; bzip2 needs the most, a block of 900 kB.
const HEAD: u64 = 4 << 20;

/// Members of an archive that is being read.
pub type Members<'a> = ArchiveReader<Bytes<'a>>;

type Bytes<'a> = BufReader<Take<Chain<Cursor<Vec<u8>>, Moved<'a>>>>;

/// An open archive.
pub struct Source {
    file: File,
    name: String,
    reading: Reading,
    /// What was read of a pipe to look at it.
    head: Vec<u8>,
    /// Where the archive starts, if the input can be read twice.
    start: Option<u64>,
    /// How long it is at most.
    size: u64,
}

/// How it is read.
struct Reading {
    unknown: Unknown,
    limits: Limits,
    bound: Bound,
}

impl Source {
    /// Opens the operand, or standard input.
    pub fn open(args: &Args) -> anyhow::Result<Source> {
        Source::open_path(args.archive.as_deref(), args)
    }

    /// Opens `path`; `None` and `-` are standard input. An image that comes by a pipe, or compressed, is copied to an
    /// unnamed file where the bundle is to be: its parts come in any order.
    pub fn open_path(path: Option<&Path>, args: &Args) -> anyhow::Result<Source> {
        let unknown = if args.refuse_unknown { Unknown::Refuse } else { Unknown::Keep };
        let reading = Reading { unknown, limits: args.limits.of_tars(), bound: args.limits.bound() };
        let tag = args.tag.as_deref();
        let place = args.verb.bundle.as_deref().map(staging::place_for);
        if let Some(dir) = path.filter(|path| path.is_dir()) {
            let name = cli::display_path(dir);
            let image = Layout::of_dir(dir).image(tag).with_context(|| name.clone())?;
            return Source::of_layers(image.layers, name, reading, place.as_deref());
        }
        let input = Input::open(path, "an archive")?;
        let name = input.name().to_owned();
        let mut file = input.into_file();
        // A device can be sought too, but not all of them to where they were.
        let regular = file.metadata().with_context(|| name.clone())?.is_file();
        let start = if regular { file.stream_position().ok() } else { None };
        let (head, is_image) = look(&file).with_context(|| name.clone())?;
        if let Some(start) = start {
            file.seek(SeekFrom::Start(start)).with_context(|| name.clone())?;
        }
        let head = if start.is_some() { Vec::new() } else { head };
        let source = Source { file, name, reading, head, start, size: u64::MAX };
        if !is_image && tag.is_some() {
            return Err(usage(format!("--tag: {} is no image", source.name)));
        }
        if is_image { source.into_layer(tag, place.as_deref()) } else { Ok(source) }
    }

    /// The layer of the image that the source is.
    fn into_layer(self, tag: Option<&str>, place: Option<&Path>) -> anyhow::Result<Source> {
        let name = self.name;
        let layout = || -> anyhow::Result<Layout> {
            let input = BufReader::with_capacity(BUFFER, Cursor::new(self.head).chain(&self.file));
            let mut decoder = Decoder::bounded(input, self.reading.bound.anew())?;
            if self.start == Some(0) && decoder.compression() == Compression::None {
                return Ok(Layout::of_tar(&self.file)?);
            }
            let mut whole = cli::spool(place)?;
            io::copy(&mut decoder, &mut whole)?;
            Ok(Layout::of_tar(&whole)?)
        };
        let layers =
            layout().and_then(|layout| Ok(layout.image(tag)?.layers)).with_context(|| name.clone())?;
        Source::of_layers(layers, name, self.reading, place)
    }

    /// The archive in the layers of an image. Several are copied into an unnamed file in `place` first.
    fn of_layers(
        mut layers: Vec<Blob>,
        name: String,
        reading: Reading,
        place: Option<&Path>,
    ) -> anyhow::Result<Source> {
        layers.iter_mut().try_for_each(Blob::prove).with_context(|| name.clone())?;
        let layer = match layers.len() {
            1 => layers.pop(),
            _ => {
                let merged =
                    checkpoint::oci::merge(layers, cli::spool(place)?, &reading.limits, &reading.bound);
                Some(merged.with_context(|| name.clone())?)
            }
        };
        let Some(Blob { file, offset, size, .. }) = layer else { bail!("{name}: an image without layers") };
        Ok(Source { file, name, reading, head: Vec::new(), start: Some(offset), size })
    }

    /// The name for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The limits of each tar in it.
    pub fn limits(&self) -> &Limits {
        &self.reading.limits
    }

    /// How many bytes are read of it, where that is known.
    pub fn size(&self) -> Option<u64> {
        let whole = self.file.metadata().ok()?.len();
        self.start.map(|start| whole.saturating_sub(start).min(self.size))
    }

    /// Whether it can be read a second time.
    pub fn can_rewind(&self) -> bool {
        self.start.is_some()
    }

    /// Reads it, from its start where that is possible. Errors do not name it, the caller does.
    pub fn reader(&mut self) -> anyhow::Result<Members<'_>> {
        let (bytes, reading) = self.bytes(BUFFER)?;
        let Reading { unknown, limits, bound } = reading;
        Ok(ArchiveReader::bounded(bytes, *unknown, limits.clone(), bound.anew())?)
    }

    /// The same for those who want to know what it holds: content that they do not read is passed over where it can be.
    pub fn survey(&mut self) -> anyhow::Result<Members<'_>> {
        let unknown = self.reading.unknown;
        self.survey_with(unknown)
    }

    /// The same, whatever the names of its members.
    pub fn survey_of_all(&mut self) -> anyhow::Result<Members<'_>> {
        self.survey_with(Unknown::Show)
    }

    fn survey_with(&mut self, unknown: Unknown) -> anyhow::Result<Members<'_>> {
        let (bytes, Reading { limits, bound, .. }) = self.bytes(SKIPPING_BUFFER)?;
        Ok(ArchiveReader::skipping(bytes, unknown, limits.clone(), bound.anew())?)
    }

    fn bytes(&mut self, buffer: usize) -> anyhow::Result<(Bytes<'_>, &Reading)> {
        if let Some(start) = self.start {
            self.file.seek(SeekFrom::Start(start))?;
        }
        let head = Cursor::new(std::mem::take(&mut self.head));
        let file = Moved(Counted::new(&self.file));
        Ok((BufReader::with_capacity(buffer, head.chain(file).take(self.size)), &self.reading))
    }
}

/// The file, its bytes counted for the progress whether they are read or passed over.
pub struct Moved<'a>(Counted<&'a File>);

impl Read for Moved<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl Skip for Moved<'_> {
    fn skip(&mut self, n: u64) -> io::Result<u64> {
        let mut skipped = Ok(0);
        self.0.moved(|file| {
            skipped = file.skip(n);
            *skipped.as_ref().unwrap_or(&0)
        });
        skipped
    }
}

/// Reads as far as the first entry below the root; gives what was read, and whether that entry is one of an image. Anything else about the
/// input is told when it is read.
fn look(file: &File) -> io::Result<(Vec<u8>, bool)> {
    let mut recorder = Recorder { file, read: Vec::new() };
    let is_image =
        first_path(BufReader::new((&mut recorder).take(HEAD))).is_some_and(|path| is_layout(&path));
    Ok((recorder.read, is_image))
}

fn first_path(input: impl BufRead) -> Option<TarPath> {
    let mut reader = Reader::new(BufReader::new(Decoder::new(input).ok()?), Limits::default());
    loop {
        match reader.next().ok()?? {
            // A layout that was packed as a directory begins with that.
            Item::Entry(entry) if !entry.path.is_root() => return Some(entry.path),
            _ => {}
        }
    }
}

/// Keeps what is read.
struct Recorder<'a> {
    file: &'a File,
    read: Vec<u8>,
}

impl Read for Recorder<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let got = self.file.read(buf)?;
        self.read.extend_from_slice(&buf[..got]);
        Ok(got)
    }
}

/// Adds what helps when a member that nobody knows is refused, or an image must be chosen.
pub fn explain(e: anyhow::Error) -> anyhow::Error {
    use checkpoint::Error;
    let hint = e.chain().find_map(|e| match e.downcast_ref()? {
        Error::Member { what, .. } if what == UNKNOWN => {
            Some("without --refuse-unknown it becomes a file of the bundle")
        }
        Error::Choice { .. } => Some("name one: --tag REF, or its digest: --tag sha256:DIGEST"),
        _ => None,
    });
    match hint.or_else(|| checkpoint::hint_in(e.chain())) {
        Some(hint) => Hint::on(e, hint),
        None => e,
    }
}
