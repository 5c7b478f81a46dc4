//! `--verify`: checks the complete archive. The same checks run before an archive that can be read
//! twice is unpacked.

mod pod;

use std::collections::BTreeSet;
use std::io::Write;

use anyhow::Context;
use checkpoint::archive::{ArchiveFile, MemberContent, missing};
use checkpoint::compress::Bound;
use checkpoint::config_dump::{ConfigDump, NamedVolume};
use checkpoint::criu::check::Report;
use checkpoint::delta::Delta;
use checkpoint::spec_dump::SpecDump;
use checkpoint::tar_input::TarInput;
use checkpoint::{Member, VolumeName, deleted_files};
use cli::{Exit, Output, Session};
use tartree::{Item, Kind, Limits, Reader, Skip};

use crate::archive_input;
use crate::args::Args;
use crate::base::{self, Bases};
use crate::verify_images::ImageCheck;

pub fn run(args: &Args, session: &Session) -> anyhow::Result<Exit> {
    let mut archive = archive_input::open_any(args.archive.as_deref(), args)?;
    session.stage("verifying", archive.size());
    if archive.is_pod() {
        return pod::run(archive, args, session);
    }
    let bases = Bases::open(&args.include.base, args)?;
    let verified = verify(&mut archive, bases, Rest::Ignored, session)?;
    Ok(if verified.problems == 0 { Exit::Done } else { Exit::Failed })
}

/// The bytes after the end of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    /// No reader reads them.
    Ignored,
    /// They are a problem.
    Refused,
}

/// The result of the check of one archive.
struct Verified {
    /// The number of problems, which were reported.
    problems: u64,
    pages: LeftOut,
}

/// Checks one archive, prints what was checked, and reports the problems.
fn verify(
    archive: &mut ArchiveFile,
    bases: Bases,
    rest: Rest,
    session: &Session,
) -> anyhow::Result<Verified> {
    let name = archive.name().to_owned();
    let mut problems = 0u64;
    let mut problem = |e: anyhow::Error| {
        problems += 1;
        cli::report(session, &archive_input::explain(e).context(name.clone()));
        Ok(())
    };
    let mut images = ImageCheck::new(bases);
    let mut pages = LeftOut::Found;
    match scan(archive, Some((&mut images, session)), &mut |_| Ok(()), &mut problem) {
        Ok(contents) => {
            let report = images.report();
            for what in &report.problems {
                problem(anyhow::anyhow!("checkpoint/{what}"))?;
            }
            // The warnings about a container of a pod need its name.
            let object = if rest == Rest::Refused { format!("{name}: ") } else { String::new() };
            pages = check_pages(&mut images, &contents, &object, &mut problem, session)?;
            let previous = images.previous();
            if previous.is_empty() && images.previous_leaves_out() {
                session.warn(format_args!(
                    "{object}pre-checkpoint/: not complete without the earlier rounds, whose pages were not checked",
                ));
                pages = LeftOut::Elsewhere;
            }
            previous.into_iter().try_for_each(|what| problem(anyhow::anyhow!(what)))?;
            if contents.rest > 0 && rest == Rest::Refused {
                problem(anyhow::anyhow!("{} bytes after the end of the archive", contents.rest))?;
            }
            for what in contents.missing(false) {
                problem(anyhow::anyhow!(what))?;
            }
            for volume in contents.missing_volumes() {
                session.warn(format_args!("{name}: {}", missing_volume(volume)));
            }
            if let Some(first) = report.unchecked.first() {
                session.warn(format_args!(
                    "{name}: checkpoint/{first}: too large to be checked, {} such images",
                    report.unchecked.len()
                ));
            }
            for image in &report.unannounced {
                session.warn(format_args!(
                    "{name}: checkpoint/{image}: no process needs this image, it may be from an earlier dump"
                ));
            }
            if problems == 0 && !session.is_quiet() {
                session.end_stages();
                summary(&name, pages, &contents, &report)?;
            }
        }
        // The rest of the archive cannot be read after this error.
        Err(e) => problem(e)?,
    }
    Ok(Verified { problems, pages })
}

/// Whether the pages that the images leave out were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LeftOut {
    /// All were found, or there are none.
    Found,
    /// They are in an archive that was not given.
    Elsewhere,
}

/// Checks the pages that the images leave out. `object` precedes the warnings.
fn check_pages(
    images: &mut ImageCheck,
    contents: &Contents,
    object: &str,
    problem: &mut dyn FnMut(anyhow::Error) -> anyhow::Result<()>,
    session: &Session,
) -> anyhow::Result<LeftOut> {
    if images.bases.is_empty() {
        match contents.delta.as_ref().and_then(|delta| delta.base.as_ref()) {
            Some(base) => session.warn(format_args!(
                "{object}checkpoint/: not complete without {}, whose pages were not checked",
                base::described(base)
            )),
            None if contents.has_link => session.warn(format_args!(
                "{object}checkpoint/: not complete without the pre-checkpoint, whose pages were not checked"
            )),
            None => {
                images.parents().into_iter().try_for_each(|what| problem(anyhow::anyhow!(what)))?;
                return Ok(LeftOut::Found);
            }
        }
        return Ok(LeftOut::Elsewhere);
    }
    if contents.delta.as_ref().is_some_and(Delta::is_xor) {
        images.check_decoded().or_else(problem)?;
        return Ok(LeftOut::Found);
    }
    let mut bases = std::mem::take(&mut images.bases);
    let added = bases.unpack(&mut |path, entry, content| images.add(path, &entry.kind, content), session);
    match added.and_then(|()| bases.check(contents.delta.as_ref())) {
        Ok(()) => images.parents().into_iter().try_for_each(|what| problem(anyhow::anyhow!(what)))?,
        Err(e) => problem(e)?,
    }
    Ok(LeftOut::Found)
}

/// Prints what was checked.
fn summary(name: &str, pages: LeftOut, contents: &Contents, report: &Report) -> anyhow::Result<()> {
    let Contents { members, files, bytes, .. } = contents;
    let state = match pages {
        LeftOut::Found => "complete",
        LeftOut::Elsewhere => "valid, but not complete by itself",
    };
    let mut out = Output::text(None)?;
    writeln!(
        out,
        "{}: {state} (members: {}, files in tars: {files}, bytes: {bytes}, processes: {}, memory pages: {})",
        cli::escape(name),
        members.len(),
        report.processes,
        report.pages
    )?;
    Ok(())
}

/// The content of an archive, as far as it was read.
#[derive(Default)]
pub struct Contents {
    pub members: BTreeSet<Member>,
    pub volumes: Vec<NamedVolume>,
    /// The number of inodes other than directories in the tars of the archive.
    pub files: u64,
    /// The size of all members.
    pub bytes: u64,
    /// The document that names the base of the images.
    pub delta: Option<Delta>,
    /// Whether the images are linked to those of a pre-checkpoint.
    pub has_link: bool,
    /// The number of bytes after the end of the archive.
    rest: u64,
}

impl Contents {
    /// Lists the missing members without which no container engine restores the container, as
    /// messages.
    pub fn missing(&self, without_config: bool) -> Vec<String> {
        missing(&self.members, without_config)
    }

    /// Lists the volumes that are in config.dump but not in the archive, as after `ckpt-pack
    /// --ignore-volumes`.
    pub fn missing_volumes(&self) -> Vec<&VolumeName> {
        let names = self.volumes.iter().map(|v| &v.name);
        names.filter(|name| !self.members.contains(&Member::Volume((*name).clone()))).collect()
    }
}

/// Returns the message for a volume that is in config.dump but not in the archive.
pub fn missing_volume(volume: &VolumeName) -> String {
    format!("volumes/{volume}.tar: missing in the archive, but named in config.dump")
}

/// Reads the complete archive and returns its content.
///
/// Calls `member` for every member, and `problem` for every problem that concerns only one member.
/// An error of either function ends the scan. With `images`, CRIU's images are checked too, and
/// every byte is read. Without `images`, content that needs no check is skipped by seeking if the
/// input is a file.
///
/// # Errors
/// Returns an error if the rest of the archive cannot be read.
pub fn scan(
    archive: &mut ArchiveFile,
    mut images: Option<(&mut ImageCheck, &Session)>,
    member: &mut dyn FnMut(&Member) -> anyhow::Result<()>,
    problem: &mut dyn FnMut(anyhow::Error) -> anyhow::Result<()>,
) -> anyhow::Result<Contents> {
    let mut contents = Contents::default();
    let limits = archive.limits().clone();
    let mut reader = if images.is_some() { archive.reader()? } else { archive.survey()? };
    loop {
        let (found, entry) = match reader.next() {
            Ok(None) => break,
            Ok(Some(next)) => next,
            // This member is not allowed, but the members after it can be read.
            Err(e) if concerns_one_member(&e) => {
                problem(e.into())?;
                continue;
            }
            Err(e) => return Err(e.into()),
        };
        member(&found)?;
        contents.bytes = contents.bytes.saturating_add(entry.kind.len());
        contents.has_link |= matches!(entry.kind, Kind::Symlink { .. });
        let bound = reader.bound();
        if let Some((images, _)) = &mut images {
            let mut content = MemberContent::new(&entry.kind, reader.content(), bound.clone());
            if let Some(checked) = images.check(&found, &entry.kind, &mut content) {
                checked.or_else(&mut *problem)?;
                continue;
            }
        }
        check(&found, &mut reader.content(), &limits, &bound, &mut contents).or_else(&mut *problem)?;
        if let (Some((images, session)), Some(delta), true) =
            (&mut images, &contents.delta, found == Delta::member())
        {
            images.begin(delta, session).or_else(&mut *problem)?;
        }
    }
    contents.members = reader.seen().clone();
    contents.rest = reader.finish_counting()?.other;
    Ok(contents)
}

/// Returns whether the archive can be read beyond the error.
fn concerns_one_member(e: &checkpoint::Error) -> bool {
    match e {
        checkpoint::Error::Member { member, .. } => member != "archive",
        checkpoint::Error::UnknownMember { .. } => true,
        _ => false,
    }
}

/// Checks the content of one member if its format is known, and adds it to `contents`.
fn check(
    member: &Member,
    content: &mut impl Skip,
    limits: &Limits,
    bound: &Bound,
    contents: &mut Contents,
) -> anyhow::Result<()> {
    match member {
        Member::RootfsDiff | Member::Volume(_) | Member::DevShm => {
            contents.files += nested(content, limits, bound).with_context(|| member.to_string())?;
        }
        _ if member.is_document() => {
            let bytes = cli::read_document(content, &member.to_string(), member.document_limit())?;
            if *member == Delta::member() {
                contents.delta = Some(Delta::read(&bytes)?);
            }
            if let Some(config) = document(member, &bytes)? {
                contents.volumes.extend(config.volumes()?);
            }
        }
        _ => {}
    }
    Ok(())
}

/// Checks a document. Returns the parsed config.dump if `member` is that.
pub fn document(member: &Member, bytes: &[u8]) -> anyhow::Result<Option<ConfigDump>> {
    match member {
        Member::ConfigDump => return Ok(Some(ConfigDump::read(bytes)?)),
        Member::SpecDump => {
            SpecDump::read(bytes)?;
        }
        member if member.is_delta() => {
            Delta::read(bytes)?;
        }
        Member::NetworkStatus => {
            strict_json::document(bytes).with_context(|| member.to_string())?;
        }
        Member::DeletedFiles => {
            deleted_files::read(bytes)?;
        }
        Member::DeletedFiles0 => {
            deleted_files::read0(bytes)?;
        }
        _ => {}
    }
    Ok(None)
}

/// Reads the headers of the tar in a member. Returns the number of its inodes other than
/// directories.
fn nested(content: &mut impl Skip, limits: &Limits, bound: &Bound) -> anyhow::Result<u64> {
    let mut reader = Reader::skipping(TarInput::skipping(content, bound.clone())?, limits.clone());
    let mut files = 0;
    while let Some(item) = reader.next()? {
        files += u64::from(matches!(item, Item::Entry(entry) if entry.kind != Kind::Dir));
    }
    reader.drain()?;
    Ok(files)
}
