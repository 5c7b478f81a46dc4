//! `--from-archive`: copies an archive, or the archive in an OCI image, to another form.
//!
//! Members are copied byte for byte and in order. Only config.dump and spec.dump are changed, and
//! only if a flag says so.

mod copy;
mod documents;
mod input;

use std::path::Path;

use anyhow::Context;
use checkpoint::archive::Unknown;
use checkpoint::criu::check::Copied;
use checkpoint::stream::Ending;
use cli::{Exit, Hint, Session, usage};
use tartree::Timestamp;

use crate::archive_output::{self, ArchiveOutput};
use crate::args::{Args, Format};
use crate::image_description::{Origin, describe};
use crate::increment::Flattening;
use crate::member_stream::MemberStream;
use crate::{expect, operands, pack};

pub use copy::check_images;
pub use input::{explain, open_as, open_counting};

/// Copies the members of the archive `file`.
pub fn run(args: &Args, file: &Path, session: &Session) -> anyhow::Result<Exit> {
    let settings = pack::settings(&args.compress)?;
    if args.image.format == Format::Ctr {
        let e = usage("--from-archive: a checkpoint for ctr is made from a bundle");
        return Err(Hint::on(e, "ckpt-unpack --bundle DIR FILE, then ckpt-pack --bundle DIR --format ctr"));
    }
    archive_output::check_flags(&args.image, args.compress.compress, &args.include)?;
    expect::check_flags(&args.include)?;
    let files = pack::member_files(&args.input.member, args.input.allow_unknown)?;
    operands::check_flags(args)?;
    if file == Path::new("-") && args.input.streams.iter().any(|stream| stream == file) {
        return Err(usage("-: standard input is both the archive of --from-archive and a member stream"));
    }
    let directory = file.is_dir().then(|| file.to_owned());
    operands::refuse_output(args, &files, directory.as_slice(), [file.to_owned()].into_iter())?;
    operands::check_kinds(&files)?;
    operands::check_deletions(&files, args.image.annotations)?;
    let flattening = match args.incremental.flatten {
        true if file == Path::new("-") => {
            return Err(usage("--flatten: expected a file, which is read twice"));
        }
        true => {
            check_before(args, file, session)?;
            Some(Flattening::read(args, file, session)?)
        }
        false => None,
    };
    let mut archive = input::open(args, file)?;
    let name = archive.name().to_owned();
    let annotations = archive.image().map(|image| image.annotations.clone()).unwrap_or_default();
    let ending = if args.input.raw_members { Ending::Raw } else { Ending::Proved };
    let streams = args.input.streams.iter().map(|path| MemberStream::open(path, ending));
    let streams = streams.collect::<Result<Vec<_>, _>>()?;
    session.stage("packing", archive.size());

    let output =
        ArchiveOutput::new(args.output.binary()?, &settings, &args.image, Timestamp::default(), None)?;
    let mut copy = copy::Copier::new(args, &files, streams, output, flattening, session);
    let copied = archive
        .reader()
        .map_err(anyhow::Error::from)
        .and_then(|reader| copy.members(reader.recording()))
        .with_context(|| name.clone())
        .and_then(|end| copy.rest().map(|()| end));
    match copied {
        Ok(end) => {
            if end.rest.other > 0 {
                let bytes = end.rest.other;
                session
                    .warn(format_args!("{name}: {bytes} bytes after the end of the archive are not copied"));
            }
            let (output, found) = copy.finish(&end)?;
            let origin = Origin::archive(annotations, found.architecture);
            output.finish(|| describe(&found.config, &found.spec, &args.image, origin, found.time))?;
            Ok(if found.changed { Exit::Changed } else { Exit::Done })
        }
        Err(e) => {
            copy.spoil();
            Err(e)
        }
    }
}

/// Checks the images of the archive of `--flatten` before it is combined with its bases: their
/// memory is copied in another form.
fn check_before(args: &Args, file: &Path, session: &Session) -> anyhow::Result<()> {
    let mut archive =
        input::open_counting(args, file, Unknown::Keep, args.input.from_tag.as_deref(), |_| {})?;
    let name = archive.name().to_owned();
    let mut images = Copied::default();
    // `Flattening` checks that the archives have all pages.
    images.leave_out_pages();
    let mut read = || -> anyhow::Result<()> {
        let mut reader = archive.survey()?;
        while let Some((member, entry)) = reader.next()? {
            images.add(&member, &entry.kind, &mut reader.content())?;
        }
        reader.finish()?;
        check_images(&mut images, session)
    };
    read().context(name)
}
