//! `rootfs-diff apply`: applies a diff to a directory.

use std::io::{BufReader, ErrorKind, Read};

use anyhow::Context;
use checkpoint::compress::{Bound, Compression, Decoder};
use checkpoint::rootfs::RootfsApply;
use checkpoint::stream::{Ending, StreamReader};
use checkpoint::tar_input::TarInput;
use checkpoint::tar_kind::TarKind;
use checkpoint::whiteout::{Whiteout, Whiteouts};
use checkpoint::{Member, deleted_files};
use cli::args::reject_given;
use cli::{Counted, Exit, Hint, Input, Session};
use tartree::{Devices, ExtractOptions, Extractor, Item, Limits, Notice, Reader, Root, TarPath};

use crate::args::{Apply, Format};
use crate::deletion_lists;

/// Size in bytes of the buffer for a member.
const BUFFER: usize = 256 << 10;

pub fn run(args: &Apply, session: &Session) -> anyhow::Result<Exit> {
    // clap ignores `requires` if --layer conflicts with another given flag, such as --dry-run.
    reject_given(&[("--userxattr", args.userxattr && args.layer.is_none())], "without --layer")?;
    let what = if args.members { "a member stream" } else { "a diff as tar" };
    let changed = args.layer.as_ref().unwrap_or(&args.rootfs);
    let object = || cli::display_path(changed);
    let listed = match &args.deleted {
        Some(file) => deletion_lists::read(file).map_err(|e| match file.symlink_metadata() {
            Err(missing) if missing.kind() == ErrorKind::NotFound => {
                Hint::on(e, "an archive without deletions has no deleted.files; leave out --deleted")
            }
            _ => e,
        })?,
        None => Vec::new(),
    };
    let limits = args.bounds.limits();
    let mut new_layer = None;
    let mut target = if args.dry_run {
        Target::DryRun
    } else {
        let options = ExtractOptions {
            ids: args.ids.maps()?,
            no_same_owner: args.no_same_owner,
            devices: Devices::in_rootfs(args.no_devices),
            cross_mounts: args.cross_mounts,
            ..ExtractOptions::default()
        };
        let root = Root::open(&args.rootfs).with_context(|| cli::display_path(&args.rootfs))?;
        let extractor = match &args.layer {
            Some(dir) => {
                let mut notices = |notice: Notice| session.warn(notice);
                let (extractor, layer) =
                    cli::tree::overlay_layer(dir, root, options, args.userxattr, &mut notices)?;
                new_layer = Some(layer);
                extractor
            }
            None => Extractor::new(root, options),
        };
        Target::Root(Box::new(RootfsApply::new(extractor)))
    };
    let input = Input::open(None, what)?;
    session.stage("applying", input.rest());
    let bound = Bound::new(args.bounds.content_bytes(), None);
    let (is_file, stdin) = (input.rest().is_some(), "standard input");
    let mut input = TarInput::open(Counted::new(input), is_file, bound.clone()).context(stdin)?;
    let expected = if args.members { "a member stream" } else { DIFF };
    match input.expect(expected, args.any_tar) {
        Err(checkpoint::Error::Kind { found: TarKind::MemberStream, .. }) if args.members => {}
        expected => expected.map_err(|e| explained(e, args)).context(stdin)?,
    }
    let whiteouts = match whiteouts(args.format) {
        Some(whiteouts) => whiteouts,
        None if args.deleted.is_some() => Whiteouts::Literal,
        None => input.whiteouts().context(stdin)?,
    };
    let mut notices = |notice: Notice| session.warn(notice);
    if args.members {
        members(input, &mut target, (&limits, &bound), args.format, session, &mut notices)
            .with_context(object)?;
    } else {
        target.tar(&mut input, limits, whiteouts, &mut notices).with_context(object)?;
        target.delete(&listed, &mut notices).with_context(object)?;
        // Reads to the end, so that the writer is not killed by SIGPIPE while it writes its
        // padding, and so that the checksum at the end of a compressed stream is verified.
        std::io::copy(&mut input, &mut std::io::sink()).context(stdin)?;
    }
    if let Target::Root(apply) = target {
        let kind = apply.kind().filter(|_| !args.any_tar);
        if whiteouts == Whiteouts::Guessed && apply.whiteouts() > 0 {
            session.note(format_args!(
                "{stdin}: applied as an image layer with {} whiteouts; --format podman would create them as files",
                apply.whiteouts()
            ));
        }
        apply.finish(&mut notices).with_context(object)?;
        if let Some(found) = kind {
            let e = checkpoint::Error::Kind { found, expected: DIFF };
            let e = explained(e, args).context(stdin);
            return match new_layer {
                Some(layer) if !layer.is_in_place() => Err(e),
                _ => Err(e.context(format!("{}: now holds files that are not part of a diff", object()))),
            };
        }
        match new_layer {
            Some(layer) => layer.finish(changed, &args.durable)?,
            None => args.durable.sync(changed)?,
        }
    }
    Ok(Exit::Done)
}

const DIFF: &str = "the changes of a root file system";

/// Adds a hint with the command that reads this kind of tar.
fn explained(e: checkpoint::Error, args: &Apply) -> anyhow::Error {
    let rootfs = cli::display_path(&args.rootfs);
    let hint = match &e {
        checkpoint::Error::Kind { found: TarKind::MemberStream, .. } => {
            "a member stream is applied with --members".to_owned()
        }
        checkpoint::Error::Kind { found: TarKind::Pod, .. } => {
            "ckpt-unpack --container NAME --cat rootfs-diff.tar FILE".to_owned()
        }
        checkpoint::Error::Kind { .. } => {
            format!("ckpt-unpack --bundle DIR --rootfs {rootfs} < FILE; --any-tar applies any tar as it is")
        }
        _ => return e.into(),
    };
    Hint::on(e, hint)
}

/// Returns the meaning of files `.wh.NAME`, if the user has chosen the form of the diff.
fn whiteouts(format: Option<Format>) -> Option<Whiteouts> {
    Some(match format? {
        Format::Podman => Whiteouts::Literal,
        Format::Oci => Whiteouts::Named,
    })
}

/// Applies a member stream.
fn members(
    input: impl Read,
    target: &mut Target,
    (limits, bound): (&Limits, &Bound),
    format: Option<Format>,
    session: &Session,
    notices: &mut impl FnMut(Notice),
) -> anyhow::Result<()> {
    let mut stream = StreamReader::new(input, Ending::Proved).with_limits(limits.clone());
    let mut has_diff = false;
    while let Some((member, _)) = stream.next()? {
        match member {
            Member::RootfsDiff => {
                has_diff = true;
                let content = BufReader::with_capacity(BUFFER, stream.content());
                let mut diff = Decoder::bounded(content, bound.within())?;
                let whiteouts = match format {
                    Some(Format::Oci) => Whiteouts::Named,
                    None if diff.compression() != Compression::None => Whiteouts::Named,
                    _ => Whiteouts::Literal,
                };
                target.tar(
                    BufReader::with_capacity(BUFFER, &mut diff),
                    limits.clone(),
                    whiteouts,
                    notices,
                )?;
            }
            Member::DeletedFiles => {
                let text = cli::read_document(stream.content(), "deleted.files", deleted_files::LIMIT)?;
                target.delete(&deleted_files::read(&text)?, notices)?;
            }
            Member::DeletedFiles0 => {
                let text = cli::read_document(stream.content(), "deleted.files0", deleted_files::LIMIT)?;
                target.delete(&deleted_files::read0(&text)?, notices)?;
            }
            other => session.note(format_args!("{other}: not part of a diff, ignored")),
        }
    }
    if !has_diff {
        anyhow::bail!("rootfs-diff.tar: not in the stream");
    }
    Ok(())
}

/// The target of a diff.
enum Target {
    /// A directory.
    Root(Box<RootfsApply>),
    /// Without a directory, each step is only printed on standard output.
    DryRun,
}

impl Target {
    /// Applies the tar of a diff.
    fn tar(
        &mut self,
        input: impl Read,
        limits: Limits,
        mut whiteouts: Whiteouts,
        notices: &mut impl FnMut(Notice),
    ) -> anyhow::Result<()> {
        match self {
            Target::Root(apply) => Ok(apply.apply(input, limits, whiteouts, notices)?),
            Target::DryRun => {
                let mut reader = Reader::new(input, limits);
                while let Some(item) = reader.next()? {
                    match item {
                        Item::Entry(entry) => match whiteouts.in_entry(&entry) {
                            Some(Whiteout::File(path)) => show("remove", &path),
                            Some(Whiteout::Opaque(dir)) => show("empty", &dir),
                            Some(Whiteout::Reserved) => {}
                            None => show("set", &entry.path),
                        },
                        Item::Removal(path) => {
                            whiteouts = Whiteouts::Literal;
                            show("remove", &path);
                        }
                    }
                }
                Ok(())
            }
        }
    }

    /// Deletes the paths of a deletion list.
    fn delete(&mut self, paths: &[TarPath], notices: &mut impl FnMut(Notice)) -> anyhow::Result<()> {
        match self {
            Target::Root(apply) => Ok(apply.delete(paths, notices)?),
            Target::DryRun => {
                paths.iter().for_each(|path| show("remove", path));
                Ok(())
            }
        }
    }
}

/// Prints one step of a dry run.
fn show(what: &str, path: &TarPath) {
    println!("{what} /{}", path.as_bytes().escape_ascii());
}
