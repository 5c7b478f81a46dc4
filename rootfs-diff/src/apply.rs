//! `rootfs-diff apply`.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};

use anyhow::Context;
use checkpoint::rootfs::RootfsApply;
use checkpoint::stream::{Ending, StreamReader, begins_with};
use checkpoint::{Member, deleted};
use cli::{Counted, Exit, Hint, Input, Session};
use tartree::{Devices, ExtractOptions, Extractor, Item, Limits, Notice, Reader, Root, TarPath};

use crate::args::{Apply, id_maps};
use crate::create::beside;

const BUFFER: usize = 256 << 10;

pub fn run(args: &Apply, session: &Session) -> anyhow::Result<Exit> {
    let what = if args.members { "a member stream" } else { "a diff as tar" };
    let object = || cli::name(&args.rootfs);
    let listed = match &args.deleted {
        Some(file) => read_lists(file)?,
        None => Vec::new(),
    };
    let limits = Limits::of(args.bounds.max_entries, args.bounds.content_bytes());
    let input = Input::open(None, what)?;
    session.stage("applying", input.rest());
    let input = BufReader::with_capacity(BUFFER, Counted::new(input));
    let mut notices = |notice: Notice| session.warn(notice);
    let mut target = if args.dry_run {
        Target::Show
    } else {
        let root = Root::open(&args.rootfs).with_context(object)?;
        let options = ExtractOptions {
            ids: id_maps(&args.ids)?,
            no_same_owner: args.no_same_owner,
            devices: Devices::in_rootfs(args.no_devices),
            ..ExtractOptions::default()
        };
        Target::Root(Box::new(RootfsApply::new(Extractor::new(root, options))))
    };
    if args.members {
        members(input, &mut target, &limits, session, &mut notices).with_context(object)?;
    } else {
        let mut reader = input;
        if let Some(member) = begins_with(reader.fill_buf().context("standard input")?) {
            let e = anyhow::anyhow!("standard input: begins with the member {member}, a diff is wanted");
            return Err(Hint::on(e, "a member stream is applied with --members"));
        }
        target.tar(&mut reader, limits, &mut notices).with_context(object)?;
        target.delete(&listed, &mut notices).with_context(object)?;
        // Let the writer finish its padding: it must not be killed by SIGPIPE for it.
        std::io::copy(&mut reader, &mut std::io::sink()).context("standard input")?;
    }
    if let Target::Root(apply) = target {
        apply.finish(&mut notices).with_context(object)?;
        args.durable.sync(&args.rootfs)?;
    }
    Ok(Exit::Done)
}

fn members(
    input: impl Read,
    target: &mut Target,
    limits: &Limits,
    session: &Session,
    notices: &mut impl FnMut(Notice),
) -> anyhow::Result<()> {
    let mut stream = StreamReader::new(input, Ending::Proved).with_limits(limits.clone());
    let mut seen = false;
    while let Some((member, _)) = stream.next()? {
        match member {
            Member::RootfsDiff => {
                seen = true;
                let content = BufReader::with_capacity(BUFFER, stream.content());
                target.tar(content, limits.clone(), notices)?;
            }
            Member::DeletedFiles => {
                let text = cli::read_document(stream.content(), "deleted.files", deleted::LIMIT)?;
                target.delete(&deleted::read(&text)?, notices)?;
            }
            Member::DeletedFiles0 => {
                let text = cli::read_document(stream.content(), "deleted.files0", deleted::LIMIT)?;
                target.delete(&deleted::read0(&text)?, notices)?;
            }
            other => session.note(format_args!("{other}: not part of a diff, passed over")),
        }
    }
    if !seen {
        anyhow::bail!("rootfs-diff.tar: not in the stream");
    }
    Ok(())
}

fn read_lists(file: &std::path::Path) -> anyhow::Result<Vec<TarPath>> {
    let read = |path: &std::path::Path| -> anyhow::Result<Vec<u8>> {
        let input = File::open(path).with_context(|| cli::name(path))?;
        cli::read_document(input, &cli::name(path), deleted::LIMIT)
    };
    let mut paths = deleted::read(&read(file)?).with_context(|| cli::name(file))?;
    let raw = beside(file);
    if raw.exists() {
        paths.extend(deleted::read0(&read(&raw)?).with_context(|| cli::name(&raw))?);
    }
    Ok(paths)
}

/// What a diff is put into effect on.
enum Target {
    Root(Box<RootfsApply>),
    /// Nothing: each step is shown on standard output.
    Show,
}

impl Target {
    fn tar(
        &mut self,
        input: impl Read,
        limits: Limits,
        notices: &mut impl FnMut(Notice),
    ) -> anyhow::Result<()> {
        match self {
            Target::Root(apply) => Ok(apply.tar(input, limits, notices)?),
            Target::Show => {
                let mut reader = Reader::new(input, limits);
                while let Some(item) = reader.next()? {
                    match item {
                        Item::Entry(entry) => show("set", &entry.path),
                        Item::Removal(path) => show("remove", &path),
                    }
                }
                Ok(())
            }
        }
    }

    fn delete(&mut self, paths: &[TarPath], notices: &mut impl FnMut(Notice)) -> anyhow::Result<()> {
        match self {
            Target::Root(apply) => Ok(apply.delete(paths, notices)?),
            Target::Show => {
                paths.iter().for_each(|path| show("remove", path));
                Ok(())
            }
        }
    }
}

fn show(what: &str, path: &TarPath) {
    println!("{what} /{}", path.as_bytes().escape_ascii());
}
