//! Writes the members of an archive.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::fd::AsFd;
use std::sync::mpsc::Sender;

use tartree::{Content, Destination, END_OF_ARCHIVE, Entry, Kind, Meta, Notices, RootName, Sink, Timestamp};

use super::PARENT_TARGET;
use super::layers::Layers;
use crate::error::{Error, Result};
use crate::member::Member;

/// The mode of CRIU's images (criu/include/image.h, `CR_FD_PERM`).
const PAGES_MODE: u32 = 0o600;

/// The source of an image of memory pages.
pub enum PagesInput<'a> {
    /// The pipe that CRIU writes to. Its bytes are moved within the kernel if the output allows it.
    Pipe(&'a mut File),
    /// A reader that leaves out pages.
    Filtered(&'a mut dyn Read),
}

/// Writes the members of an archive, one after another, through one buffer.
///
/// Only [`finish`](ArchiveWriter::finish) writes the end-of-archive blocks. An unfinished output is
/// therefore not a valid archive.
pub struct ArchiveWriter<W: Destination> {
    pub(super) sink: Sink<W>,
    written: BTreeSet<Member>,
    /// If the output is an image with several layers: the current layer.
    layers: Option<Layers>,
}

impl<W: Destination> ArchiveWriter<W> {
    /// Starts an archive on `out`.
    pub fn new(out: W) -> ArchiveWriter<W> {
        ArchiveWriter::on(Sink::new(out))
    }

    /// Starts an archive on `sink`.
    pub fn on(sink: Sink<W>) -> ArchiveWriter<W> {
        ArchiveWriter { sink, written: BTreeSet::new(), layers: None }
    }

    /// Divides the archive into layers: sends the offset at which each further layer starts, before
    /// the first byte of the layer is written to the output.
    pub fn in_layers(self, starts: Sender<u64>) -> ArchiveWriter<W> {
        ArchiveWriter { layers: Some(Layers::new(starts)), ..self }
    }

    /// Returns the members that were written so far.
    pub fn written(&self) -> &BTreeSet<Member> {
        &self.written
    }

    /// Returns the number of bytes that were written so far, before compression.
    pub fn position(&self) -> u64 {
        self.sink.position()
    }

    /// Writes a member with the content `content`.
    ///
    /// # Errors
    /// Returns an error if the member was written before, or if writing to the output fails.
    pub fn small(&mut self, member: &Member, content: &[u8], mtime: Timestamp) -> Result<()> {
        self.copy(member, content.len() as u64, member.mode(), mtime, content)
    }

    /// Writes a member of exactly `size` bytes from `input`.
    ///
    /// # Errors
    /// Returns an error if the member was written before, if the input is shorter or cannot be
    /// read, or if writing to the output fails.
    pub fn copy(
        &mut self,
        member: &Member,
        size: u64,
        mode: u32,
        mtime: Timestamp,
        mut input: impl Read,
    ) -> Result<()> {
        self.header(member, &Entry::file(member.path(), size, mode, whole_seconds(mtime)))?;
        let got = self.sink.fill(&mut input, size)?.map_err(|e| of_input(member, e))?;
        if got < size {
            return Err(Error::member(member, "the tar stream ends too early"));
        }
        Ok(self.sink.zeros(tartree::padding(size))?)
    }

    /// Writes a member with the remaining bytes of `content`, which are moved within the kernel if
    /// the output allows it.
    ///
    /// # Errors
    /// Returns an error if the member was written before, if the content ends early or cannot be
    /// read, or if writing to the output fails.
    pub fn carry<R: Read + AsFd>(
        &mut self,
        member: &Member,
        mode: u32,
        mtime: Timestamp,
        mut content: Content<'_, BufReader<R>>,
    ) -> Result<()> {
        let size = content.remaining();
        self.header(member, &Entry::file(member.path(), size, mode, whole_seconds(mtime)))?;
        content.put_into(&mut self.sink)?.map_err(|e| of_input(member, e))?;
        Ok(self.sink.zeros(tartree::padding(size))?)
    }

    /// Writes a member as it is in another archive: with `headers`, which
    /// [`ArchiveReader::take_headers`](super::ArchiveReader::take_headers) returned, or else with a
    /// new header for `entry`, and then `size` bytes of `content`.
    ///
    /// # Errors
    /// Returns an error if the member was written before, if the content is shorter or cannot be
    /// read, or if writing to the output fails.
    pub fn verbatim(
        &mut self,
        member: &Member,
        headers: Option<&[u8]>,
        entry: &Entry,
        size: u64,
        mut content: impl Read,
    ) -> Result<()> {
        match headers {
            Some(headers) if self.layers.is_none() => {
                self.add(member)?;
                self.sink.put(headers)?;
            }
            _ => self.header(member, entry)?,
        }
        let got = self.sink.fill(&mut content, size)?.map_err(|e| Error::Tar(tartree::Error::Stream(e)))?;
        if got < size {
            return Err(Error::member(member, "the tar stream ends too early"));
        }
        Ok(self.sink.zeros(tartree::padding(size))?)
    }

    /// Writes an image of memory pages while CRIU writes it, as a member of `size` bytes. If the
    /// image is shorter, zeros follow. Returns the number of bytes of the image.
    ///
    /// The input may have more bytes, which stay unread.
    ///
    /// # Errors
    /// Returns an error if the member was written before, if the input cannot be read, or if writing
    /// to the output fails.
    pub fn pages(
        &mut self,
        member: &Member,
        size: u64,
        mtime: Timestamp,
        input: PagesInput<'_>,
    ) -> Result<u64> {
        self.header(member, &Entry::file(member.path(), size, PAGES_MODE, whole_seconds(mtime)))?;
        let got = match input {
            PagesInput::Pipe(pipe) => self.sink.fill_from(pipe, size)?,
            PagesInput::Filtered(mut input) => self.sink.fill(&mut input, size)?,
        };
        let got = got.map_err(|e| of_input(member, e))?;
        self.sink.zeros(size - got + tartree::padding(size))?;
        Ok(got)
    }

    /// Writes a member from a file that `entry` describes. If the file changed since, its content
    /// is truncated or padded with zeros to the size in `entry`, and the change is reported.
    /// `mtime` is the time of the member.
    ///
    /// # Errors
    /// Returns an error if the member was written before, if the file cannot be read, or if writing
    /// to the output fails.
    pub fn file(
        &mut self,
        member: &Member,
        opened: io::Result<File>,
        entry: &Entry,
        ino: u64,
        mtime: Timestamp,
        notices: &mut dyn Notices,
    ) -> Result<()> {
        let meta = Meta { mode: entry.meta.mode & 0o777, mtime: whole_seconds(mtime), ..Meta::default() };
        self.header(member, &Entry { path: member.path(), kind: entry.kind.clone(), meta })?;
        Ok(tartree::write_content(&mut self.sink, opened, entry, ino, notices)?)
    }

    /// Writes a directory.
    ///
    /// # Errors
    /// Returns an error if the member was written before, or if writing to the output fails.
    pub fn dir(&mut self, member: &Member, mode: u32, mtime: Timestamp) -> Result<()> {
        let meta = Meta { mode, mtime: whole_seconds(mtime), ..Meta::default() };
        self.header(member, &Entry { path: member.path(), kind: Kind::Dir, meta })
    }

    /// Writes the link from an image directory to its pre-dump.
    ///
    /// # Errors
    /// Returns an error if the member was written before, or if writing to the output fails.
    pub fn parent(&mut self, member: &Member, mtime: Timestamp) -> Result<()> {
        let meta = Meta { mode: 0o777, mtime: whole_seconds(mtime), ..Meta::default() };
        let kind = Kind::Symlink { target: PARENT_TARGET.to_vec() };
        self.header(member, &Entry { path: member.path(), kind, meta })
    }

    /// Writes the end-of-archive blocks and returns the output.
    ///
    /// # Errors
    /// Returns an error if writing to the output fails.
    pub fn finish(mut self) -> Result<W> {
        self.sink.put(&END_OF_ARCHIVE)?;
        Ok(self.sink.into_inner()?)
    }

    /// Ends the archive like another archive: with its end-of-archive blocks, or else with new ones,
    /// and then `padding` zero bytes. Returns the output.
    ///
    /// # Errors
    /// Returns an error if writing to the output fails.
    pub fn finish_like(mut self, blocks: Option<&[u8]>, padding: u64) -> Result<W> {
        if self.layers.is_some() {
            return self.finish();
        }
        self.sink.put(blocks.unwrap_or(&END_OF_ARCHIVE))?;
        self.sink.zeros(padding)?;
        Ok(self.sink.into_inner()?)
    }

    /// Makes the output detectably incomplete: writes the header of a member without its content.
    /// Many readers accept a tar without end-of-archive blocks as complete (GNU tar, Go's
    /// `archive/tar` and therefore podman).
    ///
    /// # Errors
    /// Returns an error if writing to the output fails.
    pub fn spoil(mut self) -> Result<W> {
        let mut header = Vec::new();
        let path = tartree::TarPath::root().child(b".incomplete");
        let entry = Entry::file(path, 512, 0, Timestamp::default());
        tartree::encode(&mut header, &entry, RootName::Dot);
        self.sink.put(&header)?;
        Ok(self.sink.into_inner()?)
    }

    pub(super) fn add(&mut self, member: &Member) -> Result<()> {
        if !self.written.insert(member.clone()) {
            return Err(Error::member(member, "occurs twice in the archive"));
        }
        Ok(())
    }

    fn header(&mut self, member: &Member, entry: &Entry) -> Result<()> {
        self.add(member)?;
        let (mut header, position) = (Vec::new(), self.sink.position());
        match &mut self.layers {
            None => tartree::encode_aligned(&mut header, entry, RootName::Dot, position),
            Some(layers) => {
                let (entry, position) = layers.enter(member, entry, position);
                tartree::encode_aligned(&mut header, &entry, RootName::Dot, position);
            }
        }
        Ok(self.sink.put(&header)?)
    }
}

/// Returns the time without nanoseconds. With nanoseconds, each member would need a PAX header, and
/// no reader uses them.
pub(super) fn whole_seconds(mtime: Timestamp) -> Timestamp {
    Timestamp { nsec: 0, ..mtime }
}

fn of_input(member: &Member, e: io::Error) -> Error {
    Error::Nested { member: member.to_string(), source: tartree::Error::Stream(e) }
}
