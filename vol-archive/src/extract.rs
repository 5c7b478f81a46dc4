//! `vol-archive extract`.

use std::fs::DirBuilder;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use anyhow::Context;
use checkpoint::stream::{Ending, StreamReader, begins_with};
use cli::{Counted, Exit, Hint, Input, Session};
use tartree::{
    Devices, ExtractOptions, Extractor, Keep, Notice, Reader, Root, TarPath, extract_tar, remove_tree,
};

use crate::args::{Extract, id_maps, limits};
use crate::volume::{Operands, none_left, operands, take};

pub fn run(args: &Extract, session: &Session) -> anyhow::Result<Exit> {
    let options = ExtractOptions {
        ids: id_maps(&args.ids)?,
        no_same_owner: args.no_same_owner,
        devices: Devices::in_volume(args.no_devices),
        ..ExtractOptions::default()
    };
    let limits = limits(&args.bounds);
    let operands = operands(&args.operands, &args.members)?;
    let what = if args.members.members { "a member stream" } else { "a tar" };
    let input = Input::open(None, what)?;
    session.stage("extracting", input.rest());
    let mut input = BufReader::with_capacity(256 << 10, Counted::new(input));
    match operands {
        Operands::Plain(dir) => {
            if let Some(member) = begins_with(input.fill_buf().context("standard input")?) {
                let e = anyhow::anyhow!(
                    "standard input: begins with the member {member}, the tar of a volume is wanted"
                );
                return Err(Hint::on(e, "a member stream is extracted with --members NAME=DIR"));
            }
            let mut reader = Reader::direct(input, limits, |input, output, n| {
                let moving = |input: &mut Input, tell: &mut dyn FnMut(u64)| {
                    tartree::transfer(input.as_fd(), output, n, tell)
                };
                input.buffer().is_empty().then(|| input.get_mut().moving(moving))
            });
            extract(&mut reader, &dir, &options, args.replace, session)?;
            // Let the writer finish its padding: it must not be killed by SIGPIPE for it.
            reader.drain()?;
            args.durable.sync(&dir)?;
        }
        Operands::Members(mut volumes) => {
            let mut stream = StreamReader::new(input, Ending::Proved).with_limits(limits.clone());
            while let Some((member, _)) = stream.next()? {
                let Some(volume) = take(&mut volumes, &member)? else {
                    session.note(format_args!("{member}: not a volume, passed over"));
                    continue;
                };
                let content = BufReader::with_capacity(256 << 10, stream.content());
                let mut reader = Reader::new(content, limits.clone());
                extract(&mut reader, &volume.dir, &options, args.replace, session)
                    .with_context(|| member.to_string())?;
                args.durable.sync(&volume.dir)?;
            }
            none_left(&volumes)?;
        }
    }
    Ok(Exit::Done)
}

fn extract(
    reader: &mut Reader<impl Read>,
    dir: &Path,
    options: &ExtractOptions,
    replace: bool,
    session: &Session,
) -> anyhow::Result<()> {
    let object = || cli::name(dir);
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
        made => made.with_context(object)?,
    }
    let root = Root::open(dir).with_context(object)?;
    if replace {
        empty(&root).with_context(object)?;
    }
    let name = object();
    let mut notices = |notice: Notice| session.warn(format_args!("{name}/{notice}"));
    let mut extractor = Extractor::new(root, options.clone());
    extract_tar(reader, &mut extractor, &mut notices, |entry| session.detail(&entry.path))
        .with_context(object)?;
    extractor.finish(&mut notices).with_context(object)
}

fn empty(root: &Root) -> anyhow::Result<()> {
    for name in tartree::names(root.fd(), ".".as_ref())? {
        let path = TarPath::root().child(name.to_bytes());
        remove_tree(root.fd(), path.as_os_str(), &path, &mut |_| Keep::Remove)
            .with_context(|| path.to_string())?;
    }
    Ok(())
}
