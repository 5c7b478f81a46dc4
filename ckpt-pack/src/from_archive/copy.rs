//! Copies the members, one after another.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;

use anyhow::Context;
use checkpoint::Member;
use checkpoint::archive::{ArchiveWriter, MemberContent, Members, Rest, missing};
use checkpoint::config_dump::ConfigDump;
use checkpoint::criu::check::{Copied, Watched};
use checkpoint::criu::core_image;
use checkpoint::delta::Delta;
use checkpoint::spec_dump::{Engine, SpecDump};
use cli::Session;
use tartree::{Entry, Kind, Notice, Status, Tally, TarPath, Timestamp};

use super::documents::{Document, Documents};
use crate::archive_output::ArchiveOutput;
use crate::args::{Args, ExtraFamily, Format};
use crate::criu_images::refuse;
use crate::engine_documents::ignored_by;
use crate::increment::Flattening;
use crate::increment::args::Incremental;
use crate::member_stream::MemberStream;
use crate::network::read_status;
use crate::{bundle, expect, operands, pack};

/// Copies members from an archive to an output.
pub struct Copier<'a> {
    args: &'a Args,
    writer: ArchiveWriter<ArchiveOutput>,
    /// The members of `--member`.
    files: &'a [(Member, PathBuf)],
    /// The member streams that have not been read.
    streams: Vec<MemberStream>,
    /// The members from files and streams, which replace those of the archive.
    given: BTreeSet<Member>,
    documents: Documents,
    /// The memory of the bases, with `--flatten`.
    flattening: Option<Flattening>,
    /// The images, for the check that CRIU can restore them.
    images: Copied,
    /// The document that names the base of the images.
    delta: Option<Delta>,
    architecture: Option<&'static str>,
    /// The time of members that are not in the archive: that of the dump as far as it is known.
    time: Option<Timestamp>,
    changed: u64,
    session: &'a Session,
}

/// The end of the archive that was copied.
pub struct End {
    blocks: Option<Vec<u8>>,
    pub rest: Rest,
}

/// The facts that were found in the archive.
pub struct Found {
    pub config: ConfigDump,
    pub spec: SpecDump,
    /// The architecture of CRIU's images.
    pub architecture: Option<&'static str>,
    /// The time of the dump.
    pub time: Timestamp,
    /// Whether a file changed while it was read.
    pub changed: bool,
}

impl<'a> Copier<'a> {
    /// Prepares to copy to `output`.
    pub fn new(
        args: &'a Args,
        files: &'a [(Member, PathBuf)],
        streams: Vec<MemberStream>,
        mut output: ArchiveOutput,
        flattening: Option<Flattening>,
        session: &'a Session,
    ) -> Copier<'a> {
        let layers = output.layer_starts(&args.image);
        let writer = ArchiveWriter::new(output);
        Copier {
            args,
            writer: match layers {
                Some(starts) => writer.in_layers(starts),
                None => writer,
            },
            files,
            streams,
            given: files.iter().map(|(member, _)| member.clone()).collect(),
            documents: Documents::default(),
            flattening,
            images: Copied::default(),
            delta: None,
            architecture: None,
            time: None,
            changed: 0,
            session,
        }
    }

    /// Copies all members of the archive, or what replaces them. Returns the end of the archive.
    pub fn members(&mut self, mut reader: Members<'_>) -> anyhow::Result<End> {
        let mut has_parent = false;
        let parent = TarPath::root().child(b"parent");
        while let Some((member, entry)) = reader.next()? {
            let headers = reader.take_headers();
            self.note_time(&member, &entry);
            has_parent |= matches!(&member, Member::Images(path) if path.starts_with(&parent));
            if let Some(flag) = operands::ignored_by(&member, &self.args.include) {
                self.session.note(format_args!("{member}: left out, as requested by {flag}"));
                continue;
            }
            if member.may_be_in_a_stream() {
                self.streams()?;
            }
            if self.given.contains(&member) {
                self.session.note(format_args!("{member}: replaced"));
                self.file_of(&member)?;
                continue;
            }
            if self.is_list_of_another_diff(&member) {
                self.session
                    .note(format_args!("{member}: left out, it belongs to the diff that is replaced"));
                continue;
            }
            self.member(&member, &entry, headers, &mut reader)?;
        }
        self.flattening.as_ref().map_or(Ok(()), Flattening::check)?;
        if let Some(delta) = self.delta.as_ref().filter(|_| !has_parent && self.flattening.is_none()) {
            Incremental::check_copy(&self.args.image, delta, self.session)?;
        }
        if self.flattening.is_none() {
            check_images(&mut self.images, self.session)?;
        }
        let blocks = reader.take_headers();
        let mut seen = reader.seen().clone();
        let rest = reader.finish_counting()?;
        seen.extend(self.given.iter().cloned());
        match missing(&seen, false).into_iter().next() {
            Some(missing) => anyhow::bail!(missing),
            None => Ok(End { blocks, rest }),
        }
    }

    /// Writes the members of streams and files that replace nothing in the archive, and checks that
    /// all expected members are there.
    pub fn rest(&mut self) -> anyhow::Result<()> {
        self.streams()?;
        for (member, _) in self.files {
            if !self.writer.written().contains(member) {
                self.file_of(member)?;
            }
        }
        self.complete_for_engine()?;
        let volumes = self.args.container.volume.iter().map(|(name, _)| name);
        expect::check_volumes(volumes, self.writer.written(), &self.args.include, self.session)?;
        expect::check_given(&self.given, &self.args.include, self.session)
    }

    /// Adds status.dump for containerd, and warns of members that the engine of `--annotations` does
    /// not read.
    fn complete_for_engine(&mut self) -> anyhow::Result<()> {
        let Some(family) = self.args.image.annotations else { return Ok(()) };
        let status = Member::of(&TarPath::root().child(b"status.dump"));
        if family == ExtraFamily::Containerd && !self.writer.written().contains(&status) {
            if let Some(bytes) = self.documents.status_dump() {
                let time = pack::archive_time(self.time.unwrap_or_default())?;
                self.writer.small(&status, &bytes, time)?;
            }
        }
        for member in self.writer.written() {
            if let Some(why) = ignored_by(family, member).or_else(|| self.lost_deletions(family, member)) {
                self.session.warn(format_args!("{member}: {why}"));
            }
        }
        Ok(())
    }

    /// Returns why the deletions in `member`, which is copied, are lost on the engine of
    /// `--annotations`. Engines do not write both forms of deletions.
    fn lost_deletions(&self, family: ExtraFamily, member: &Member) -> Option<&'static str> {
        if self.given.contains(member) {
            return None;
        }
        match (family, member, self.documents.engine()) {
            (ExtraFamily::Containerd, Member::DeletedFiles | Member::DeletedFiles0, _) => Some(
                "ignored by containerd: these files come back unless the diff has their removals, \
                 as a diff of rootfs-diff has",
            ),
            (ExtraFamily::CriO, Member::RootfsDiff, Some(Engine::Containerd)) => Some(
                "a layer of containerd, whose whiteouts CRI-O does not apply: deleted files come back, \
                 unless the diff is replaced by one of rootfs-diff",
            ),
            _ => None,
        }
    }

    /// Ends the archive. Returns the output and the facts that were found.
    pub fn finish(self, end: &End) -> anyhow::Result<(ArchiveOutput, Found)> {
        let time = pack::archive_time(self.time.unwrap_or_default())?;
        let output = self.writer.finish_like(end.blocks.as_deref(), end.rest.padding)?;
        let (config, spec) = self.documents.into_both();
        let found = Found { config, spec, architecture: self.architecture, time, changed: self.changed > 0 };
        Ok((output, found))
    }

    /// Makes the output detectably incomplete.
    pub fn spoil(self) {
        // If the failure marker cannot be written either, the output is truncated, and readers
        // detect that.
        let _ = self.writer.spoil().map(|mut output| output.flush());
    }

    /// Copies a member of the archive.
    fn member(
        &mut self,
        member: &Member,
        entry: &Entry,
        headers: Option<Vec<u8>>,
        reader: &mut Members<'_>,
    ) -> anyhow::Result<()> {
        self.session.detail(member);
        if let Member::Unknown(_) = member {
            self.session.note(format_args!("{member}: unknown member, copied"));
        }
        if matches!(member, Member::ConfigDump | Member::SpecDump) {
            let bytes = cli::read_document(reader.content(), &member.to_string(), member.document_limit())?;
            let (member, entry) = (member.clone(), entry.clone());
            return self.document(Document { member, entry, headers, bytes });
        }
        if *member == Delta::member() {
            let bytes = cli::read_document(reader.content(), &member.to_string(), member.document_limit())?;
            let delta = Delta::read(&bytes)?;
            self.images.describe(&delta);
            self.delta = Some(delta);
            if self.flattening.is_none() {
                let size = bytes.len() as u64;
                return Ok(self.writer.verbatim(member, headers.as_deref(), entry, size, &bytes[..])?);
            }
        }
        if let Some(flattening) = &mut self.flattening {
            if flattening.write(member, entry, reader, &mut self.writer)? {
                return Ok(());
            }
        }
        let bound = reader.bound();
        if self.args.image.format == Format::Oci {
            if let Kind::File { map: Some(_), .. } = &entry.kind {
                // The layer of an image must not have sparse members (image-spec, layer.md).
                let content = self.checked(member, &entry.kind, reader.content())?;
                let content = MemberContent::new(&entry.kind, content, bound);
                let whole = Entry { kind: Kind::File { size: entry.kind.len(), map: None }, ..entry.clone() };
                return Ok(self.writer.verbatim(member, None, &whole, entry.kind.len(), content)?);
            }
            if self.wants(member, entry) {
                let name = member.to_string();
                let bytes = cli::read_document(reader.content(), &name, core_image::IMAGE_LIMIT)?;
                self.architecture = core_image::architecture(&name, &bytes);
                self.images.add(member, &entry.kind, &mut &bytes[..])?;
                let size = bytes.len() as u64;
                return Ok(self.writer.verbatim(member, headers.as_deref(), entry, size, &bytes[..])?);
            }
        }
        let content = reader.content();
        let size = content.remaining();
        let content = self.checked(member, &entry.kind, content)?;
        let mut content = Watched::new(member, &entry.kind, content);
        self.writer.verbatim(member, headers.as_deref(), entry, size, &mut content)?;
        self.images.watched(&content);
        Ok(())
    }

    /// Keeps an image for the check of all images. Returns the complete content again.
    fn checked<R: Read>(
        &mut self,
        member: &Member,
        kind: &Kind,
        mut content: R,
    ) -> anyhow::Result<impl Read + use<R>> {
        let mut start = Vec::new();
        self.images.add(member, kind, &mut Recording { input: &mut content, read: &mut start })?;
        Ok(io::Cursor::new(start).chain(content))
    }

    /// Returns whether the member is an image that shows the architecture.
    fn wants(&self, member: &Member, entry: &Entry) -> bool {
        let Member::Images(path) = member else { return false };
        self.architecture.is_none()
            && entry.kind.len() <= core_image::IMAGE_LIMIT
            && core_image::is_core(&path.to_string())
    }

    fn document(&mut self, document: Document) -> anyhow::Result<()> {
        for Document { member, entry, headers, bytes } in self.documents.add(document, self.args)? {
            let size = bytes.len() as u64;
            let entry = Entry { kind: Kind::File { size, map: None }, ..entry };
            self.writer.verbatim(&member, headers.as_deref(), &entry, size, &bytes[..])?;
        }
        Ok(())
    }

    fn note_time(&mut self, member: &Member, entry: &Entry) {
        let is_last_image = matches!(member, Member::Images(path) if path.as_bytes() == b"inventory.img");
        // CRIU writes its inventory last. Until it is read, the first member has the best time.
        if is_last_image || self.time.is_none() {
            self.time = Some(Timestamp { nsec: 0, ..entry.meta.mtime });
        }
    }

    /// Returns whether `member` is a deletion list of the archive, but the diff or a deletion list
    /// is given. A deletion list of another diff would delete files of the new diff.
    fn is_list_of_another_diff(&self, member: &Member) -> bool {
        let lists = [Member::DeletedFiles, Member::DeletedFiles0];
        lists.contains(member)
            && lists.iter().chain([&Member::RootfsDiff]).any(|given| self.given.contains(given))
    }

    /// Writes the member of `--member`, if there is one and it has not been written.
    fn file_of(&mut self, member: &Member) -> anyhow::Result<()> {
        let Some((_, path)) = self.files.iter().find(|(given, _)| given == member) else { return Ok(()) };
        self.file(member, bundle::open(path)?).with_context(|| cli::display_path(path))
    }

    fn file(&mut self, member: &Member, mut file: File) -> anyhow::Result<()> {
        let time = pack::archive_time(self.time.unwrap_or_default())?;
        let status = Status::at(file.as_fd(), "".as_ref())?;
        let entry = Entry::file(member.path(), status.size(), member.mode(), time);
        if matches!(member, Member::ConfigDump | Member::SpecDump) {
            let bytes = cli::read_document(&mut file, &member.to_string(), member.document_limit())?;
            return self.document(Document { member: member.clone(), entry, headers: None, bytes });
        }
        if *member == Member::NetworkStatus {
            return Ok(self.writer.small(member, &read_status(file, &member.to_string())?, time)?);
        }
        let ino = status.identity().ino;
        let mut tally = Tally::new(|notice: &Notice| self.session.warn(notice));
        let of_file = Entry::file(member.path(), status.size(), member.mode(), status.mtime());
        self.writer.file(member, Ok(file), &of_file, ino, time, &mut tally)?;
        self.changed += tally.changed;
        Ok(())
    }

    /// Writes the members of all streams. They precede the first member of the archive that one of
    /// them may replace, because what a stream contains is known only when it is read.
    fn streams(&mut self) -> anyhow::Result<()> {
        let time = pack::archive_time(self.time.unwrap_or_default())?;
        for mut stream in std::mem::take(&mut self.streams) {
            while let Some((member, _)) = stream.next()? {
                if operands::ignored_by(&member, &self.args.include).is_some() {
                    self.session.note(format_args!("{member}: skipped, as requested"));
                    continue;
                }
                if member == Member::NetworkStatus {
                    let name = format!("{}: {member}", stream.name());
                    let bytes = read_status(stream.content(), &name)?;
                    self.writer.small(&member, &bytes, time).with_context(|| stream.name().to_owned())?;
                } else {
                    self.writer
                        .carry(&member, member.mode(), time, stream.content())
                        .with_context(|| stream.name().to_owned())?;
                }
                self.given.insert(member);
            }
            self.changed += stream.changed(self.session);
        }
        Ok(())
    }
}

/// Reports the problems that prevent CRIU from restoring the images of an archive.
///
/// # Errors
/// Returns an error with the last problem, and reports the other problems.
pub fn check_images(images: &mut Copied, session: &Session) -> anyhow::Result<()> {
    let report = images.report();
    if let Some(first) = report.unchecked.first() {
        let number = report.unchecked.len();
        session.warn(format_args!("checkpoint/{first}: too large to be checked, {number} such images"));
    }
    let hint = "get the complete archive, or checkpoint the container again";
    refuse(report.problems, "checkpoint", hint.into(), session)
}

/// A reader that records the bytes that it returns.
struct Recording<'r, R> {
    input: &'r mut R,
    read: &'r mut Vec<u8>,
}

impl<R: Read> Read for Recording<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let got = self.input.read(buf)?;
        self.read.extend_from_slice(&buf[..got]);
        Ok(got)
    }
}
