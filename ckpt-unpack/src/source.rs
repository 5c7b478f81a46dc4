//! The archive as it comes in.

use std::fs::File;
use std::io::{BufReader, Seek, SeekFrom};

use anyhow::Context;
use checkpoint::archive::{ArchiveReader, Unknown};
use cli::Input;

use crate::args::Args;

const BUFFER: usize = 256 << 10;

/// An open archive.
pub struct Source {
    file: File,
    name: String,
    unknown: Unknown,
    /// Where the archive starts, if the input can be read twice.
    start: Option<u64>,
}

impl Source {
    /// Opens the operand, or standard input.
    pub fn open(args: &Args) -> anyhow::Result<Source> {
        let input = Input::open(args.archive.as_deref(), "an archive")?;
        let name = input.name().to_owned();
        let mut file = input.into_file();
        // A device can be sought too, but not all of them to where they were.
        let regular = file.metadata().with_context(|| name.clone())?.is_file();
        let start = if regular { file.stream_position().ok() } else { None };
        let unknown = if args.keep_unknown { Unknown::Keep } else { Unknown::Refuse };
        Ok(Source { file, name, unknown, start })
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
    pub fn reader(&mut self) -> anyhow::Result<ArchiveReader<BufReader<&File>>> {
        let unknown = self.unknown;
        self.reader_with(unknown)
    }

    /// Reads it, and members nobody knows as well.
    pub fn reader_of_all(&mut self) -> anyhow::Result<ArchiveReader<BufReader<&File>>> {
        self.reader_with(Unknown::Keep)
    }

    fn reader_with(&mut self, unknown: Unknown) -> anyhow::Result<ArchiveReader<BufReader<&File>>> {
        if let Some(start) = self.start {
            self.file.seek(SeekFrom::Start(start)).with_context(|| self.name.clone())?;
        }
        let input = BufReader::with_capacity(BUFFER, &self.file);
        ArchiveReader::new(input, unknown).with_context(|| self.name.clone())
    }
}
