//! Opens an archive: a file, a pipe, the layer of an OCI image, or a member of a pod archive.

use std::fs::File;
use std::io::{self, BufReader, Chain, Cursor, Read, Seek, SeekFrom, Take};
use std::path::Path;

use tartree::Limits;

use super::bytes::{Bytes, CountedFile, input};
use super::pod_file::Container;
use super::recognize::{InputKind, recognize};
use super::{ArchiveReader, Unknown};
use crate::compress::{Bound, Compression, Decoder};
use crate::error::{Error, Result};
use crate::oci::{Blob, Image, Layout};
use crate::tar_input::TarInput;

const BUFFER: usize = 256 << 10;

/// The members of an open archive.
pub type Members<'a> = ArchiveReader<Bytes<'a>>;

/// The members of an open archive, for a caller that keeps the archive and its members together.
pub type OwnedMembers = ArchiveReader<Take<Chain<Cursor<Vec<u8>>, CountedFile<File>>>>;

/// The rules by which an archive is read.
#[derive(Clone)]
pub struct Reading {
    /// How unknown members are handled.
    pub unknown: Unknown,
    /// The limits of each tar in the archive.
    pub limits: Limits,
    /// The limit on decompressed bytes. Each pass over the archive starts counting anew.
    pub bound: Bound,
    /// Receives the number of bytes that were read, for the progress display.
    pub count: fn(u64),
}

/// How the archive is found in an image.
pub struct ImageChoice<'a> {
    /// The image to read if the input has several images.
    pub tag: Option<&'a str>,
    /// Creates an unnamed file, for the copy of an image that cannot be read in place.
    pub spool: &'a dyn Fn() -> io::Result<File>,
}

/// An open archive.
pub struct ArchiveFile {
    pub(super) file: File,
    pub(super) name: String,
    pub(super) reading: Reading,
    /// Bytes that were read from a pipe to recognize the input.
    pub(super) head: Vec<u8>,
    /// Offset of the archive in the file; `None` if the input cannot be read twice.
    pub(super) start: Option<u64>,
    /// Maximum length of the archive in bytes.
    pub(super) size: u64,
    pub(super) image: Option<Image>,
    pub(super) content: Content,
}

/// The content of the input.
pub(super) enum Content {
    /// The archive of a container. `in_pod` is set if it is part of a pod archive in a file.
    Archive { in_pod: bool },
    /// A pod archive.
    Pod,
    /// The archive of a container in a pod archive, which is read through the pod archive.
    Container(Box<Container>),
}

impl ArchiveFile {
    /// Opens the archive in the image layout `dir`. `name` is the name of the archive for messages.
    ///
    /// # Errors
    /// Returns an error without the archive's name, which the caller adds.
    pub fn in_dir(
        dir: &Path,
        name: String,
        reading: Reading,
        choice: &ImageChoice<'_>,
    ) -> Result<ArchiveFile> {
        let image = Layout::of_dir(dir).image(choice.tag)?;
        ArchiveFile::of_image(image, name, reading, choice)
    }

    /// Opens the archive in `file`, which is the archive or an image. `name` is the name of the
    /// archive for messages.
    ///
    /// An image that is compressed, or comes from a pipe, is first copied to an unnamed file,
    /// because the parts of an image may be in any order.
    ///
    /// # Errors
    /// Returns an error without the archive's name, which the caller adds.
    pub fn in_file(
        mut file: File,
        name: String,
        reading: Reading,
        choice: &ImageChoice<'_>,
    ) -> Result<ArchiveFile> {
        // Some devices accept a seek but do not return to their old position.
        let regular = file.metadata().map_err(of_input)?.is_file();
        let start = if regular { file.stream_position().ok() } else { None };
        let (head, kind) = recognize(&file).map_err(of_input)?;
        if let Some(start) = start {
            file.seek(SeekFrom::Start(start)).map_err(of_input)?;
        }
        let head = if start.is_some() { Vec::new() } else { head };
        let content = match kind {
            InputKind::Archive => Some(Content::Archive { in_pod: false }),
            InputKind::Pod => Some(Content::Pod),
            InputKind::Image => None,
        };
        if let Some(content) = content {
            return Ok(ArchiveFile {
                file,
                name,
                reading,
                head,
                start,
                size: u64::MAX,
                image: None,
                content,
            });
        }
        let input = BufReader::with_capacity(BUFFER, Cursor::new(head).chain(&file));
        let mut decoder = Decoder::bounded(input, reading.bound.anew()).map_err(of_image)?;
        let layout = if start == Some(0) && decoder.compression() == Compression::None {
            Layout::of_tar(&file)?
        } else {
            let mut copy = (choice.spool)().map_err(of_image)?;
            io::copy(&mut decoder, &mut copy).map_err(of_image)?;
            Layout::of_tar(&copy)?
        };
        ArchiveFile::of_image(layout.image(choice.tag)?, name, reading, choice)
    }

    /// Opens the archive in an image. Unless the archive is the only layer of the image, it is first
    /// written to an unnamed file.
    fn of_image(
        mut image: Image,
        name: String,
        reading: Reading,
        choice: &ImageChoice<'_>,
    ) -> Result<ArchiveFile> {
        let archive = image.take_archive(&reading.limits, &reading.bound, choice.spool)?;
        let Blob { file, offset, size, .. } = archive;
        let (start, image, content) = (Some(offset), Some(image), Content::Archive { in_pod: false });
        Ok(ArchiveFile { file, name, reading, head: Vec::new(), start, size, image, content })
    }

    /// Returns the archive's name for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the image that contains the archive, without its layers, if the input is an image.
    pub fn image(&self) -> Option<&Image> {
        self.image.as_ref()
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

    /// Returns the file that holds the archive, with the offset of the archive in it, for content
    /// that is read in another order. Returns `None` if the input cannot be read twice.
    ///
    /// # Errors
    /// Returns any errno of dup(2).
    pub fn file(&self) -> io::Result<Option<(File, u64)>> {
        let in_place = self.start.filter(|_| !matches!(self.content, Content::Container(_)));
        in_place.map(|start| Ok((self.file.try_clone()?, start))).transpose()
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
    pub fn reader(&mut self) -> Result<Members<'_>> {
        let Opened { bytes, bound, reading, in_pod } = self.open()?;
        let limits = reading.limits.clone();
        let reader = ArchiveReader::direct(bytes, reading.unknown, limits, bound, |archive, output, n| {
            archive.past_buffer(|bytes| bytes.move_to(output, n))
        })?;
        Ok(reader.in_pod(in_pod))
    }

    /// Returns the bytes of the archive, decompressed.
    ///
    /// # Errors
    /// Returns an error without the archive's name, which the caller adds.
    pub fn decompressed(&mut self) -> Result<TarInput<Bytes<'_>>> {
        let Opened { bytes, bound, .. } = self.open()?;
        TarInput::archive(bytes, bound).map_err(of_input)
    }

    /// Like [`reader`](ArchiveFile::reader), for callers that list or check the archive: content
    /// that they do not read is skipped by seeking if the input is a file.
    ///
    /// # Errors
    /// Returns an error without the archive's name, which the caller adds.
    pub fn survey(&mut self) -> Result<Members<'_>> {
        let unknown = self.reading.unknown;
        self.survey_with(unknown)
    }

    /// Like [`survey`](ArchiveFile::survey), but also reports members with unknown names, unless
    /// these are refused.
    ///
    /// # Errors
    /// Returns an error without the archive's name, which the caller adds.
    pub fn survey_of_all(&mut self) -> Result<Members<'_>> {
        let unknown = match self.reading.unknown {
            Unknown::Refuse => Unknown::Refuse,
            Unknown::Keep | Unknown::Show => Unknown::Show,
        };
        self.survey_with(unknown)
    }

    fn survey_with(&mut self, unknown: Unknown) -> Result<Members<'_>> {
        let Opened { bytes, bound, reading, in_pod } = self.open()?;
        let reader = ArchiveReader::skipping(bytes, unknown, reading.limits.clone(), bound)?;
        Ok(reader.in_pod(in_pod))
    }

    /// Like [`survey`](ArchiveFile::survey), but the reader keeps the file open. The readers of one
    /// archive share the position in the file: only the newest reader may be used.
    ///
    /// # Errors
    /// Returns an error if the input cannot be read twice, or is part of a compressed pod archive,
    /// without the archive's name, which the caller adds.
    pub fn reread(&self) -> Result<OwnedMembers> {
        let Reading { unknown, limits, bound, count } = &self.reading;
        let Content::Archive { in_pod } = self.content else {
            return Err(Error::member(
                "archive",
                "expected a file, or a part of an uncompressed pod archive",
            ));
        };
        let start = self.start.ok_or_else(|| of_input(io::ErrorKind::NotSeekable.into()))?;
        let mut file = self.file.try_clone().map_err(of_input)?;
        file.seek(SeekFrom::Start(start)).map_err(of_input)?;
        let bytes = input(Vec::new(), file, *count).take(self.size);
        let reader = ArchiveReader::skipping(bytes, *unknown, limits.clone(), bound.anew())?;
        Ok(reader.in_pod(in_pod))
    }

    /// Starts to read the archive.
    fn open(&mut self) -> Result<Opened<'_>> {
        self.require_container()?;
        self.find_container_again()?;
        let reading = &self.reading;
        match &mut self.content {
            Content::Container(container) => {
                container.read = true;
                let bound = container.pod.bound();
                let bytes = Bytes::of_container(&mut container.pod, container.to_end);
                Ok(Opened { bytes, bound, reading, in_pod: true })
            }
            Content::Archive { in_pod } => {
                if let Some(start) = self.start {
                    self.file.seek(SeekFrom::Start(start)).map_err(of_input)?;
                }
                let head = std::mem::take(&mut self.head);
                let bytes = Bytes::of_file(head, &self.file, reading.count, self.size);
                Ok(Opened { bytes, bound: reading.bound.anew(), reading, in_pod: *in_pod })
            }
            Content::Pod => Err(Error::Pod { names: Vec::new() }),
        }
    }
}

/// The bytes of an archive, and the rules by which they are read.
struct Opened<'a> {
    bytes: Bytes<'a>,
    bound: Bound,
    reading: &'a Reading,
    in_pod: bool,
}

pub(super) fn of_input(source: io::Error) -> Error {
    Error::Tar(tartree::Error::Stream(source))
}

fn of_image(source: io::Error) -> Error {
    Error::Compression { what: "image", source }
}
