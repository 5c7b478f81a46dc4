//! The archive as it comes in: a file or pipe, or the layer of an OCI image.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom, Take};
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::Context;
use checkpoint::archive::{ArchiveReader, Unknown};
use checkpoint::oci::{Blob, Layout, is_layout};
use cli::{Hint, Input};
use tartree::{Item, Limits, Reader};

use crate::args::Args;

const BUFFER: usize = 256 << 10;

/// Members of an archive that is being read.
pub type Members<'a> = ArchiveReader<BufReader<Take<&'a File>>>;

/// An open archive.
pub struct Source {
    file: File,
    name: String,
    unknown: Unknown,
    /// Where the archive starts, if the input can be read twice.
    start: Option<u64>,
    /// How long it is at most.
    size: u64,
}

impl Source {
    /// Opens the operand, or standard input.
    pub fn open(args: &Args) -> anyhow::Result<Source> {
        Source::open_path(args.archive.as_deref(), args.keep_unknown)
    }

    /// Opens `path`; `None` and `-` are standard input.
    pub fn open_path(path: Option<&Path>, keep_unknown: bool) -> anyhow::Result<Source> {
        let unknown = if keep_unknown { Unknown::Keep } else { Unknown::Refuse };
        if let Some(dir) = path.filter(|path| path.is_dir()) {
            let name = cli::name(dir);
            let image = Layout::of_dir(dir).image(None).with_context(|| name.clone())?;
            return Source::of_layer(image.layer, name, unknown);
        }
        let input = Input::open(path, "an archive")?;
        let name = input.name().to_owned();
        let mut file = input.into_file();
        // A device can be sought too, but not all of them to where they were.
        let regular = file.metadata().with_context(|| name.clone())?.is_file();
        let start = if regular { file.stream_position().ok() } else { None };
        let source = Source { file, name, unknown, start, size: u64::MAX };
        match start {
            Some(0) if source.is_image() => {
                let layout = Layout::of_tar(&source.file).with_context(|| source.name.clone())?;
                let image = layout.image(None).with_context(|| source.name.clone())?;
                Source::of_layer(image.layer, source.name, unknown)
            }
            _ => Ok(source),
        }
    }

    fn of_layer(mut layer: Blob, name: String, unknown: Unknown) -> anyhow::Result<Source> {
        layer.prove().with_context(|| name.clone())?;
        let Blob { file, offset, size, .. } = layer;
        Ok(Source { file, name, unknown, start: Some(offset), size })
    }

    /// Whether the file's first entry is one of an image. Anything else about it is told when it is read.
    fn is_image(&self) -> bool {
        let mut head = [0; 4096];
        let Ok(got) = self.file.read_at(&mut head, 0) else { return false };
        let first = Reader::new(&head[..got], Limits::default()).next();
        matches!(first, Ok(Some(Item::Entry(entry))) if is_layout(&entry.path))
    }

    /// The name for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it can be read a second time.
    pub fn can_rewind(&self) -> bool {
        self.start.is_some()
    }

    /// Reads it, from its start where that is possible.
    pub fn reader(&mut self) -> anyhow::Result<Members<'_>> {
        self.reader_with(self.unknown)
    }

    /// Reads it, and members nobody knows as well.
    pub fn reader_of_all(&mut self) -> anyhow::Result<Members<'_>> {
        self.reader_with(Unknown::Keep)
    }

    fn reader_with(&mut self, unknown: Unknown) -> anyhow::Result<Members<'_>> {
        if let Some(start) = self.start {
            self.file.seek(SeekFrom::Start(start)).with_context(|| self.name.clone())?;
        }
        let input = BufReader::with_capacity(BUFFER, (&self.file).take(self.size));
        ArchiveReader::new(input, unknown).with_context(|| self.name.clone())
    }
}

/// Adds what helps when an image comes by a pipe: its parts do not come in the order they are needed.
pub fn explain(e: anyhow::Error) -> anyhow::Error {
    let text = format!("{e:#}");
    let Some(rest) = text.strip_suffix(": not a member of a checkpoint archive") else { return e };
    let name = rest.rsplit(": ").next().unwrap_or_default();
    let of_image = tartree::TarPath::parse(name.as_bytes()).is_ok_and(|path| is_layout(&path));
    Hint::on(
        e,
        match of_image {
            true => "an OCI image is read from a file, not from a pipe: use < FILE",
            false => "--keep-unknown takes it as a file of the bundle",
        },
    )
}
