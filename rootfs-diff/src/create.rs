//! `rootfs-diff create`: the changes as a tar, in the order in which podman can apply them.

use std::io::Write;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use anyhow::Context;
use checkpoint::stream::StreamWriter;
use checkpoint::{Member, deleted};
use cli::{Counted, Exit, Output, Session};
use rootfs_diff::compare::ROOT_NAME;
use rootfs_diff::{Change, Changes, compare};
use tartree::{
    Entry, Error, Files, IdMaps, Notice, Passage, Place, Plan, Sink, Status, Tally, TarPath, Timestamp,
};

use crate::args::{Create, Format, id_maps};
use crate::oci_layer;

pub fn run(args: &Create, session: &Session) -> anyhow::Result<Exit> {
    if args.format == Format::Oci {
        return oci_layer::run(args, session);
    }
    if !args.members && args.deleted.is_none() {
        return Err(cli::Hint::on(
            cli::usage("a diff without its deletions is not a diff"),
            "write them to a file: --deleted FILE, or both as a member stream: --members",
        ));
    }
    one_place_each(args)?;
    let options = args.source.options()?;
    let mut source = args.source.open()?;
    let mut tally = Tally::new(|notice: &Notice| crate::tell(session, notice));
    session.stage("comparing", None);
    let mut diff = Diff::new(id_maps(&args.ids)?, args.inband_removals);
    compare(&mut source, &options, &mut diff, &mut tally).with_context(|| args.source.name())?;
    crate::warn_unmatched(session, &options, &mut source);
    if let (Some(path), false) = (&diff.only_listed, args.members) {
        session.warn(format_args!(
            "{path}: the tar alone does not delete this name, which is too long for its header: apply it with --deleted"
        ));
    }
    let (plan, deleted, mtime) = diff.finish()?;
    let (json, raw) = deleted::write(&deleted)?;
    let mut files = source.into_new();
    let sink = sink(args.output.binary()?);
    session.stage("writing the changes", Some(plan.tar_size()));
    let output = match &args.deleted {
        Some(file) => {
            let lists = Lists::write(file, json, raw, args.output.fsync)?;
            let output = write_tar(&plan, &mut files, sink, &mut tally)?;
            lists.commit()?;
            output
        }
        None => {
            let stream = StreamWriter::on(sink, "rootfs-diff");
            let members = |stream: &mut StreamWriter<_>| -> anyhow::Result<u64> {
                stream.tar(&Member::RootfsDiff, &plan, &mut files, mtime, &mut tally)?;
                for (member, text) in [(Member::DeletedFiles, &json), (Member::DeletedFiles0, &raw)] {
                    if let Some(text) = text {
                        stream.small(&member, text, mtime)?;
                    }
                }
                Ok(tally.changed)
            };
            stream.produce(members)?.0
        }
    };
    output.into_inner().commit()?;
    Ok(if tally.changed > 0 { Exit::Changed } else { Exit::Done })
}

/// The diff and its deletions must not be written over each other.
fn one_place_each(args: &Create) -> anyhow::Result<()> {
    let Some(deleted) = &args.deleted else { return Ok(()) };
    let stdout = Path::new("-");
    let diff = args.output.output.as_deref().unwrap_or(stdout);
    let (at, name) = (|path: &Path| std::path::absolute(path).ok(), cli::name(deleted));
    if deleted == stdout && diff != stdout {
        return Ok(());
    }
    match deleted == diff || at(deleted) == at(diff) || at(&beside(deleted)) == at(diff) {
        true => Err(cli::usage(format!("--deleted {name}: the diff is written there"))),
        false => Ok(()),
    }
}

/// Large files go past our memory.
pub fn sink(output: Output) -> Sink<Counted<Output>> {
    let passage = Passage::to(output.as_fd(), cli::count);
    Sink::direct(Counted::new(output), passage)
}

/// Writes the planned tar of `files`.
pub fn write_tar(
    plan: &Plan,
    files: &mut dyn Files,
    mut sink: Sink<Counted<Output>>,
    tally: &mut Tally<impl FnMut(&Notice)>,
) -> anyhow::Result<Counted<Output>> {
    plan.write(files, &mut sink, tally)?;
    Ok(sink.into_inner()?)
}

/// The deletion lists beside a plain tar.
struct Lists {
    json: Output,
    raw: Option<Output>,
}

impl Lists {
    /// Always writes FILE, so that the one who applies can name it; FILE0 only when it is needed.
    fn write(file: &Path, json: Option<Vec<u8>>, raw: Option<Vec<u8>>, fsync: bool) -> anyhow::Result<Lists> {
        let mut lists = Lists { json: Output::text(Some(file))?.synced(fsync), raw: None };
        lists.json.write_all(&json.unwrap_or_else(|| b"[]\n".to_vec())).with_context(|| cli::name(file))?;
        let beside = beside(file);
        match raw {
            Some(raw) => {
                let mut output = Output::text(Some(&beside))?.synced(fsync);
                output.write_all(&raw).with_context(|| cli::name(&beside))?;
                lists.raw = Some(output);
            }
            // One of an earlier diff would be taken for part of this one.
            None => match std::fs::remove_file(&beside) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(e).with_context(|| cli::name(&beside));
                }
                _ => {}
            },
        }
        Ok(lists)
    }

    fn commit(self) -> anyhow::Result<()> {
        self.json.commit()?;
        self.raw.map_or(Ok(()), Output::commit)
    }
}

/// FILE0, the list of names that are not UTF-8, beside FILE.
pub fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push("0");
    name.into()
}

/// Collects the changes as a plan and a deletion list.
struct Diff {
    plan: Plan,
    deleted: Vec<TarPath>,
    ids: IdMaps,
    inband: bool,
    /// The first deletion whose name does not fit into a removal header, a ustar header without extensions.
    only_listed: Option<TarPath>,
    mtime: Timestamp,
    /// The first entry that cannot be written: the ID maps lack its owner, or a reader would reject it.
    failed: Option<Error>,
}

impl Diff {
    fn new(ids: IdMaps, inband: bool) -> Diff {
        Diff {
            plan: Plan::new(),
            deleted: Vec::new(),
            ids,
            inband,
            only_listed: None,
            mtime: Timestamp::default(),
            failed: None,
        }
    }

    fn note(&mut self, added: Result<(), Error>) {
        if let Err(e) = added {
            self.failed.get_or_insert(e);
        }
    }

    fn finish(mut self) -> anyhow::Result<(Plan, Vec<TarPath>, Timestamp)> {
        self.deleted.sort();
        match self.failed {
            Some(e) => Err(e.into()),
            None => Ok((self.plan, self.deleted, self.mtime)),
        }
    }
}

impl Changes for Diff {
    fn entry(&mut self, mut entry: Entry, ino: u64, place: Place, _change: Change) {
        if entry.path.is_root() {
            self.mtime = entry.meta.mtime;
        }
        let mapped = self.ids.map_to_container(&mut entry);
        self.note(mapped);
        let added = if entry.path.is_root() {
            self.plan.add_as(entry, ino, ROOT_NAME)
        } else {
            self.plan.add_at(place, entry, ino)
        };
        self.note(added);
    }

    fn removed(&mut self, path: TarPath, was: &Status) {
        let inband = self.inband && self.plan.add_removal(&path);
        if self.inband && !inband {
            self.only_listed.get_or_insert_with(|| path.clone());
        }
        if !inband && was.is_symlink() {
            // podman from 5.8.2 resolves the last component of a deletion: a link's target would be deleted, the link would stay.
            let added = self.plan.add_tombstone(&path);
            self.note(added);
        }
        self.deleted.push(path);
    }

    fn replaced(&mut self, path: &TarPath) {
        if !(self.inband && self.plan.add_removal(path)) {
            let added = self.plan.add_tombstone(path);
            self.note(added);
        }
    }
}
