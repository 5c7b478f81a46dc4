//! `vol-archive create`: writes directories as a tar or a member stream.

use std::path::Path;

use anyhow::Context;
use checkpoint::stream::StreamWriter;
use cli::{Counted, Exit, Output, Session};
use tartree::{
    END_OF_ARCHIVE, Exclude, IdMaps, Notice, Plan, ReaderLimits, Root, RootName, Sink, Status, Tally,
    TarPath, Timestamp, Visit, Walk,
};

use crate::args::Create;
use crate::volume::{Operands, Volume, operands};

pub fn run(args: &Create, session: &Session) -> anyhow::Result<Exit> {
    let exclude = Exclude::parse(&args.exclude).map_err(|e| cli::usage(format!("--exclude {e}")))?;
    let options = CreateOptions { exclude, one_file_system: args.one_file_system, ids: args.ids.maps()? };
    let operands = operands("create", &args.operands, &args.members)?;
    let output = args.output.binary()?;
    let (output, changed) = match operands {
        Operands::Plain(dir) => {
            let mut tally = tally(session, &dir);
            session.stage(cli::display_path(&dir), None);
            let mut sink = cli::tree::sink(output);
            write(&dir, &options, &mut sink, &mut tally)?;
            (sink.into_inner()?, tally.changed)
        }
        Operands::Members(volumes) => StreamWriter::on(cli::tree::sink(output), "vol-archive")
            .produce(|stream| members(stream, &volumes, &options, session))?,
    };
    output.into_inner().commit()?;
    for (pattern, _) in options.exclude.unmatched() {
        session.warn(format_args!("--exclude {pattern}: matches nothing"));
    }
    for pattern in options.exclude.kept_deeper() {
        session.warn(format_args!(
            "--exclude {pattern}: keeps the files deeper in the tree that end in this name; \
             --exclude '*/{pattern}' leaves them out"
        ));
    }
    Ok(if changed > 0 { Exit::Changed } else { Exit::Done })
}

/// Writes the members of a stream. Returns the number of files that changed while they were read.
fn members(
    stream: &mut StreamWriter<Counted<Output>>,
    volumes: &[Volume],
    options: &CreateOptions,
    session: &Session,
) -> anyhow::Result<u64> {
    // Reports a misspelled directory before gigabytes of another volume are written.
    for volume in volumes.iter().filter(|_| volumes.len() > 1) {
        stream.prepare(&volume.member);
        Root::open(&volume.dir).with_context(|| cli::display_path(&volume.dir))?;
    }
    let mut changed = 0;
    for volume in volumes {
        stream.prepare(&volume.member);
        let mut tally = tally(session, &volume.dir);
        // When podman restores a volume, it ignores `./`, which has the mode and the owner of the
        // volume's root, but applies `/`.
        let names = [RootName::Dot, RootName::Slash];
        session.stage(format_args!("scanning {}", cli::display_path(&volume.dir)), None);
        let mut planned = PlannedVolume::plan(&volume.dir, options, &names, &mut tally)?;
        session.stage(&volume.member, Some(planned.plan.tar_size()));
        stream
            .tar(&volume.member, &planned.plan, &mut planned.root, planned.mtime, &mut tally)
            .with_context(|| cli::display_path(&volume.dir))?;
        changed += tally.changed;
    }
    Ok(changed)
}

/// Options of `create`: the files to leave out, and the ID maps.
struct CreateOptions {
    exclude: Exclude,
    one_file_system: bool,
    ids: IdMaps,
}

impl CreateOptions {
    fn visit(&self, path: &TarPath, status: &Status, root: &Status) -> Visit {
        if self.exclude.matches(path) {
            Visit::Skip
        } else if self.one_file_system && is_on_other_mount(status, root) {
            Visit::TakeEmpty
        } else {
            Visit::Take
        }
    }
}

/// Returns whether a file is on another file system than the root, or on another mount of the same
/// file system, such as a bind mount.
fn is_on_other_mount(status: &Status, root: &Status) -> bool {
    status.identity().dev != root.identity().dev || status.mount() != root.mount()
}

/// Writes a tar that is not a member of a stream. The size of such a tar need not be known in
/// advance, so one pass over the directory is enough.
fn write(
    dir: &Path,
    options: &CreateOptions,
    sink: &mut Sink<Counted<Output>>,
    tally: &mut Tally<impl FnMut(&Notice)>,
) -> anyhow::Result<()> {
    let object = || cli::display_path(dir);
    let mut root = Root::open(dir).with_context(object)?;
    let top = Status::at(root.fd(), "".as_ref()).with_context(object)?;
    let mut walk = Walk::new(&root, |path, status| options.visit(path, status, &top))
        .with_context(object)?
        .opening_files();
    let mut reader_limits = ReaderLimits::default();
    while let Some(mut found) = walk.next(tally).with_context(object)? {
        options.ids.map_to_container(&mut found.entry).with_context(object)?;
        tartree::write_found(sink, found, RootName::Dot, &mut root, &mut reader_limits, tally)
            .with_context(object)?;
    }
    Ok(sink.put(&END_OF_ARCHIVE)?)
}

/// A directory whose tar is planned, so that its size is known before it is written.
struct PlannedVolume {
    root: Root,
    plan: Plan,
    mtime: Timestamp,
}

impl PlannedVolume {
    /// Walks the directory and plans its tar.
    fn plan(
        dir: &Path,
        options: &CreateOptions,
        root_names: &[RootName],
        tally: &mut Tally<impl FnMut(&Notice)>,
    ) -> anyhow::Result<PlannedVolume> {
        let root = Root::open(dir).with_context(|| cli::display_path(dir))?;
        let top = Status::at(root.fd(), "".as_ref()).with_context(|| cli::display_path(dir))?;
        let mut plan = Plan::new();
        let mut walk = Walk::new(&root, |path, status| options.visit(path, status, &top))
            .with_context(|| cli::display_path(dir))?
            .stat_ahead();
        while let Some(found) = walk.next(tally).with_context(|| cli::display_path(dir))? {
            let mut entry = found.entry;
            options.ids.map_to_container(&mut entry).with_context(|| cli::display_path(dir))?;
            let ino = found.status.identity().ino;
            if entry.path.is_root() {
                for &name in root_names {
                    plan.add_as(entry.clone(), ino, name).with_context(|| cli::display_path(dir))?;
                }
            } else {
                plan.add(entry, ino).with_context(|| cli::display_path(dir))?;
            }
        }
        drop(walk);
        Ok(PlannedVolume { root, plan, mtime: top.mtime() })
    }
}

/// Returns a tally that reports each notice with the directory as a prefix.
fn tally(session: &Session, dir: &Path) -> Tally<impl FnMut(&Notice)> {
    let dir = cli::display_path(dir);
    Tally::new(move |notice| match notice {
        Notice::LeftOut { .. } => session.note(format_args!("{dir}/{notice}")),
        _ => session.warn(format_args!("{dir}/{notice}")),
    })
}
