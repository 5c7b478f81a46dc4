//! Packs an archive: the small members, CRIU's images, then the members of streams.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;
use checkpoint::Member;
use checkpoint::archive::ArchiveWriter;
use checkpoint::compress::{Compression, Settings};
use checkpoint::stats::{Stats, log_duration};
use cli::{Counted, Exit, Hint, Session, usage};
use tartree::{Entry, Notice, Sink, Status, Tally, TarPath, Timestamp};

use crate::archive_output::{self, ArchiveOutput};
use crate::args::{Args, Compress, ExtraFamily, Format, Include};
use crate::bundle::{self, Bundle};
use crate::containerd_output::{self, fits};
use crate::criu_images::{Dump, Images, Zeros};
use crate::documents::Documents;
use crate::engine_documents;
use crate::expect;
use crate::image_description::{Origin, check_criu, describe};
use crate::live::{self, Live};
use crate::member_stream::MemberStream;
use crate::network::{self, read_status};
use crate::operands;
use crate::sources::Sources;

/// Members that are packed unchanged from files in the bundle. Members with the container's data
/// (`rootfs-diff.tar`, volumes) are not: a file that an earlier export left behind would restore
/// old content (podman before 5.6).
const BUNDLE_FILES: [&str; 10] = [
    "network.status",
    "stats-dump",
    "ctr.log",
    "bind.mounts",
    "status",
    "status.dump",
    "pod.options",
    "pod.dump",
    "container.log",
    "io.kubernetes.cri-o.LogPath",
];

pub fn run(args: &Args, bundle: &Bundle, session: &Session) -> anyhow::Result<Exit> {
    let started = Instant::now();
    live::check_flags(args)?;
    let settings = settings(&args.compress)?;
    archive_output::check_flags(&args.image, args.compress.compress, &args.include)?;
    expect::check_flags(&args.include)?;
    check_criu(args.check.criu.as_deref())?;
    let files = member_files(&args.input.member, args.input.allow_unknown)?;
    let format = args.image.format;
    files.iter().try_for_each(|(member, _)| containerd_output::check_member(member, format))?;
    operands::check_flags(args)?;
    args.incremental.check_xor(&args.image, args.compress.compress)?;
    args.incremental.check_format(&args.image, session)?;
    network::check_flags(&args.container.network, &args.image)?;
    let dump = match (args.include.pre_checkpoint, args.include.with_previous) {
        (true, _) => Dump::Pre,
        (_, true) => Dump::SincePrevious,
        // The pages that are left out are in the rounds before.
        _ if args.precopy.page_index.is_some() => Dump::SincePrevious,
        _ => Dump::Full,
    };
    let usual = if dump == Dump::Pre { "pre-checkpoint" } else { "checkpoint" };
    let named = args.input.image_path.clone().or_else(|| live::image_path(&args.live.command));
    let image_path = named.unwrap_or_else(|| bundle.path(usual));
    operands::check_output(args, &files, bundle, &image_path, &BUNDLE_FILES)?;
    operands::check_kinds(&files)?;
    operands::check_deletions(&files, args.image.annotations)?;
    let zeros = match args.image.format {
        Format::Archive if !args.include.keep_zeros => Zeros::Holes,
        Format::Archive => Zeros::AsFound,
        Format::Oci | Format::Ctr => Zeros::Bytes,
    };
    let open = |time| open_archive(args, &settings, time, bundle);
    let mut live = Live::start(args, &image_path, dump, session)?;
    let early = live.as_mut().map(|live| pack_pages(live, open, session)).transpose()?;
    let from = (image_path.as_path(), dump, zeros);
    let sources = match Sources::open(args, bundle, &files, from, live.as_mut(), session) {
        Ok(sources) => sources,
        Err(e) => {
            if let Some(writer) = early {
                spoil(writer);
            }
            return Err(e);
        }
    };
    let Sources { images, time, mut documents, namespaces, streams } = sources;
    let writer = match early {
        Some(writer) => writer,
        None => {
            session.stage("packing", total(&images, &files, &streams));
            open(time)?
        }
    };
    let mut packer = Packer {
        writer,
        time,
        family: args.image.annotations,
        include: &args.include,
        unread_pipe: live.is_none() && operands::has_unread_pipe(&args.input.streams),
        format,
        tally: Tally::new(|notice: &Notice| {
            session.warn(format_args!("{}/{notice}", cli::display_path(&image_path)))
        }),
        session,
    };
    let packed = packer.pack(bundle, &image_path, &mut documents, &files, images, streams);
    let packed = packed.and_then(|changed| {
        live.as_mut().map_or(Ok(()), Live::check_producers)?;
        Ok(changed)
    });
    match packed {
        Ok(changed) => {
            if let Some(namespaces) =
                namespaces.filter(|_| packer.writer.written().contains(&Member::NetworkStatus))
            {
                namespaces.warn_of_network(&image_path, session);
            }
            let runtime = args.container.runtime.as_deref();
            packer.writer.finish()?.into_inner().finish(|| {
                let origin = Origin::host(&documents.config, args.check.criu.as_deref(), runtime);
                describe(&documents.config, &documents.spec, &args.image, origin, time)
            })?;
            let packing = started.elapsed();
            live.take().map(|live| live.complete(session)).transpose()?;
            if args.image.print_stats {
                print_stats(bundle, &image_path, &documents, args, packing)?;
            }
            Ok(if changed { Exit::Changed } else { Exit::Done })
        }
        Err(e) => {
            spoil(packer.writer);
            Err(e)
        }
    }
}

/// The writer of the archive.
type Writer = ArchiveWriter<Counted<ArchiveOutput>>;

fn open_archive(
    args: &Args,
    settings: &Settings,
    time: Timestamp,
    bundle: &Bundle,
) -> anyhow::Result<Writer> {
    let output = args.output.binary()?;
    let mut output = ArchiveOutput::new(output, settings, &args.image, time, Some(bundle.dir()))?;
    if args.incremental.xor {
        output.limit_window()?;
    }
    let (passage, layers) = (output.passage(), output.layer_starts(&args.image));
    let writer = ArchiveWriter::on(Sink::direct(Counted::new(output), passage));
    Ok(match layers {
        Some(starts) => writer.in_layers(starts),
        None => writer,
    })
}

/// Starts the archive with the pages images that CRIU is writing.
fn pack_pages(
    live: &mut Live,
    open: impl FnOnce(Timestamp) -> anyhow::Result<Writer>,
    session: &Session,
) -> anyhow::Result<Writer> {
    // CRIU has not written its inventory yet, whose time the other members have.
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let sec = i64::try_from(now.as_secs()).unwrap_or_default();
    let time = archive_time(Timestamp { sec, nsec: 0 })?;
    let mut writer = open(time)?;
    match live.pack_pages(&mut writer, time, session) {
        Ok(()) => Ok(writer),
        Err(e) => {
            spoil(writer);
            Err(e)
        }
    }
}

/// Makes the output detectably incomplete.
fn spoil(writer: Writer) {
    // If the failure marker cannot be written either, the output is truncated, and readers detect
    // that.
    let _ = writer.spoil().map(|mut output| output.flush());
}

/// Returns the size of the archive in bytes without headers and small members, or `None` if a
/// stream is a pipe.
fn total(images: &Images, files: &[(Member, PathBuf)], streams: &[MemberStream]) -> Option<u64> {
    let files = files.iter().map(|(_, path)| path.metadata().ok().map(|meta| meta.len()));
    let parts = files.chain(streams.iter().map(MemberStream::size)).chain([images.size()]);
    parts.into_iter().try_fold(0u64, |sum, part| Some(sum.saturating_add(part?)))
}

/// Prints the statistics that podman prints with the same flag. The total duration is the duration
/// of CRIU's dump plus the duration of packing.
fn print_stats(
    bundle: &Bundle,
    image_path: &Path,
    documents: &Documents,
    args: &Args,
    packing: Duration,
) -> anyhow::Result<()> {
    let Some((file, name)) = work_file(bundle, image_path, "stats-dump")? else {
        anyhow::bail!(
            "{}: no such file, CRIU writes it into its --work-path",
            cli::display_path(bundle.path("stats-dump"))
        );
    };
    let stats = Stats::read(&name, &cli::read_document(file, &name, Stats::LIMIT)?)?;
    let runtime = match work_file(bundle, image_path, "dump.log")? {
        Some((log, name)) => log_duration(&log).with_context(|| name)?,
        None => None,
    };
    let packing = u64::try_from(packing.as_micros()).ok();
    let total = runtime.zip(packing).and_then(|(runtime, packing)| runtime.checked_add(packing));
    let report = stats.report(documents.config.text("id").unwrap_or_default(), runtime, total);
    // Without -o, standard output is the archive.
    match args.output.output.as_deref().is_some_and(|path| path != Path::new("-")) {
        true => writeln!(std::io::stdout(), "{report:#}")?,
        false => writeln!(std::io::stderr(), "{report:#}")?,
    }
    Ok(())
}

/// Opens a file that CRIU wrote into its work directory: the bundle, or by default the image
/// directory.
fn work_file(bundle: &Bundle, image_path: &Path, name: &str) -> anyhow::Result<Option<(File, String)>> {
    if let Some(file) = bundle.file(name)? {
        return Ok(Some((file, cli::display_path(bundle.path(name)))));
    }
    let path = image_path.join(name);
    Ok(if path.is_file() { Some((bundle::open(&path)?, cli::display_path(&path))) } else { None })
}

struct Packer<'a, N> {
    writer: Writer,
    /// Time of every member that is not from a directory. It is fixed, so that packing the same
    /// checkpoint again yields the same bytes.
    time: Timestamp,
    /// The engine of `--annotations`.
    family: Option<ExtraFamily>,
    include: &'a Include,
    /// Whether standard input is a pipe that is not among the member streams.
    unread_pipe: bool,
    /// The format of the output. Only an archive may have sparse members.
    format: Format,
    tally: Tally<N>,
    session: &'a Session,
}

impl<N: FnMut(&Notice)> Packer<'_, N> {
    /// Writes all members. Returns whether a file changed while it was read.
    fn pack(
        &mut self,
        bundle: &Bundle,
        image_path: &Path,
        documents: &mut Documents,
        files: &[(Member, PathBuf)],
        images: Images,
        mut streams: Vec<MemberStream>,
    ) -> anyhow::Result<bool> {
        let mut status = None;
        // If there are streams, they have the current network.status.
        if documents.needs_network_status() {
            if let Some((_, path)) = files.iter().find(|(member, _)| *member == Member::NetworkStatus) {
                let limit = Member::NetworkStatus.document_limit();
                let bytes = cli::read_document(bundle::open(path)?, &cli::display_path(path), limit)?;
                status = documents.complete_network(Some(bytes), self.session)?;
            } else if streams.is_empty() {
                status = documents.complete_network(network_status(bundle)?, self.session)?;
            }
        }
        if !documents.needs_network_status() {
            self.writer.small(&Member::ConfigDump, &documents.config.write(), self.time)?;
        }
        self.writer.small(&Member::SpecDump, &documents.spec_bytes, self.time)?;
        if let Some(status) = &documents.status_bytes {
            let member = Member::of(&TarPath::root().child(b"status.dump"));
            self.writer.small(&member, status, self.time)?;
        }
        if let Some(bytes) = status {
            self.writer.small(&Member::NetworkStatus, &bytes, self.time)?;
        }
        let (early, late): (Vec<_>, Vec<_>) = files
            .iter()
            .filter(|(member, _)| !matches!(member, Member::ConfigDump | Member::SpecDump))
            .partition(|(member, _)| is_small(member));
        for (member, path) in early {
            if *member == Member::NetworkStatus {
                if !self.writer.written().contains(member) {
                    let bytes = read_status(bundle::open(path)?, &cli::display_path(path))?;
                    self.writer.small(member, &bytes, self.time)?;
                }
                continue;
            }
            self.file(member, bundle::open(path)?).with_context(|| cli::display_path(path))?;
        }
        for name in BUNDLE_FILES {
            // The network may have changed since the bundle's file was written; a stream has its
            // current state.
            if name != "network.status" || streams.is_empty() {
                self.bundle_file(bundle, name)?;
            }
        }
        if self.format != Format::Ctr && !self.writer.written().contains(&Member::StatsDump) {
            if let Some((file, name)) = work_file(bundle, image_path, "stats-dump")? {
                self.file(&Member::StatsDump, file).with_context(|| name)?;
            }
        }
        let artifacts = bundle.path("artifacts");
        if artifacts.is_dir() && self.format == Format::Ctr {
            self.session.note("artifacts: not packed, a checkpoint of containerd cannot hold it");
        } else if artifacts.is_dir() {
            // Artifacts are not part of the progress total, so their holes are not subtracted from
            // it.
            let zeros = if self.format == Format::Archive { Zeros::AsFound } else { Zeros::Bytes };
            Images::open(&artifacts, Dump::Artifacts, zeros)?.write(
                &mut self.writer,
                &mut self.tally,
                |_| {},
            )?;
        }
        images.write(&mut self.writer, &mut self.tally, |holes| self.session.reduce_total(holes))?;
        for (member, path) in late {
            self.file(member, bundle::open(path)?).with_context(|| cli::display_path(path))?;
        }
        let mut changed = 0;
        for stream in &mut streams {
            self.stream(stream, documents)?;
            changed += stream.changed(self.session);
        }
        expect::check_complete(
            self.writer.written(),
            &documents.config.volumes()?,
            self.include,
            self.unread_pipe,
            self.session,
        )?;
        operands::warn_of_left_out(bundle, self.writer.written(), files, self.include, self.session);
        self.warn_of_ignored();
        // This comes after --expect is checked: an older file in the bundle does not replace the
        // member of a producer that never ran.
        match documents.needs_network_status() {
            true => self.network(documents, network_status(bundle)?)?,
            false => self.bundle_file(bundle, "network.status")?,
        }
        Ok(changed + self.tally.changed > 0)
    }

    /// Writes network.status, and config.dump, which was incomplete without it.
    fn network(&mut self, documents: &mut Documents, status: Option<Vec<u8>>) -> anyhow::Result<()> {
        if let Some(bytes) = documents.complete_network(status, self.session)? {
            self.writer.small(&Member::NetworkStatus, &bytes, self.time)?;
        }
        Ok(self.writer.small(&Member::ConfigDump, &documents.config.write(), self.time)?)
    }

    /// Warns of members that the engine of `--annotations` does not read.
    fn warn_of_ignored(&self) {
        let Some(family) = self.family else { return };
        for member in self.writer.written() {
            if let Some(why) = engine_documents::ignored_by(family, member) {
                self.session.warn(format_args!("{member}: {why}"));
            }
        }
    }

    fn bundle_file(&mut self, bundle: &Bundle, name: &str) -> anyhow::Result<()> {
        let member = Member::of(&TarPath::root().child(name.as_bytes()));
        let Some(file) = bundle.file(name)? else { return Ok(()) };
        if self.writer.written().contains(&member) {
            return Ok(());
        }
        if !fits(&member, self.format) {
            // CRIU's statistics describe the dump and are not needed for a restore.
            if member != Member::StatsDump {
                self.session.note(format_args!(
                    "{}: not packed, a checkpoint of containerd cannot hold it",
                    cli::display_path(bundle.path(name))
                ));
            }
            return Ok(());
        }
        self.file(&member, file).with_context(|| cli::display_path(bundle.path(name)))
    }

    /// Writes a member from a file. Notices name the member.
    fn file(&mut self, member: &Member, file: File) -> anyhow::Result<()> {
        let status = Status::at(file.as_fd(), "".as_ref())?;
        let entry = Entry::file(member.path(), status.size(), member.mode(), status.mtime());
        let ino = status.identity().ino;
        Ok(self.writer.file(member, Ok(file), &entry, ino, self.time, &mut self.tally)?)
    }

    fn stream(&mut self, stream: &mut MemberStream, documents: &mut Documents) -> anyhow::Result<()> {
        while let Some((member, _)) = stream.next()? {
            if operands::ignored_by(&member, self.include).is_some() {
                self.session.note(format_args!("{member}: skipped, as requested"));
                continue;
            }
            containerd_output::check_member(&member, self.format)
                .with_context(|| stream.name().to_owned())?;
            if member == Member::NetworkStatus {
                let name = format!("{}: {member}", stream.name());
                let bytes = read_status(stream.content(), &name)?;
                match documents.needs_network_status() {
                    true => self.network(documents, Some(bytes)),
                    false => self.writer.small(&member, &bytes, self.time).map_err(anyhow::Error::from),
                }
                .with_context(|| stream.name().to_owned())?;
                continue;
            }
            self.writer
                .carry(&member, member.mode(), self.time, stream.content())
                .with_context(|| stream.name().to_owned())?;
        }
        Ok(())
    }
}

/// Reads the network.status of the bundle; returns `None` if there is none.
fn network_status(bundle: &Bundle) -> anyhow::Result<Option<Vec<u8>>> {
    bundle.document("network.status", Member::NetworkStatus.document_limit())
}

/// Returns whether a member belongs before CRIU's images, so that a reader finds it early.
fn is_small(member: &Member) -> bool {
    !matches!(
        member,
        Member::RootfsDiff
            | Member::DeletedFiles
            | Member::DeletedFiles0
            | Member::DevShm
            | Member::Volume(_)
    )
}

/// Returns the members of `--member` with their files.
pub fn member_files(given: &[(String, PathBuf)], unknown: bool) -> anyhow::Result<Vec<(Member, PathBuf)>> {
    let mut files: Vec<(Member, PathBuf)> = Vec::new();
    for (name, path) in given {
        let path_in_archive = TarPath::parse(name.as_bytes()).map_err(|e| usage(format!("--member: {e}")))?;
        let member = Member::of(&path_in_archive);
        if let Some(why) = member.refusal() {
            return Err(usage(format!("--member: {name}: {why}")));
        }
        match member {
            Member::Unknown(_) if !unknown || path_in_archive.is_root() => {
                return Err(Hint::on(
                    usage(format!("--member: {name}: not a member of a checkpoint archive")),
                    "see FILES in ckpt-pack(1) for the names of members, or add --allow-unknown",
                ));
            }
            Member::Images(_) | Member::PreImages(_) => {
                return Err(usage(format!("--member: {name}: images come from --image-path only")));
            }
            _ if files.iter().any(|(m, _)| *m == member) => {
                return Err(usage(format!("--member: {name}: given twice")));
            }
            member => files.push((member, path.clone())),
        }
    }
    Ok(files)
}

/// Returns SOURCE_DATE_EPOCH if it is set, else the time of the dump without fractions of a second.
pub fn archive_time(dumped: Timestamp) -> anyhow::Result<Timestamp> {
    match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => match text.parse() {
            Ok(sec) => Ok(Timestamp { sec, nsec: 0 }),
            Err(_) => Err(usage(format!("SOURCE_DATE_EPOCH: expected a number of seconds, found {text:?}"))),
        },
        Err(_) => Ok(Timestamp { nsec: 0, ..dumped }),
    }
}

/// Returns the settings of the encoder.
pub fn settings(args: &Compress) -> anyhow::Result<Settings> {
    if args.compress == Compression::None {
        for (flag, given) in [("--level", args.level.is_some()), ("--threads", args.threads.is_some())] {
            if given {
                return Err(Hint::on(
                    usage(format!("{flag} has no effect without --compress")),
                    "add --compress zstd",
                ));
            }
        }
    }
    match (args.level, args.compress.levels()) {
        (Some(level), Some((range, _))) if !range.contains(&level) => {
            let (compression, from, to) = (args.compress, range.start(), range.end());
            return Err(usage(format!("--level: expected {from} to {to} for {compression}, found {level}")));
        }
        _ => {}
    }
    let threads = match args.threads {
        Some(threads) => usize::from(threads),
        None if args.compress == Compression::None => 1,
        None => tartree::parallel::processors(),
    };
    Ok(Settings { compression: args.compress, level: args.level, threads })
}
