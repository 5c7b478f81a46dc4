//! `vol-archive create`.

use std::os::fd::AsFd;
use std::path::Path;

use anyhow::Context;
use checkpoint::stream::StreamWriter;
use cli::{Counted, Exit, Output, Session};
use tartree::{
    END_OF_ARCHIVE, Exclude, IdMaps, Notice, Outgoing, Passage, Plan, Root, RootName, Sink, Status, Tally,
    TarPath, Timestamp, Visit, Walk,
};

use crate::args::{Create, id_maps};
use crate::volume::{Operands, Volume, operands};

pub fn run(args: &Create, session: &Session) -> anyhow::Result<Exit> {
    let exclude = Exclude::parse(&args.exclude).map_err(|e| cli::usage(format!("--exclude {e}")))?;
    let scope = Scope { exclude, one_file_system: args.one_file_system, ids: id_maps(&args.ids)? };
    let operands = operands(&args.operands, &args.members)?;
    let output = args.output.binary()?;
    let (output, changed) = match operands {
        Operands::Plain(dir) => {
            let mut tally = tell(session, &dir);
            session.stage(cli::name(&dir), None);
            let mut sink = sink(output);
            write(&dir, &scope, &mut sink, &mut tally)?;
            (sink.into_inner()?, tally.changed)
        }
        Operands::Members(volumes) => StreamWriter::on(sink(output), "vol-archive")
            .produce(|stream| members(stream, &volumes, &scope, session))?,
    };
    output.into_inner().commit()?;
    for (pattern, _) in scope.exclude.unmatched() {
        session.warn(format_args!("--exclude {pattern}: matches nothing, so it has left nothing out"));
    }
    for pattern in scope.exclude.kept_deeper() {
        session.warn(format_args!(
            "--exclude {pattern}: names that end so deeper in the tree are not left out, --exclude '*/{pattern}' does"
        ));
    }
    Ok(if changed > 0 { Exit::Changed } else { Exit::Done })
}

/// Writes the members of a stream; returns how many objects changed meanwhile.
fn members(
    stream: &mut StreamWriter<Counted<Output>>,
    volumes: &[Volume],
    scope: &Scope,
    session: &Session,
) -> anyhow::Result<u64> {
    // A misspelled directory is reported before gigabytes of another volume are written.
    for volume in volumes.iter().filter(|_| volumes.len() > 1) {
        stream.prepare(&volume.member);
        Root::open(&volume.dir).with_context(|| cli::name(&volume.dir))?;
    }
    let mut changed = 0;
    for volume in volumes {
        stream.prepare(&volume.member);
        let mut tally = tell(session, &volume.dir);
        // podman passes over `./` when it restores a volume, and so loses the volume's own mode and owner; `/` it applies.
        let names = [RootName::Dot, RootName::Slash];
        session.stage(format_args!("looking at {}", cli::name(&volume.dir)), None);
        let mut source = Source::plan(&volume.dir, scope, &names, &mut tally)?;
        session.stage(&volume.member, Some(source.plan.tar_size()));
        stream
            .tar(&volume.member, &source.plan, &mut source.root, source.mtime, &mut tally)
            .with_context(|| cli::name(&volume.dir))?;
        changed += tally.changed;
    }
    Ok(changed)
}

/// Large files go past our memory.
fn sink(output: Output) -> Sink<Counted<Output>> {
    let passage = Passage::to(output.as_fd(), cli::count);
    Sink::direct(Counted::new(output), passage)
}

/// What of a directory is archived, and how.
struct Scope {
    exclude: Exclude,
    one_file_system: bool,
    ids: IdMaps,
}

impl Scope {
    fn visit(&self, path: &TarPath, status: &Status, root: &Status) -> Visit {
        if self.exclude.matches(path) {
            Visit::Skip
        } else if self.one_file_system && is_elsewhere(status, root) {
            Visit::TakeEmpty
        } else {
            Visit::Take
        }
    }
}

/// Whether an object is on another filesystem than the root, or on another mount of the same: a bind mount.
fn is_elsewhere(status: &Status, root: &Status) -> bool {
    status.identity().dev != root.identity().dev || status.mount() != root.mount()
}

/// Writes a tar that is in no other: nobody asks for its size beforehand, so one pass does.
fn write(
    dir: &Path,
    scope: &Scope,
    sink: &mut Sink<Counted<Output>>,
    tally: &mut Tally<impl FnMut(&Notice)>,
) -> anyhow::Result<()> {
    let object = || cli::name(dir);
    let mut root = Root::open(dir).with_context(object)?;
    let top = Status::at(root.fd(), "".as_ref()).with_context(object)?;
    let mut walk = Walk::new(&root, |path, status| scope.visit(path, status, &top))
        .with_context(object)?
        .opening_files();
    let mut outgoing = Outgoing::default();
    while let Some(mut found) = walk.next(tally).with_context(object)? {
        scope.ids.map_to_container(&mut found.entry).with_context(object)?;
        tartree::write_found(sink, found, RootName::Dot, &mut root, &mut outgoing, tally)
            .with_context(object)?;
    }
    Ok(sink.put(&END_OF_ARCHIVE)?)
}

/// A directory that is ready to be written.
struct Source {
    root: Root,
    plan: Plan,
    mtime: Timestamp,
}

impl Source {
    fn plan(
        dir: &Path,
        scope: &Scope,
        root_names: &[RootName],
        tally: &mut Tally<impl FnMut(&Notice)>,
    ) -> anyhow::Result<Source> {
        let root = Root::open(dir).with_context(|| cli::name(dir))?;
        let top = Status::at(root.fd(), "".as_ref()).with_context(|| cli::name(dir))?;
        let mut plan = Plan::new();
        let mut walk = Walk::new(&root, |path, status| scope.visit(path, status, &top))
            .with_context(|| cli::name(dir))?
            .looking_ahead();
        while let Some(found) = walk.next(tally).with_context(|| cli::name(dir))? {
            let mut entry = found.entry;
            scope.ids.map_to_container(&mut entry).with_context(|| cli::name(dir))?;
            let ino = found.status.identity().ino;
            if entry.path.is_root() {
                for &name in root_names {
                    plan.add_as(entry.clone(), ino, name).with_context(|| cli::name(dir))?;
                }
            } else {
                plan.add(entry, ino).with_context(|| cli::name(dir))?;
            }
        }
        drop(walk);
        Ok(Source { root, plan, mtime: top.mtime() })
    }
}

fn tell(session: &Session, dir: &Path) -> Tally<impl FnMut(&Notice)> {
    let dir = cli::name(dir);
    Tally::new(move |notice| match notice {
        Notice::LeftOut { .. } => session.note(format_args!("{dir}/{notice}")),
        _ => session.warn(format_args!("{dir}/{notice}")),
    })
}
