//! `rootfs-diff create --format podman`: writes the changes as a tar and a list of deletions, in
//! the order in which podman applies them.

use std::path::Path;

use anyhow::Context;
use checkpoint::stream::StreamWriter;
use checkpoint::{Member, deleted_files};
use cli::{Exit, Session};
use rootfs_diff::{Change, Changes, compare};
use tartree::{Entry, Error, IdMaps, Notice, Plan, RootName, SourceTree, Status, Tally, TarPath, Timestamp};

use crate::args::Create;
use crate::create::tar_output::write_tar;
use crate::deletion_lists::{DeletionLists, raw_list};
use crate::notices::{report, warn_unmatched};

pub fn run(args: &Create, session: &Session) -> anyhow::Result<Exit> {
    if !args.members && args.deleted.is_none() {
        return Err(cli::Hint::on(
            cli::usage("no file given for the list of deletions"),
            "--deleted FILE, or --members for a member stream with the diff and the list",
        ));
    }
    refuse_same_file(args)?;
    let options = args.trees.options()?;
    let mut trees = args.trees.open()?;
    let mut tally = Tally::new(|notice: &Notice| report(session, notice));
    session.stage("comparing", None);
    let mut diff = PodmanDiff::new(args.ids.maps()?, args.inband_removals);
    compare(&mut trees, &options, &mut diff, &mut tally).with_context(|| args.trees.name())?;
    warn_unmatched(session, &options, &mut |path| trees.has(path));
    if let (Some(path), false) = (&diff.only_listed, args.members) {
        session.warn(format_args!(
            "{path}: the name is too long for a removal header in the tar; apply the diff with --deleted"
        ));
    }
    let (plan, deleted, mtime) = diff.finish()?;
    let (json, raw) = deleted_files::write(&deleted)?;
    let mut files = trees.into_new_files();
    let sink = cli::tree::sink(args.output.binary()?);
    session.stage("writing the changes", Some(plan.tar_size()));
    let output = match &args.deleted {
        Some(file) => {
            let lists = DeletionLists::write(file, json, raw, args.output.fsync)?;
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

/// Returns a usage error if the diff and its list of deletions would be written to the same file.
fn refuse_same_file(args: &Create) -> anyhow::Result<()> {
    let Some(deleted) = &args.deleted else { return Ok(()) };
    let stdout = Path::new("-");
    let diff = args.output.output.as_deref().unwrap_or(stdout);
    let (at, name) = (|path: &Path| std::path::absolute(path).ok(), cli::display_path(deleted));
    if deleted == stdout && diff != stdout {
        return Ok(());
    }
    match deleted == diff || at(deleted) == at(diff) || at(&raw_list(deleted)) == at(diff) {
        true => Err(cli::usage(format!("--deleted {name}: the diff is written to the same file"))),
        false => Ok(()),
    }
}

/// Name of the root directory in the tar. podman applies the metadata of `/`, but ignores `./`.
const ROOT_NAME: RootName = RootName::Slash;

/// Collects the changes as the plan of a tar and a list of deletions.
struct PodmanDiff {
    plan: Plan,
    deleted: Vec<TarPath>,
    ids: IdMaps,
    /// True if the tar holds the deletions too, as removal headers.
    inband: bool,
    /// The first deletion whose name does not fit into a removal header, which is a ustar header
    /// without extensions.
    only_listed: Option<TarPath>,
    /// Modification time of the root directory.
    mtime: Timestamp,
    /// The first entry that cannot be written: the ID maps lack its owner, or a reader would reject
    /// it.
    failed: Option<Error>,
}

impl PodmanDiff {
    fn new(ids: IdMaps, inband: bool) -> PodmanDiff {
        PodmanDiff {
            plan: Plan::new(),
            deleted: Vec::new(),
            ids,
            inband,
            only_listed: None,
            mtime: Timestamp::default(),
            failed: None,
        }
    }

    fn keep_error(&mut self, added: Result<(), Error>) {
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

impl Changes for PodmanDiff {
    fn entry(&mut self, mut entry: Entry, ino: u64, source_tree: SourceTree, _change: Change) {
        if entry.path.is_root() {
            self.mtime = entry.meta.mtime;
        }
        let mapped = self.ids.map_to_container(&mut entry);
        self.keep_error(mapped);
        let added = if entry.path.is_root() {
            self.plan.add_as(entry, ino, ROOT_NAME)
        } else {
            self.plan.add_at(source_tree, entry, ino)
        };
        self.keep_error(added);
    }

    fn removed(&mut self, path: TarPath, was: &Status) {
        let inband = self.inband && self.plan.add_removal(&path);
        if self.inband && !inband {
            self.only_listed.get_or_insert_with(|| path.clone());
        }
        if !inband && was.is_symlink() {
            // podman from 5.8.2 follows a symbolic link in the last component of a deletion: it
            // would delete the target of the link and keep the link. Therefore an empty file
            // replaces the link before podman applies the deletion.
            let added = self.plan.add_tombstone(&path);
            self.keep_error(added);
        }
        self.deleted.push(path);
    }

    fn replaced(&mut self, path: &TarPath) {
        if !(self.inband && self.plan.add_removal(path)) {
            let added = self.plan.add_tombstone(path);
            self.keep_error(added);
        }
    }
}
