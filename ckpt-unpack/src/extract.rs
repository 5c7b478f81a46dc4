//! Extracts members into directories outside the bundle: the root file system and the volumes.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use anyhow::Context;
use checkpoint::compress::{Bound, Compression};
use checkpoint::rootfs::RootfsApply;
use checkpoint::tar_input::TarInput;
use checkpoint::whiteout::Whiteouts;
use checkpoint::{Member, deleted_files};
use cli::args::Durable;
use cli::tree::NewLayer;
use cli::{Hint, Modified, Session};
use tartree::{Content, Devices, ExtractOptions, Extractor, Limits, Notice, Reader, Root};

use crate::args::Args;

/// The directory trees that members are extracted into.
pub struct Trees<'a> {
    rootfs: Option<(RootfsApply, &'a Path)>,
    layer: Option<(NewLayer, &'a Path)>,
    options: ExtractOptions,
    limits: Limits,
    /// Whether the archive has a deletion list. If so, its diff has no whiteouts.
    pub listed: bool,
    modified: Modified,
    session: &'a Session,
}

impl<'a> Trees<'a> {
    /// Opens the root file system, and checks that the parents of the other directories exist.
    ///
    /// # Errors
    /// Returns an error if a directory is missing; nothing has been written then.
    pub fn open(args: &'a Args, session: &'a Session) -> anyhow::Result<Trees<'a>> {
        let output = &args.output;
        let options = args.ownership.options(&args.limits, output.cross_mounts)?;
        let mut new_layer = None;
        let rootfs = match &args.output.rootfs {
            Some(dir) => {
                let root = Root::open(dir).with_context(|| cli::display_path(dir))?;
                let devices = Devices::in_rootfs(args.limits.no_devices);
                let options = ExtractOptions { devices, ..options.clone() };
                let extractor = match &output.layer {
                    Some(layer) => {
                        let name = cli::display_path(layer);
                        let mut notices = |notice: Notice| session.warn(format_args!("{name}/{notice}"));
                        let (extractor, new) =
                            cli::tree::overlay_layer(layer, root, options, output.userxattr, &mut notices)?;
                        new_layer = Some((new, layer.as_path()));
                        extractor
                    }
                    None => Extractor::new(root, options),
                };
                Some((RootfsApply::new(extractor), output.layer.as_deref().unwrap_or(dir)))
            }
            None => None,
        };
        for dir in args.output.volume.iter().map(|(_, dir)| dir).chain(&args.output.shm) {
            let parent = match dir.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => parent,
                _ => Path::new("."),
            };
            let meta =
                dir.metadata().or_else(|_| parent.metadata()).with_context(|| cli::display_path(parent))?;
            if !meta.is_dir() {
                anyhow::bail!("{}: not a directory", cli::display_path(dir));
            }
        }
        let modified = Modified::new(
            session,
            "contains part of the checkpoint, restore its previous content before you try again",
        );
        let layer = new_layer;
        Ok(Trees { rootfs, layer, options, limits: args.limits.of_tars(), listed: false, modified, session })
    }

    /// Applies a member to the root file system: the diff, or a deletion list.
    pub fn apply_to_rootfs(
        &mut self,
        member: &Member,
        content: impl Read,
        bound: &Bound,
    ) -> anyhow::Result<()> {
        let Some((apply, dir)) = &mut self.rootfs else { return Ok(()) };
        let (name, session) = (cli::display_path(*dir), self.session);
        let mut notices = |notice: Notice| session.warn(format_args!("{name}/{notice}"));
        if self.layer.as_ref().is_none_or(|(layer, _)| layer.is_in_place()) {
            self.modified.add(dir);
        }
        match member {
            Member::DeletedFiles | Member::DeletedFiles0 => {
                self.listed = true;
                let list = deletions(member, content)?;
                apply.delete(&list, &mut notices).with_context(|| name.clone())
            }
            _ => {
                let mut input = tar(content, bound).with_context(|| member.to_string())?;
                input.expect(DIFF, false).map_err(explained).with_context(|| member.to_string())?;
                let whiteouts = if self.listed && input.compression() == Compression::None {
                    Whiteouts::Literal
                } else {
                    input.whiteouts().with_context(|| member.to_string())?
                };
                apply
                    .apply(input, self.limits.clone(), whiteouts, &mut notices)
                    .with_context(|| name.clone())?;
                if apply.whiteouts() > 0 {
                    session.note(format_args!(
                        "{member}: an OCI layer, its whiteouts were applied as deletions"
                    ));
                }
                Ok(())
            }
        }
    }

    /// Extracts a member into `dir`, and creates the last component of `dir` if it is missing.
    pub fn extract(
        &mut self,
        member: &Member,
        dir: &Path,
        content: Content<'_, impl Read>,
        bound: &Bound,
    ) -> anyhow::Result<()> {
        let object = || cli::display_path(dir);
        let mut input = tar(content, bound).with_context(|| member.to_string())?;
        input.expect_volume(VOLUME, false).map_err(explained).with_context(|| member.to_string())?;
        let is_new = cli::private::dir(dir).with_context(object)?;
        // A directory with files of two volumes is a copy of neither. podman --ignore-volumes uses
        // such a directory without a warning.
        if !is_new && fs::read_dir(dir).with_context(object)?.next().is_some() {
            self.session.warn(format_args!(
                "{}: not empty, keeping the existing files next to those of {member}",
                object()
            ));
        }
        let root = Root::open(dir).with_context(object)?;
        self.modified.add(dir);
        let (name, session) = (object(), self.session);
        let mut notices = |notice: Notice| session.warn(format_args!("{name}/{notice}"));
        let mut extractor = Extractor::new(root, self.options.clone());
        let mut reader = Reader::direct(input, self.limits.clone(), |tar, output, n| {
            tar.past_buffer(|content| content.move_to(output, n))
        });
        tartree::extract_tar(&mut reader, &mut extractor, &mut notices, |entry| {
            session.detail(format_args!("{name}/{}", entry.path));
        })
        .with_context(|| member.to_string())?;
        extractor.finish(&mut notices).with_context(object)
    }

    /// Sets the metadata of the root file system's directories. Called last, because writing into a
    /// directory changes its times.
    pub fn finish(&mut self) -> anyhow::Result<()> {
        let Some((apply, dir)) = self.rootfs.take() else { return Ok(()) };
        let (name, session) = (cli::display_path(dir), self.session);
        let mut notices = |notice: Notice| session.warn(format_args!("{name}/{notice}"));
        apply.finish(&mut notices).with_context(|| name.clone())
    }

    /// Returns the directory with the changes of the root file system, before they are committed.
    pub fn changed_rootfs(&self) -> Option<&Path> {
        self.layer.as_ref().map(|(layer, dir)| layer.path(dir))
    }

    /// Calls fsync(2) on everything that was extracted, if `--fsync` is given, and gives a new layer its
    /// name.
    pub fn commit(&mut self, durable: &Durable) -> anyhow::Result<()> {
        self.modified.dirs().iter().try_for_each(|dir| durable.sync(dir))?;
        self.layer.take().map_or(Ok(()), |(layer, dir)| layer.finish(dir, durable))
    }

    /// Reports the directories that an error has left incomplete.
    pub fn report_incomplete(&self) {
        self.modified.report(self.session);
    }
}

/// The kind of tar that is expected for the root file system, in messages.
const DIFF: &str = "the changes of a root file system";
/// The kind of tar that is expected for a directory, in messages.
const VOLUME: &str = "the tar of a volume";

fn tar<R: Read>(content: R, bound: &Bound) -> io::Result<TarInput<R>> {
    TarInput::open(content, false, bound.clone())
}

/// Adds a hint that names the commands for other kinds of tar.
fn explained(e: checkpoint::Error) -> anyhow::Error {
    match e {
        checkpoint::Error::Kind { .. } => {
            let hint = "unpack it into the bundle only, then use rootfs-diff apply --any-tar or vol-archive extract --any-tar";
            Hint::on(e, hint)
        }
        _ => e.into(),
    }
}

/// Reads a deletion list.
fn deletions(member: &Member, content: impl Read) -> anyhow::Result<Vec<tartree::TarPath>> {
    let bytes = cli::read_document(content, &member.to_string(), deleted_files::LIMIT)?;
    Ok(if *member == Member::DeletedFiles0 {
        deleted_files::read0(&bytes)?
    } else {
        deleted_files::read(&bytes)?
    })
}
