//! `rootfs-diff list --archive`: the changes of a root file system in a checkpoint archive.

use std::io;
use std::path::Path;

use anyhow::Context;
use checkpoint::archive::{ArchiveFile, ImageChoice, Members, Reading, Unknown};
use checkpoint::compress::Bound;
use checkpoint::tar_input::TarInput;
use checkpoint::whiteout::{Whiteout, Whiteouts};
use checkpoint::{Member, deleted_files};
use cli::args::Bounds;
use cli::{Hint, Input, Session, usage};
use rootfs_diff::Options;
use tartree::{
    Content, Entry, Expanded, Item, Kind, Limits, Notice, Reader, Root, Skip, Status, TarPath, Visit, Walk,
};

use super::changes::{Change, Changes};
use super::lines::{KindAndSize, Row};
use super::patch::{self, Side};
use super::size_of;
use crate::args::List;
use crate::notices::warn_unmatched;

/// The largest patch, in bytes.
const PATCH_LIMIT: usize = 256 << 20;

/// The letter of a directory that has not changed itself. It is in the tar since something below it
/// has changed, and `list` does not print it.
const TOUCHED: char = ' ';

/// The changes in an archive.
pub struct Found {
    /// The changes in the order of their paths.
    changes: Vec<Change>,
    /// The unified diff of the changes, if it is requested.
    pub patch: Vec<u8>,
}

impl Found {
    /// Returns the changes in the order of their paths.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        let rows = self.changes.iter().map(|(path, change)| (path, *change));
        rows.filter(|(path, change)| change.kind() != TOUCHED && !path.is_root())
    }
}

/// Lists the changes in the archive at `path`.
///
/// # Errors
/// Returns an error if the archive or the root file system of the image cannot be read.
pub fn changes(args: &List, path: &Path, session: &Session) -> anyhow::Result<Found> {
    if args.patch && args.trees.rootfs.is_none() {
        let e = usage("--patch compares the archive with the root file system of the image");
        return Err(Hint::on(e, "add --rootfs DIR, such as the output of podman image mount IMAGE"));
    }
    let options = args.trees.options()?;
    let image = match &args.trees.rootfs {
        Some(dir) => Some(Root::open(dir).with_context(|| cli::display_path(dir))?),
        None => None,
    };
    let mut archive = open(path, args.tag.as_deref())?;
    let name = archive.name().to_owned();
    session.stage("reading", archive.size());
    let limits = archive.limits().clone();
    let mut diff = Diff { image, options, patch: args.patch.then(Vec::new), ..Diff::default() };
    let read = archive.survey_of_all().map_err(anyhow::Error::from);
    let read = read.and_then(|reader| diff.members(reader, &limits));
    read.with_context(|| name.clone()).map_err(explain)?;
    session.end_stages();
    if !diff.has_diff {
        session.warn(format_args!(
            "{name}: rootfs-diff.tar: not in the archive, which then holds no changed files"
        ));
    }
    let changes = diff.deletions()?;
    let Diff { mut image, options, patch, .. } = diff;
    warn_unmatched(session, &options, &mut |path| {
        image.as_mut().is_some_and(|root| status(root, path).is_some())
    });
    if image.is_none() && changes.iter().any(|(_, change)| change.kind() == 'C') && !session.is_quiet() {
        session.hint(
            "to tell added files (A) from changed ones (C): --rootfs DIR, the root file system of the image",
        );
    }
    Ok(Found { changes, patch: patch.unwrap_or_default() })
}

/// Opens the archive, or the archive in an image.
fn open(path: &Path, tag: Option<&str>) -> anyhow::Result<ArchiveFile> {
    let bounds = Bounds::default();
    let bound = Bound::new(bounds.content_bytes(), None);
    let reading = Reading { unknown: Unknown::Show, limits: bounds.limits(), bound, count: cli::count };
    let spool = || cli::spool(None).map_err(io::Error::other);
    let choice = ImageChoice { tag, spool: &spool };
    let name = cli::display_path(path);
    if path.is_dir() {
        return ArchiveFile::in_dir(path, name.clone(), reading, &choice).context(name).map_err(explain);
    }
    let input = Input::open(Some(path), "an archive")?;
    let name = input.name().to_owned();
    let archive = ArchiveFile::in_file(input.into_file(), name.clone(), reading, &choice);
    let archive = archive.with_context(|| name.clone()).map_err(explain)?;
    match (archive.image(), tag) {
        (None, Some(_)) => Err(usage(format!("--tag: {name} is not an OCI image"))),
        _ => Ok(archive),
    }
}

fn explain(e: anyhow::Error) -> anyhow::Error {
    let choice = |e: &(dyn std::error::Error + 'static)| {
        matches!(e.downcast_ref(), Some(checkpoint::Error::Choice { .. }))
    };
    if e.chain().any(choice) {
        return Hint::on(e, "select one: --tag REF, or --tag sha256:DIGEST");
    }
    if e.chain().any(|e| matches!(e.downcast_ref(), Some(checkpoint::Error::Pod { .. }))) {
        return Hint::on(e, "ckpt-unpack --cat NAME.tar FILE | rootfs-diff list --archive -");
    }
    match checkpoint::hint_in(e.chain()).or_else(|| tartree::hint(e.as_ref())) {
        Some(hint) => Hint::on(e, hint),
        None => e,
    }
}

/// What was read of a diff.
#[derive(Default)]
struct Diff {
    /// The root file system of the image.
    image: Option<Root>,
    options: Options,
    has_diff: bool,
    /// Whether the archive has a deletion list. If so, its diff has no whiteouts.
    listed: bool,
    changes: Vec<Change>,
    /// Deleted paths. A path that is also a change was deleted and created again.
    deleted: Vec<TarPath>,
    /// Whiteouts, and whether they are certain. Other whiteouts are files if the archive has a
    /// deletion list.
    whiteouts: Vec<(TarPath, Whiteout, bool)>,
    patch: Option<Vec<u8>>,
}

impl Diff {
    fn members(&mut self, mut reader: Members<'_>, limits: &Limits) -> anyhow::Result<()> {
        while let Some((member, _)) = reader.next()? {
            let bound = reader.bound();
            let object = || member.to_string();
            match member {
                Member::RootfsDiff => {
                    self.has_diff = true;
                    self.diff(reader.content(), limits.clone(), bound).with_context(object)?;
                }
                Member::DeletedFiles | Member::DeletedFiles0 => {
                    self.listed = true;
                    let bytes = cli::read_document(reader.content(), &object(), member.document_limit())?;
                    self.deleted.extend(match member {
                        Member::DeletedFiles0 => deleted_files::read0(&bytes)?,
                        _ => deleted_files::read(&bytes)?,
                    });
                }
                _ => {}
            }
        }
        Ok(reader.finish()?)
    }

    fn diff(&mut self, content: Content<'_, impl Skip>, limits: Limits, bound: Bound) -> anyhow::Result<()> {
        // This buffer holds the first entries, which show the form of the diff.
        let mut input = TarInput::open(content, false, bound)?;
        let whiteouts = input.whiteouts()?;
        let mut tar = Reader::skipping(input, limits);
        while let Some(item) = tar.next()? {
            let entry = match item {
                Item::Removal(path) => {
                    self.deleted.push(path);
                    continue;
                }
                Item::Entry(entry) => entry,
            };
            if let Some(whiteout) = whiteouts.in_entry(&entry) {
                let certain = whiteouts == Whiteouts::Named;
                self.whiteouts.push((entry.path, whiteout, certain));
                continue;
            }
            if self.is_left_out(&entry.path) {
                continue;
            }
            let old = self.image.as_mut().and_then(|root| status(root, &entry.path));
            let kind = match (&self.image, &old) {
                (Some(_), None) => 'A',
                (Some(_), Some(old)) if is_touched(&entry, old) => TOUCHED,
                _ => 'C',
            };
            if let (Kind::File { .. }, true) = (&entry.kind, self.patch.is_some()) {
                let new = Side::read(Expanded::new(&entry.kind, tar.content()))?;
                self.add_patch(&entry.path, kind, &new)?;
            }
            self.changes.push((entry.path, KindAndSize::new(kind, size_of(&entry.kind))));
        }
        Ok(tar.drain()?)
    }

    fn add_patch(&mut self, path: &TarPath, kind: char, new: &Side) -> anyhow::Result<()> {
        let (Some(out), Some(image)) = (&mut self.patch, &mut self.image) else { return Ok(()) };
        let old = if kind == 'A' { Side::Absent } else { Side::open(image.open_file(path)) };
        patch::file(out, path, kind, &old, new)?;
        if out.len() > PATCH_LIMIT {
            let e = anyhow::anyhow!("the patch is larger than {PATCH_LIMIT} bytes");
            return Err(Hint::on(e, "--exclude PATTERN"));
        }
        Ok(())
    }

    /// Returns whether a path is excluded, or below a mount.
    fn is_left_out(&self, path: &TarPath) -> bool {
        let mut all = std::iter::successors(Some(path.clone()), TarPath::parent);
        let excluded = all.any(|path| self.options.exclude.matches(&path));
        let below = |mount: &TarPath| path.starts_with(mount) && path != mount;
        excluded || self.options.mount_points.iter().any(below)
    }

    /// Adds the deleted paths to the changes, after the complete archive was read, and returns all
    /// changes in the order of their paths.
    fn deletions(&mut self) -> anyhow::Result<Vec<Change>> {
        let mut opaque = Vec::new();
        for (path, whiteout, certain) in std::mem::take(&mut self.whiteouts) {
            match whiteout {
                _ if self.listed && !certain => {
                    let kind = if self.image.is_some() { 'A' } else { 'C' };
                    self.changes.push((path, KindAndSize::new(kind, Some(0))));
                }
                Whiteout::File(deleted) => self.deleted.push(deleted),
                Whiteout::Opaque(dir) => opaque.push(dir),
                Whiteout::Reserved => {}
            }
        }
        let mut changes = Changes::new(std::mem::take(&mut self.changes));
        let mut deleted = std::mem::take(&mut self.deleted);
        deleted.retain(|path| !self.is_left_out(path));
        // Whatever the image has below a directory that the diff has is deleted. CRI-O writes no entry
        // for a directory that was created again.
        let (present, gone): (Vec<_>, Vec<_>) =
            deleted.into_iter().partition(|path| changes.has_at_or_below(path));
        changes.extend(gone.into_iter().map(|path| self.delete(path)).collect::<anyhow::Result<_>>()?);
        opaque.extend(present);
        for dir in opaque {
            self.hidden(&dir, &mut changes)?;
        }
        let mut changes = changes.into_sorted();
        // Without the image, a directory is a change only if nothing below it is.
        if self.image.is_none() {
            // The entries of one directory mostly follow one another.
            let mut above: Vec<TarPath> = Vec::new();
            for (path, _) in &changes {
                let parent = path.split().map(|(parent, _)| parent);
                if parent.is_some() && parent != above.last().map(TarPath::as_bytes) {
                    above.extend(path.parent());
                }
            }
            above.sort_unstable();
            let directory = KindAndSize::new('C', None);
            changes.retain(|(path, change)| *change != directory || above.binary_search(path).is_err());
        }
        Ok(changes)
    }

    /// Returns the change for a deleted path, and adds it to the patch.
    fn delete(&mut self, path: TarPath) -> anyhow::Result<Change> {
        let old = self.image.as_mut().and_then(|root| status(root, &path));
        let size = old.as_ref().filter(|old| old.is_file()).map(Status::size);
        if let (Some(out), Some(image), Some(_)) = (&mut self.patch, &mut self.image, size) {
            patch::file(out, &path, 'D', &Side::open(image.open_file(&path)), &Side::Absent)?;
        }
        Ok((path, KindAndSize::new('D', size)))
    }

    /// Deletes what the image has below `dir` and the diff does not have.
    fn hidden(&mut self, dir: &TarPath, changes: &mut Changes) -> anyhow::Result<()> {
        let Some(image) = &self.image else { return Ok(()) };
        let mut found = Vec::new();
        let visit = |path: &TarPath, status: &Status| {
            if dir.starts_with(path) {
                return Visit::Take;
            }
            if !path.starts_with(dir) {
                return Visit::Skip;
            }
            match changes.has(path) {
                false => {
                    found.push(path.clone());
                    Visit::Skip
                }
                true if status.is_dir() => Visit::Take,
                true => Visit::Skip,
            }
        };
        let mut walk = Walk::new(image, visit)?;
        while walk.next(&mut |_: Notice| {})?.is_some() {}
        drop(walk);
        found.retain(|path| !self.is_left_out(path));
        found.into_iter().try_for_each(|path| self.delete(path).map(|change| changes.insert(change)))
    }
}

/// Returns whether `entry` is a directory that the image has too, with the same owner and mode.
fn is_touched(entry: &Entry, old: &Status) -> bool {
    let meta = &entry.meta;
    entry.kind == Kind::Dir
        && old.is_dir()
        && (old.mode() & 0o7777, old.uid(), old.gid()) == (meta.mode & 0o7777, meta.uid, meta.gid)
}

/// Returns the status of an inode of the image, if it exists.
fn status(root: &mut Root, path: &TarPath) -> Option<Status> {
    let (directory, name) = root.parent(path).ok()?;
    Status::at(directory, name).ok()
}
