//! `--pod-config`: packs the archives of containers, and the documents of their pod, into one pod
//! archive.

mod container;
mod flags;
mod operands;

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use checkpoint::Member;
use checkpoint::archive::{ArchiveFile, ArchiveWriter, Replacement, Unknown};
use checkpoint::compress::Compression;
use checkpoint::pod::{ContainerName, MAX_DOCUMENTS, PodDump, PodOptions};
use checkpoint::stream::Ending;
use cli::{Counted, Exit, Hint, Session};
use tartree::{Entry, Notice, Sink, Status, Tally, Timestamp};

use crate::archive_output::{self, ArchiveOutput};
use crate::args::Args;
use crate::from_archive::open_counting;
use crate::member_stream::MemberStream;
use crate::{bundle, expect, pack};

pub use flags::Pod;
use operands::PodConfig;

pub fn run(args: &Args, config: &Path, session: &Session) -> anyhow::Result<Exit> {
    let settings = pack::settings(&args.compress)?;
    let files = pack::member_files(&args.input.member, args.input.allow_unknown)?;
    operands::check(args, config, &files)?;
    let config = PodConfig::read(config)?;
    let ending = if args.input.raw_members { Ending::Raw } else { Ending::Proved };
    let streams = args.input.streams.iter().map(|path| MemberStream::open(path, ending));
    let streams = streams.collect::<Result<Vec<_>, _>>()?;
    let options = operands::options(args, &config.dump)?;
    session.stage("packing", operands::total(args));
    let output = args.output.binary()?;
    let output_name = output.name().to_owned();
    // The size of a member is known late if it comes from a pipe.
    let seekable = archive_output::seekable(&output).with_context(|| output_name.clone())?;
    let seekable = seekable.filter(|_| flags::is_plain(args));
    let output = ArchiveOutput::new(output, &settings, &args.image, Timestamp::default(), None)?;
    let passage = output.passage();
    let mut packer = Packer {
        args,
        writer: ArchiveWriter::on(Sink::direct(Counted::new(output), passage)),
        time: pack::archive_time(config.time)?,
        output_name,
        seekable,
        replacements: Vec::new(),
        changed: 0,
        documents: 0,
        session,
    };
    match packer.pack(&options, &config, &files, streams) {
        Ok(()) => packer.finish(),
        Err(e) => {
            // If the failure marker cannot be written either, the output is truncated, and readers
            // detect that.
            let _ = packer.writer.spoil().map(|mut output| output.flush());
            Err(e)
        }
    }
}

struct Packer<'a> {
    args: &'a Args,
    writer: ArchiveWriter<Counted<ArchiveOutput>>,
    /// The time of all members, so that packing the same archives again yields the same bytes.
    time: Timestamp,
    output_name: String,
    /// The output and the offset of the archive in it, if headers can be replaced.
    seekable: Option<(File, u64)>,
    /// The headers to replace, at most one for each container.
    replacements: Vec<Replacement>,
    changed: u64,
    /// The number of documents of the pod, without pod.options and pod.dump.
    documents: usize,
    session: &'a Session,
}

impl Packer<'_> {
    /// Writes all members.
    fn pack(
        &mut self,
        options: &[u8],
        config: &PodConfig,
        files: &[(Member, PathBuf)],
        streams: Vec<MemberStream>,
    ) -> anyhow::Result<()> {
        self.writer.small(&PodOptions::member(), options, self.time)?;
        self.writer.small(&PodDump::member(), &config.text, self.time)?;
        for (member, path) in files {
            self.document(member)?;
            let file = bundle::open(path)?;
            self.file(member, file).with_context(|| cli::display_path(path))?;
        }
        for stream in streams {
            self.stream(stream)?;
        }
        expect::check_given(self.writer.written(), &self.args.include, self.session)?;
        for (name, path) in &self.args.pod.container {
            self.container(name, path)?;
        }
        Ok(())
    }

    /// Checks that a reader accepts `member` as a further document of the pod.
    fn document(&mut self, member: &Member) -> anyhow::Result<()> {
        operands::check_member(member, &self.args.pod.container)?;
        self.documents += 1;
        if self.documents > MAX_DOCUMENTS {
            anyhow::bail!("expected at most {MAX_DOCUMENTS} documents of the pod");
        }
        Ok(())
    }

    fn file(&mut self, member: &Member, file: File) -> anyhow::Result<()> {
        let status = Status::at(file.as_fd(), "".as_ref())?;
        let entry = Entry::file(member.path(), status.size(), member.mode(), status.mtime());
        let mut tally = Tally::new(|notice: &Notice| self.session.warn(notice));
        self.writer.file(member, Ok(file), &entry, status.identity().ino, self.time, &mut tally)?;
        self.changed += tally.changed;
        Ok(())
    }

    /// Writes the members of a stream, which belong to the pod.
    fn stream(&mut self, mut stream: MemberStream) -> anyhow::Result<()> {
        while let Some((member, _)) = stream.next()? {
            self.document(&member).with_context(|| stream.name().to_owned())?;
            self.writer
                .carry(&member, member.mode(), self.time, stream.content())
                .with_context(|| stream.name().to_owned())?;
        }
        self.changed += stream.changed(self.session);
        Ok(())
    }

    /// Writes the archive of a container.
    fn container(&mut self, name: &ContainerName, path: &Path) -> anyhow::Result<()> {
        // The output counts the bytes.
        let mut archive = open_counting(self.args, path, Unknown::Keep, None, |_| {})?;
        let object = archive.name().to_owned();
        self.archive(&Member::of(&name.member()), &mut archive).context(object)
    }

    fn archive(&mut self, member: &Member, archive: &mut ArchiveFile) -> anyhow::Result<()> {
        let is_file = archive.can_rewind() && archive.image().is_none();
        if let Some((mut file, 0)) = archive.file()?.filter(|_| is_file) {
            if archive.decompressed()?.compression() == Compression::None {
                container::check(archive.survey()?, self.session)?;
                file.seek(SeekFrom::Start(0))?;
                let before = self.changed;
                self.file(member, file)?;
                // Its bytes are no longer those that were checked.
                anyhow::ensure!(self.changed == before, "changed while it was read");
                return Ok(());
            }
        }
        let limits = archive.limits().clone();
        let writer = &mut self.writer;
        if self.seekable.is_some() {
            let growing = writer.grow(member, self.time)?;
            container::copy(
                archive.decompressed()?,
                &limits,
                &mut |bytes| writer.append(bytes),
                self.session,
            )?;
            self.replacements.push(writer.end(growing)?);
            return Ok(());
        }
        if !archive.can_rewind() {
            let e = anyhow::anyhow!("expected a file: the size of a pipe is not known before its end");
            return Err(Hint::on(e, "write the pod archive to a file without --compress: -o FILE"));
        }
        let size = container::copy(archive.decompressed()?, &limits, &mut |_| Ok(()), self.session)?;
        Ok(writer.copy(member, size, member.mode(), self.time, archive.decompressed()?)?)
    }

    /// Replaces the headers of members whose sizes were not known, and gives the output its name.
    fn finish(self) -> anyhow::Result<Exit> {
        let output = self.writer.finish()?.into_inner();
        if let Some((file, start)) = &self.seekable {
            for Replacement { position, header } in &self.replacements {
                file.write_all_at(header, start + position).with_context(|| self.output_name.clone())?;
            }
        }
        output.finish_archive()?;
        Ok(if self.changed > 0 { Exit::Changed } else { Exit::Done })
    }
}
