//! Opens an archive: a file, a pipe, or the layer of an OCI image.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Chain, Cursor, Read, Seek, SeekFrom, Take};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use anyhow::{Context, bail};
use checkpoint::archive::{ArchiveReader, Unknown};
use checkpoint::compress::{Bound, Compression, Decoder};
use checkpoint::oci::{Blob, Layout, is_layout};
use cli::args::Bounds;
use cli::{Counted, Hint, Input, usage};
use tartree::{Exceeded, Item, Limit, Limits, Reader, Skip, TarPath};

use crate::args::Args;
use crate::staging;

const BUFFER: usize = 256 << 10;
/// Compressed bytes within which the first entry must be found. bzip2 needs the most: a block of
/// 900 kB.
const HEAD: u64 = 4 << 20;

/// The members of an open archive.
pub type Members<'a> = ArchiveReader<Bytes<'a>>;

type Bytes<'a> = Take<Chain<Cursor<Vec<u8>>, CountedFile<'a>>>;

/// An open archive.
pub struct ArchiveInput {
    file: File,
    name: String,
    reading: Reading,
    /// Bytes that were read from a pipe to recognize the input.
    head: Vec<u8>,
    /// Offset of the archive in the file; `None` if the input cannot be read twice.
    start: Option<u64>,
    /// Maximum length of the archive in bytes.
    size: u64,
}

/// The rules by which an archive is read.
struct Reading {
    unknown: Unknown,
    limits: Limits,
    bound: Bound,
}

impl ArchiveInput {
    /// Opens the operand, or standard input without one.
    pub fn open(args: &Args) -> anyhow::Result<ArchiveInput> {
        ArchiveInput::open_path(args.archive.as_deref(), args)
    }

    /// Opens `path`; `None` and `-` are standard input.
    ///
    /// An image that is compressed, or comes from a pipe, is first copied to an unnamed file in the
    /// directory of the bundle, because the parts of an image may be in any order.
    pub fn open_path(path: Option<&Path>, args: &Args) -> anyhow::Result<ArchiveInput> {
        let unknown = if args.refuse_unknown { Unknown::Refuse } else { Unknown::Keep };
        let reading = Reading { unknown, limits: args.limits.of_tars(), bound: args.limits.bound() };
        let tag = args.tag.as_deref();
        let spool_dir = args.verb.bundle.as_deref().map(staging::directory_for);
        if let Some(dir) = path.filter(|path| path.is_dir()) {
            let name = cli::display_path(dir);
            let image = Layout::of_dir(dir).image(tag).with_context(|| name.clone())?;
            return ArchiveInput::of_layers(image.layers, name, reading, spool_dir.as_deref());
        }
        let input = Input::open(path, "an archive")?;
        let name = input.name().to_owned();
        let mut file = input.into_file();
        // Some devices accept a seek but do not return to their old position.
        let regular = file.metadata().with_context(|| name.clone())?.is_file();
        let start = if regular { file.stream_position().ok() } else { None };
        let (head, is_image) = recognize(&file).with_context(|| name.clone())?;
        if let Some(start) = start {
            file.seek(SeekFrom::Start(start)).with_context(|| name.clone())?;
        }
        let head = if start.is_some() { Vec::new() } else { head };
        let archive = ArchiveInput { file, name, reading, head, start, size: u64::MAX };
        if !is_image && tag.is_some() {
            return Err(usage(format!("--tag: {} is not an OCI image", archive.name)));
        }
        if is_image { archive.into_layer(tag, spool_dir.as_deref()) } else { Ok(archive) }
    }

    /// Opens the layer of an image; `self` is the image.
    fn into_layer(self, tag: Option<&str>, spool_dir: Option<&Path>) -> anyhow::Result<ArchiveInput> {
        let name = self.name;
        let layout = || -> anyhow::Result<Layout> {
            let input = BufReader::with_capacity(BUFFER, Cursor::new(self.head).chain(&self.file));
            let mut decoder = Decoder::bounded(input, self.reading.bound.anew())?;
            if self.start == Some(0) && decoder.compression() == Compression::None {
                return Ok(Layout::of_tar(&self.file)?);
            }
            let mut copy = cli::spool(spool_dir)?;
            io::copy(&mut decoder, &mut copy)?;
            Ok(Layout::of_tar(&copy)?)
        };
        let layers =
            layout().and_then(|layout| Ok(layout.image(tag)?.layers)).with_context(|| name.clone())?;
        ArchiveInput::of_layers(layers, name, self.reading, spool_dir)
    }

    /// Opens the archive in the layers of an image. Several layers are first merged into an unnamed
    /// file in `spool_dir`.
    fn of_layers(
        mut layers: Vec<Blob>,
        name: String,
        reading: Reading,
        spool_dir: Option<&Path>,
    ) -> anyhow::Result<ArchiveInput> {
        layers.iter_mut().try_for_each(Blob::prove).with_context(|| name.clone())?;
        let layer = match layers.len() {
            1 => layers.pop(),
            _ => {
                let merged =
                    checkpoint::oci::merge(layers, cli::spool(spool_dir)?, &reading.limits, &reading.bound);
                Some(merged.with_context(|| name.clone())?)
            }
        };
        let Some(Blob { file, offset, size, .. }) = layer else { bail!("{name}: the image has no layers") };
        Ok(ArchiveInput { file, name, reading, head: Vec::new(), start: Some(offset), size })
    }

    /// Returns the archive's name for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the limits of each tar in the archive.
    pub fn limits(&self) -> &Limits {
        &self.reading.limits
    }

    /// Returns how many bytes will be read, if that is known.
    pub fn size(&self) -> Option<u64> {
        let length = self.file.metadata().ok()?.len();
        self.start.map(|start| length.saturating_sub(start).min(self.size))
    }

    /// Returns whether the archive can be read a second time.
    pub fn can_rewind(&self) -> bool {
        self.start.is_some()
    }

    /// Returns a reader for all content, from the start of the archive if the input can be read
    /// twice.
    ///
    /// # Errors
    /// Returns an error without the archive's name, which the caller adds.
    pub fn reader(&mut self) -> anyhow::Result<Members<'_>> {
        let (bytes, Reading { unknown, limits, bound }) = self.bytes()?;
        Ok(ArchiveReader::direct(bytes, *unknown, limits.clone(), bound.anew(), |archive, output, n| {
            archive.past_buffer(|bytes| move_to(bytes, output, n))
        })?)
    }

    /// Like [`reader`](ArchiveInput::reader), for callers that list or check the archive: content
    /// that they do not read is skipped by seeking if the input is a file.
    pub fn survey(&mut self) -> anyhow::Result<Members<'_>> {
        let unknown = self.reading.unknown;
        self.survey_with(unknown)
    }

    /// Like [`survey`](ArchiveInput::survey), but also reports members with unknown names.
    pub fn survey_of_all(&mut self) -> anyhow::Result<Members<'_>> {
        self.survey_with(Unknown::Show)
    }

    fn survey_with(&mut self, unknown: Unknown) -> anyhow::Result<Members<'_>> {
        let (bytes, Reading { limits, bound, .. }) = self.bytes()?;
        Ok(ArchiveReader::skipping(bytes, unknown, limits.clone(), bound.anew())?)
    }

    fn bytes(&mut self) -> anyhow::Result<(Bytes<'_>, &Reading)> {
        if let Some(start) = self.start {
            self.file.seek(SeekFrom::Start(start))?;
        }
        let head = Cursor::new(std::mem::take(&mut self.head));
        let file = CountedFile(Counted::new(&self.file));
        Ok((head.chain(file).take(self.size), &self.reading))
    }
}

/// Moves up to `n` of the next bytes to the file `output` inside the kernel and returns their
/// number; the caller reads the rest. Returns `None` while bytes of the head are left.
fn move_to(bytes: &mut Bytes<'_>, output: BorrowedFd<'_>, n: u64) -> Option<u64> {
    let n = n.min(bytes.limit());
    let (head, CountedFile(file)) = bytes.get_mut().get_mut();
    if head.position() < head.get_ref().len() as u64 {
        return None;
    }
    let moved = file.moving(|file, report| tartree::transfer(file.as_fd(), output, n, report));
    bytes.set_limit(bytes.limit() - moved);
    Some(moved)
}

/// A file whose bytes are counted for the progress display, whether they are read, skipped or
/// moved.
pub struct CountedFile<'a>(Counted<&'a File>);

impl Read for CountedFile<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl Skip for CountedFile<'_> {
    fn skip(&mut self, n: u64) -> io::Result<u64> {
        let mut skipped = Ok(0);
        self.0.moved(|file| {
            skipped = file.skip(n);
            *skipped.as_ref().unwrap_or(&0)
        });
        skipped
    }
}

/// Reads up to the first entry below the root. Returns the bytes that were read, and whether the
/// entry belongs to an OCI image. Any other fault of the input is reported when the archive is
/// read.
fn recognize(file: &File) -> io::Result<(Vec<u8>, bool)> {
    let mut recorder = Recorder { file, read: Vec::new() };
    let is_image =
        first_path(BufReader::new((&mut recorder).take(HEAD))).is_some_and(|path| is_layout(&path));
    Ok((recorder.read, is_image))
}

fn first_path(input: impl BufRead) -> Option<TarPath> {
    let mut reader = Reader::new(BufReader::new(Decoder::new(input).ok()?), Limits::default());
    loop {
        match reader.next().ok()?? {
            // A layout that was packed as a directory begins with the root itself.
            Item::Entry(entry) if !entry.path.is_root() => return Some(entry.path),
            _ => {}
        }
    }
}

/// A reader that keeps every byte it returns.
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

/// Adds a hint to an error of reading an archive.
pub fn explain(error: anyhow::Error) -> anyhow::Error {
    if let Some(hint) = tartree::hint(error.as_ref()) {
        return Hint::on(error, hint);
    }
    if Exceeded::in_error(error.as_ref()) == Some(Limit::Memory) {
        return Hint::on(error, "if you trust it: --max-memory SIZE");
    }
    Bounds::explain(explain_choice(error))
}

/// Adds a hint if an unknown member was refused, or if the input has several images.
fn explain_choice(e: anyhow::Error) -> anyhow::Error {
    use checkpoint::Error;
    let hint = e.chain().find_map(|e| match e.downcast_ref()? {
        Error::UnknownMember { .. } => Some("to keep it as a file in the bundle, leave out --refuse-unknown"),
        Error::Choice { .. } => Some("select one: --tag REF, or --tag sha256:DIGEST"),
        _ => None,
    });
    match hint.or_else(|| checkpoint::hint_in(e.chain())) {
        Some(hint) => Hint::on(e, hint),
        None => e,
    }
}
