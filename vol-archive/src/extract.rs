//! `vol-archive extract`: extracts a tar or a member stream into directories.

use std::ffi::OsString;
use std::io::{BufReader, Read};
use std::os::fd::AsFd;
use std::path::Path;

use anyhow::Context;
use checkpoint::compress::Bound;
use checkpoint::stream::{Ending, StreamReader};
use checkpoint::tar_input::TarInput;
use checkpoint::tar_kind::{Evidence, TarKind};
use cli::{Counted, Exit, Hint, Input, Modified, Session};
use tartree::{Devices, ExtractOptions, Extractor, Notice, Reader, Root, extract_tar};

use crate::args::Extract;
use crate::volume::{Operands, operands, refuse_missing_volumes, refuse_shared_directories, take_volume};

pub fn run(args: &Extract, session: &Session) -> anyhow::Result<Exit> {
    let options = ExtractOptions {
        ids: args.ids.maps()?,
        no_same_owner: args.no_same_owner,
        devices: Devices::in_volume(args.no_devices),
        cross_mounts: args.cross_mounts,
        ..ExtractOptions::default()
    };
    let limits = args.bounds.limits();
    refuse_input_file(&args.operands)?;
    let operands = operands("extract", &args.operands, &args.members)?;
    let what = if args.members.members { "a member stream" } else { "a tar" };
    if let Operands::Members(volumes) = &operands {
        refuse_shared_directories(volumes)?;
    }
    let input = Input::open(None, what)?;
    let modified = Modified::new(session, PARTIAL);
    session.stage("extracting", input.rest());
    let bound = Bound::new(args.bounds.content_bytes(), None);
    let (is_file, stdin) = (input.rest().is_some(), "standard input");
    let mut input = TarInput::open(Counted::new(input), is_file, bound.clone()).context(stdin)?;
    if args.members.members {
        input.expect(what, true).context(stdin)?;
    } else {
        input.expect_volume(VOLUME, args.any_tar).map_err(explained).context(stdin)?;
    }
    match operands {
        Operands::Plain(dir) => {
            let extraction = Extraction { dir: &dir, options: &options, args, session, modified: &modified };
            let mut reader = Reader::direct(input, limits, |tar, output, n| {
                tar.past_buffer(|input| {
                    Some(input.moving(|input, count| tartree::transfer(input.as_fd(), output, n, count)))
                })
            });
            extraction.plain(&mut reader)?;
            args.durable.sync(&dir)?;
        }
        Operands::Members(mut volumes) => {
            let mut stream = StreamReader::new(input, Ending::Proved).with_limits(limits.clone());
            while let Some((member, _)) = stream.next()? {
                let Some(volume) = take_volume(&mut volumes, &member)? else {
                    session.note(format_args!("{member}: not a volume, ignored"));
                    continue;
                };
                let content = BufReader::with_capacity(256 << 10, stream.content());
                let mut tar = TarInput::open(content, false, bound.within())?;
                tar.expect_volume(VOLUME, args.any_tar).with_context(|| member.to_string())?;
                let mut reader = Reader::new(tar, limits.clone());
                let dir = &volume.dir;
                Extraction { dir, options: &options, args, session, modified: &modified }
                    .run(&mut reader)
                    .with_context(|| member.to_string())?;
                args.durable.sync(&volume.dir)?;
            }
            refuse_missing_volumes(&volumes)?;
        }
    }
    Ok(Exit::Done)
}

/// Rejects a file as an operand: with tar, the file is named before the directory.
fn refuse_input_file(operands: &[OsString]) -> anyhow::Result<()> {
    let Some(file) = operands.iter().find(|operand| Path::new(operand).is_file()) else { return Ok(()) };
    let file = cli::display_path(file);
    let error =
        cli::usage(format!("{file}: expected a directory, since the tar is read from standard input"));
    Err(Hint::on(error, format!("vol-archive extract DIR < {file}")))
}

/// What an error or a signal leaves of a directory.
const PARTIAL: &str = "may be incomplete, extract the volume again with --replace";

/// The expected tar, in error messages.
const VOLUME: &str = "the tar of a volume";

/// Adds a hint with the command that reads this kind of tar.
fn explained(e: checkpoint::Error) -> anyhow::Error {
    let hint = match &e {
        checkpoint::Error::Kind { found: TarKind::MemberStream, .. } => {
            "a member stream is extracted with --members NAME=DIR"
        }
        checkpoint::Error::Kind { found: TarKind::Pod, .. } => {
            "of the pod: ckpt-unpack --cat MEMBER FILE; of a container: add --container NAME"
        }
        checkpoint::Error::Kind { .. } => {
            "ckpt-unpack --bundle DIR --volume NAME=DIR < FILE; --any-tar extracts any tar as it is"
        }
        _ => return e.into(),
    };
    Hint::on(e, hint)
}

/// The extraction of one tar into one directory.
struct Extraction<'a> {
    dir: &'a Path,
    options: &'a ExtractOptions,
    args: &'a Extract,
    session: &'a Session,
    modified: &'a Modified,
}

impl Extraction<'_> {
    /// Extracts a tar that is the complete input. Returns an error if the names in the tar show
    /// that it is not the tar of a volume.
    fn plain(&self, reader: &mut Reader<impl Read>) -> anyhow::Result<()> {
        let kind = self.run(reader)?;
        // Reads to the end, so that the writer is not killed by SIGPIPE while it writes its
        // padding, and so that the checksum at the end of a compressed stream is verified.
        reader.drain()?;
        match kind {
            Some(found) if !self.args.any_tar => {
                let e = explained(checkpoint::Error::Kind { found, expected: VOLUME });
                let name = cli::display_path(self.dir);
                Err(e
                    .context("standard input")
                    .context(format!("{name}: now holds files that are not part of a volume")))
            }
            _ => Ok(()),
        }
    }

    /// Extracts a tar. Returns the kind of tar that the names of the entries suggest. Reports an
    /// incomplete directory.
    fn run(&self, reader: &mut Reader<impl Read>) -> anyhow::Result<Option<TarKind>> {
        let extracted = self.extract(reader);
        if extracted.is_err() {
            self.modified.report(self.session);
        }
        extracted
    }

    fn extract(&self, reader: &mut Reader<impl Read>) -> anyhow::Result<Option<TarKind>> {
        let Extraction { dir, session, .. } = *self;
        let object = || cli::display_path(dir);
        cli::private::dir(dir).with_context(object)?;
        let root = Root::open(dir).with_context(object)?;
        let name = object();
        let mut notices = |notice: Notice| session.warn(format_args!("{name}/{notice}"));
        let mut extractor = Extractor::new(root, self.options.clone());
        self.modified.add(dir);
        if self.args.replace {
            extractor.empty().with_context(object)?;
        }
        let mut evidence = Evidence::default();
        extract_tar(reader, &mut extractor, &mut notices, |entry| {
            evidence.add(entry);
            session.detail(&entry.path);
        })
        .with_context(object)?;
        extractor.finish(&mut notices).with_context(object)?;
        Ok(evidence.kind())
    }
}
