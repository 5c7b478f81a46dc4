//! What lies outside the bundle: the root file system and the directories of volumes.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use anyhow::Context;
use checkpoint::compress::{Bound, Compression};
use checkpoint::rootfs::RootfsApply;
use checkpoint::tar_input::TarInput;
use checkpoint::whiteout::Whiteouts;
use checkpoint::{Member, deleted_files};
use cli::args::Durable;
use cli::{Hint, Session};
use tartree::{Devices, ExtractOptions, Extractor, Limits, Notice, Reader, Root};

use crate::args::Args;

/// All of them.
pub struct Targets<'a> {
    rootfs: Option<(RootfsApply, &'a Path)>,
    options: ExtractOptions,
    limits: Limits,
    /// The archive lists its deletions: its diff has no whiteouts.
    pub listed: bool,
    touched: Touched,
    session: &'a Session,
}

/// Directories that were written to, which neither an error nor a signal undoes.
#[derive(Clone, Default)]
struct Touched(Arc<Mutex<Vec<PathBuf>>>);

impl Touched {
    fn add(&self, dir: &Path) {
        if let Ok(mut dirs) = self.0.lock() {
            if dirs.last().is_none_or(|last| last != dir) {
                dirs.push(dir.to_owned());
            }
        }
    }

    fn dirs(&self) -> Vec<PathBuf> {
        self.0.lock().map(|dirs| dirs.clone()).unwrap_or_default()
    }

    /// What is left half done, one line for each.
    fn state(&self) -> Vec<String> {
        Touched::lines(&self.dirs())
    }

    /// The same when the process ends, while another thread still works: it waits at the next directory it comes to.
    fn last_state(&self) -> Vec<String> {
        let Ok(dirs) = self.0.lock() else { return Vec::new() };
        let lines = Touched::lines(&dirs);
        std::mem::forget(dirs);
        lines
    }

    fn lines(dirs: &[PathBuf]) -> Vec<String> {
        dirs.iter()
            .map(|dir| {
                format!(
                    "{}: holds part of the checkpoint, start again from what it was before",
                    cli::display_path(dir)
                )
            })
            .collect()
    }
}

impl<'a> Targets<'a> {
    /// Opens the root file system, and looks for the parents of the others: what is missing is told before anything is done.
    pub fn open(args: &'a Args, session: &'a Session) -> anyhow::Result<Targets<'a>> {
        let output = &args.output;
        if output.cross_mounts && output.rootfs.is_none() && output.volume.is_empty() && output.shm.is_none()
        {
            return Err(cli::usage("--cross-mounts: needs --rootfs, --volume or --shm"));
        }
        let options = args.ownership.options(&args.limits, output.cross_mounts)?;
        let rootfs = match &args.output.rootfs {
            Some(dir) => {
                let root = Root::open(dir).with_context(|| cli::display_path(dir))?;
                let devices = Devices::in_rootfs(args.limits.no_devices);
                let extractor = Extractor::new(root, ExtractOptions { devices, ..options.clone() });
                Some((RootfsApply::new(extractor), dir.as_path()))
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
        let touched = Touched::default();
        let told = touched.clone();
        cli::signal::on_termination(move || {
            for line in told.last_state() {
                eprintln!("ckpt-unpack: error: {line}");
            }
        });
        Ok(Targets { rootfs, options, limits: args.limits.of_tars(), listed: false, touched, session })
    }

    /// Applies a member to the root file system.
    pub fn apply(&mut self, member: &Member, content: impl Read, bound: &Bound) -> anyhow::Result<()> {
        let Some((apply, dir)) = &mut self.rootfs else { return Ok(()) };
        let (name, session) = (cli::display_path(*dir), self.session);
        let mut notices = |notice: Notice| session.warn(format_args!("{name}/{notice}"));
        self.touched.add(dir);
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
                    session.note(format_args!("{member}: an OCI layer, its whiteouts are deletions"));
                }
                Ok(())
            }
        }
    }

    /// Extracts a member into `dir`, making its last component where it is missing.
    pub fn extract(
        &mut self,
        member: &Member,
        dir: &Path,
        content: impl Read,
        bound: &Bound,
    ) -> anyhow::Result<()> {
        let object = || cli::display_path(dir);
        let mut input = tar(content, bound).with_context(|| member.to_string())?;
        input.expect_volume(VOLUME, false).map_err(explained).with_context(|| member.to_string())?;
        let is_new = cli::private::dir(dir).with_context(object)?;
        // Files of another volume beside those of this one are neither: podman, told to ignore volumes, takes them in silence.
        if !is_new && fs::read_dir(dir).with_context(object)?.next().is_some() {
            self.session
                .warn(format_args!("{}: is not empty, what it holds stays beside {member}", object()));
        }
        let root = Root::open(dir).with_context(object)?;
        self.touched.add(dir);
        let (name, session) = (object(), self.session);
        let mut notices = |notice: Notice| session.warn(format_args!("{name}/{notice}"));
        let mut extractor = Extractor::new(root, self.options.clone());
        let mut reader = Reader::new(input, self.limits.clone());
        tartree::extract_tar(&mut reader, &mut extractor, &mut notices, |entry| {
            session.detail(format_args!("{name}/{}", entry.path));
        })
        .with_context(|| member.to_string())?;
        extractor.finish(&mut notices).with_context(object)
    }

    /// Sets the metadata of the root file system's directories, when nothing else will change them.
    pub fn finish(&mut self) -> anyhow::Result<()> {
        let Some((apply, dir)) = self.rootfs.take() else { return Ok(()) };
        let (name, session) = (cli::display_path(dir), self.session);
        let mut notices = |notice: Notice| session.warn(format_args!("{name}/{notice}"));
        apply.finish(&mut notices).with_context(|| name.clone())
    }

    /// Writes all of them to their disks, if that was asked for.
    pub fn sync(&self, durable: &Durable) -> anyhow::Result<()> {
        self.touched.dirs().iter().try_for_each(|dir| durable.sync(dir))
    }

    /// Tells what an error has left half done.
    pub fn tell_state(&self) {
        for line in self.touched.state() {
            self.session.error(line);
        }
    }
}

/// What a member for the root file system, and one for a directory, must be.
pub const DIFF: &str = "the changes of a root file system";
pub const VOLUME: &str = "the tar of a volume";

fn tar<R: Read>(content: R, bound: &Bound) -> io::Result<TarInput<R>> {
    TarInput::open(content, false, bound.clone())
}

/// Adds the commands that take any tar.
pub fn explained(e: checkpoint::Error) -> anyhow::Error {
    match e {
        checkpoint::Error::Kind { .. } => {
            let hint = "unpack it into the bundle only; rootfs-diff apply and vol-archive extract take any tar with --any-tar";
            Hint::on(e, hint)
        }
        _ => e.into(),
    }
}

/// Reads a deletion list.
pub fn deletions(member: &Member, content: impl Read) -> anyhow::Result<Vec<tartree::TarPath>> {
    let bytes = cli::read_document(content, &member.to_string(), deleted_files::LIMIT)?;
    Ok(if *member == Member::DeletedFiles0 {
        deleted_files::read0(&bytes)?
    } else {
        deleted_files::read(&bytes)?
    })
}
