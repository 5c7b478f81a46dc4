//! Opens the archive, and explains the errors of reading it.

use std::io;
use std::path::Path;

use anyhow::Context;
use checkpoint::archive::{ArchiveFile, ImageChoice, Reading, Unknown};
use cli::args::Bounds;
use cli::{Hint, Input, usage};
use tartree::{Exceeded, Limit};

use crate::args::Args;
use crate::staging;

/// Opens the operand, or standard input without one.
pub fn open(args: &Args) -> anyhow::Result<ArchiveFile> {
    open_path(args.archive.as_deref(), args)
}

/// Opens `path`; `None` and `-` are standard input. The copy of an image that cannot be read in
/// place is in the directory of the bundle.
pub fn open_path(path: Option<&Path>, args: &Args) -> anyhow::Result<ArchiveFile> {
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
        _ => None,
    });
    match hint.or_else(|| checkpoint::hint_in(e.chain())) {
        Some(hint) => Hint::on(e, hint),
        None => e,
    }
}
