//! Opens an archive: a file, a pipe, or the layer of an OCI image.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Chain, Cursor, Read, Seek, SeekFrom, Take};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use tartree::{Item, Limits, Reader, Skip, TarPath};

use super::{ArchiveReader, Unknown};
use crate::compress::{Bound, Compression, Decoder};
use crate::error::{Error, Result};
use crate::oci::{Blob, Image, Layout, is_layout};

const BUFFER: usize = 256 << 10;
/// Compressed bytes within which the first entry must be found. bzip2 needs the most: a block of
/// 900 kB.
const HEAD: u64 = 4 << 20;

/// The members of an open archive.
pub type Members<'a> = ArchiveReader<Bytes<'a>>;

/// The bytes of an open archive.
pub type Bytes<'a> = Take<Chain<Cursor<Vec<u8>>, CountedFile<'a>>>;

/// The rules by which an archive is read.
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
    file: File,
    name: String,
    reading: Reading,
    /// Bytes that were read from a pipe to recognize the input.
    head: Vec<u8>,
    /// Offset of the archive in the file; `None` if the input cannot be read twice.
    start: Option<u64>,
    /// Maximum length of the archive in bytes.
    size: u64,
    image: Option<Image>,
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
        let (head, is_image) = recognize(&file).map_err(of_input)?;
        if let Some(start) = start {
            file.seek(SeekFrom::Start(start)).map_err(of_input)?;
        }
        let head = if start.is_some() { Vec::new() } else { head };
        if !is_image {
            return Ok(ArchiveFile { file, name, reading, head, start, size: u64::MAX, image: None });
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
        let (start, image) = (Some(offset), Some(image));
        Ok(ArchiveFile { file, name, reading, head: Vec::new(), start, size, image })
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
        self.start.map(|start| Ok((self.file.try_clone()?, start))).transpose()
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
        let (bytes, Reading { unknown, limits, bound, .. }) = self.bytes()?;
        ArchiveReader::direct(bytes, *unknown, limits.clone(), bound.anew(), |archive, output, n| {
            archive.past_buffer(|bytes| move_to(bytes, output, n))
        })
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

    /// Like [`survey`](ArchiveFile::survey), but also reports members with unknown names.
    ///
    /// # Errors
    /// Returns an error without the archive's name, which the caller adds.
    pub fn survey_of_all(&mut self) -> Result<Members<'_>> {
        self.survey_with(Unknown::Show)
    }

    fn survey_with(&mut self, unknown: Unknown) -> Result<Members<'_>> {
        let (bytes, Reading { limits, bound, .. }) = self.bytes()?;
        ArchiveReader::skipping(bytes, unknown, limits.clone(), bound.anew())
    }

    fn bytes(&mut self) -> Result<(Bytes<'_>, &Reading)> {
        if let Some(start) = self.start {
            self.file.seek(SeekFrom::Start(start)).map_err(of_input)?;
        }
        let head = Cursor::new(std::mem::take(&mut self.head));
        let file = CountedFile { file: &self.file, count: self.reading.count };
        Ok((head.chain(file).take(self.size), &self.reading))
    }
}

/// Moves up to `n` of the next bytes to the file `output` inside the kernel and returns their
/// number; the caller reads the rest. Returns `None` while bytes of the head are left.
fn move_to(bytes: &mut Bytes<'_>, output: BorrowedFd<'_>, n: u64) -> Option<u64> {
    let n = n.min(bytes.limit());
    let (head, CountedFile { file, count }) = bytes.get_mut().get_mut();
    if head.position() < head.get_ref().len() as u64 {
        return None;
    }
    let moved = tartree::transfer(file.as_fd(), output, n, count);
    bytes.set_limit(bytes.limit() - moved);
    Some(moved)
}

/// A file whose bytes are counted for the progress display, whether they are read, skipped or
/// moved.
pub struct CountedFile<'a> {
    file: &'a File,
    count: fn(u64),
}

impl Read for CountedFile<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let got = self.file.read(buf)?;
        (self.count)(got as u64);
        Ok(got)
    }
}

impl Skip for CountedFile<'_> {
    fn skip(&mut self, n: u64) -> io::Result<u64> {
        let skipped = self.file.skip(n)?;
        (self.count)(skipped);
        Ok(skipped)
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

fn of_input(source: io::Error) -> Error {
    Error::Tar(tartree::Error::Stream(source))
}

fn of_image(source: io::Error) -> Error {
    Error::Compression { what: "image", source }
}
