//! Opens the archive, and explains the errors of reading it.

use std::io;
use std::path::Path;

use anyhow::Context;
use checkpoint::Member;
use checkpoint::archive::{
    ArchiveFile, ImageChoice, POD_OPTIONS_LATE, Reading, Unknown, is_pod_in_wrong_order,
};
use cli::args::Bounds;
use cli::{Hint, Input, usage};
use tartree::{Exceeded, Limit};

use crate::args::Args;
use crate::staging;

/// Opens the operand, or standard input without one. In a pod archive, opens the archive of the
/// container of `--container`.
///
/// # Errors
/// Returns an error for a pod archive without `--container`.
pub fn open(args: &Args) -> anyhow::Result<ArchiveFile> {
    let mut archive = open_any(args.archive.as_deref(), args)?;
    archive.require_container().with_context(|| archive.name().to_owned())?;
    Ok(archive)
}

/// Opens the archive `path` as [`open`] does, but also returns a complete pod archive.
pub fn open_any(path: Option<&Path>, args: &Args) -> anyhow::Result<ArchiveFile> {
    let (mut archive, found) = open_found(path, args)?;
    if found == OpenedAs::Archive && args.container.is_some() {
        let name = archive.name().to_owned();
        // A fault of the input explains more than its kind.
        if is_in_wrong_order(&mut archive).context(name.clone())? {
            anyhow::bail!("{name}: pod.options: {POD_OPTIONS_LATE}");
        }
        return Err(without_effect(&name));
    }
    Ok(archive)
}

/// Returns whether the input is a pod archive that does not start with pod.options. Stops at the
/// first member of the archive of one container.
fn is_in_wrong_order(archive: &mut ArchiveFile) -> checkpoint::Result<bool> {
    let mut reader = archive.survey()?;
    while let Some((member, _)) = reader.next()? {
        if matches!(member, Member::ConfigDump | Member::SpecDump | Member::Images(_)) {
            return Ok(false);
        }
    }
    Ok(is_pod_in_wrong_order(reader.seen()))
}

/// Returns the error for `--container` with an archive that has no containers.
pub fn without_effect(name: &str) -> anyhow::Error {
    let e = usage(format!("--container: {name} is not a pod archive"));
    Hint::on(e, "leave out --container")
}

/// The kind of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenedAs {
    /// The archive of one container.
    Archive,
    /// A pod archive. With `--container`, the archive of that container is open.
    Pod,
}

/// Opens `path` as [`open_path`] does, and returns its kind.
pub fn open_found(path: Option<&Path>, args: &Args) -> anyhow::Result<(ArchiveFile, OpenedAs)> {
    let archive = open_path(path, args)?;
    match (archive.is_pod(), &args.container) {
        (false, _) => Ok((archive, OpenedAs::Archive)),
        (true, None) => Ok((archive, OpenedAs::Pod)),
        (true, Some(container)) => {
            let name = archive.name().to_owned();
            Ok((archive.container(container).context(name)?, OpenedAs::Pod))
        }
    }
}

/// Opens `path`; `None` and `-` are standard input. The copy of an image that cannot be read in
/// place is in the directory of the bundle.
fn open_path(path: Option<&Path>, args: &Args) -> anyhow::Result<ArchiveFile> {
    let unknown = if args.refuse_unknown { Unknown::Refuse } else { Unknown::Keep };
    let reading =
        Reading { unknown, limits: args.limits.of_tars(), bound: args.limits.bound(), count: cli::count };
    let spool_dir = args.verb.bundle.as_deref().map(staging::directory_for);
    let spool = || cli::spool(spool_dir.as_deref()).map_err(io::Error::other);
    let choice = ImageChoice { tag: args.tag.as_deref(), spool: &spool };
    if let Some(dir) = path.filter(|path| path.is_dir()) {
        let name = cli::display_path(dir);
        return ArchiveFile::in_dir(dir, name.clone(), reading, &choice).context(name);
    }
    let input = Input::open(path, "an archive")?;
    let name = input.name().to_owned();
    let archive = ArchiveFile::in_file(input.into_file(), name.clone(), reading, &choice)
        .with_context(|| name.clone())?;
    match (archive.image(), &args.tag) {
        (None, Some(_)) => Err(usage(format!("--tag: {name} is not an OCI image"))),
        _ => Ok(archive),
    }
}

/// Adds a hint to an error of reading an archive.
pub fn explain(error: anyhow::Error) -> anyhow::Error {
    if let Some(hint) = tartree::hint(error.as_ref()) {
        return Hint::on(error, hint);
    }
    if Exceeded::in_error(error.as_ref()) == Some(Limit::Memory) {
        return Hint::on(error, "if you trust it: --max-memory SIZE");
    }
    Bounds::explain(explain_choice(error))
}

/// Adds a hint if an unknown member was refused, or if the input has several images.
fn explain_choice(e: anyhow::Error) -> anyhow::Error {
    use checkpoint::Error;
    let hint = e.chain().find_map(|e| match e.downcast_ref()? {
        Error::UnknownMember { .. } => Some("to keep it as a file in the bundle, leave out --refuse-unknown"),
        Error::Choice { .. } => Some("select one: --tag REF, or --tag sha256:DIGEST"),
        Error::Pod { .. } => Some("select one: --container NAME"),
        _ => None,
    });
    match hint.or_else(|| checkpoint::hint_in(e.chain())) {
        Some(hint) => Hint::on(e, hint),
        None => e,
    }
}
