//! Opens the archive of `--from-archive`, and explains the errors of reading it.

use std::io;
use std::path::Path;

use anyhow::Context;
use checkpoint::Error;
use checkpoint::archive::{ArchiveFile, ImageChoice, Reading, Unknown};
use checkpoint::compress::Bound;
use cli::args::Bounds;
use cli::{Hint, Input, usage};
use tartree::{Exceeded, Limit};

use crate::args::Args;

/// Opens the archive of `--from-archive`.
pub fn open(args: &Args, file: &Path) -> anyhow::Result<ArchiveFile> {
    let unknown = if args.input.refuse_unknown { Unknown::Refuse } else { Unknown::Keep };
    open_as(args, file, unknown, args.input.from_tag.as_deref())
}

/// Opens `file`, which is an archive or an image; `-` is standard input. The copy of an image that
/// cannot be read in place is in `$TMPDIR` or /var/tmp.
pub fn open_as(args: &Args, file: &Path, unknown: Unknown, tag: Option<&str>) -> anyhow::Result<ArchiveFile> {
    open_counting(args, file, unknown, tag, cli::count)
}

/// Opens `file` as [`open_as`] does, and calls `count` with the numbers of bytes that are read.
pub fn open_counting(
    args: &Args,
    file: &Path,
    unknown: Unknown,
    tag: Option<&str>,
    count: fn(u64),
) -> anyhow::Result<ArchiveFile> {
    let limits = &args.limits;
    let reading = Reading {
        unknown,
        limits: limits.bounds.limits(),
        bound: Bound::new(limits.bounds.content_bytes(), limits.max_memory.map(|size| size.0)),
        count,
    };
    let spool = || cli::spool(None).map_err(io::Error::other);
    let choice = ImageChoice { tag, spool: &spool };
    if file.is_dir() {
        let name = cli::display_path(file);
        return ArchiveFile::in_dir(file, name.clone(), reading, &choice).context(name);
    }
    let input = Input::open(Some(file), "an archive")?;
    let name = input.name().to_owned();
    let archive = ArchiveFile::in_file(input.into_file(), name.clone(), reading, &choice)
        .with_context(|| name.clone())?;
    match (archive.image(), tag) {
        (None, Some(_)) => Err(usage(format!("--from-tag: {name} is not an OCI image"))),
        _ => Ok(archive),
    }
}

/// Adds a hint to an error of reading the archive.
pub fn explain(error: anyhow::Error) -> anyhow::Error {
    if let Some(hint) = tartree::hint(error.as_ref()) {
        return Hint::on(error, hint);
    }
    if Exceeded::in_error(error.as_ref()) == Some(Limit::Memory) {
        return Hint::on(error, "if you trust it: --max-memory SIZE");
    }
    let hint = error.chain().find_map(|e| match e.downcast_ref()? {
        Error::UnknownMember { .. } => Some("to copy it, leave out --refuse-unknown"),
        Error::Choice { .. } => Some("select one: --from-tag REF, or --from-tag sha256:DIGEST"),
        Error::Pod { .. } => Some("write the archive of one container: ckpt-unpack --cat NAME.tar FILE"),
        _ => None,
    });
    match hint.or_else(|| checkpoint::hint_in(error.chain())) {
        Some(hint) => Hint::on(error, hint),
        None => Bounds::explain(error),
    }
}
