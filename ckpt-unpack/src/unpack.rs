//! Unpacks the members into the bundle, the root file system and volumes, in one pass.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

use anyhow::Context;
use checkpoint::Member;
use checkpoint::archive::{ArchiveFile, MemberContent, Members, PARENT};
use checkpoint::delta::Delta;
use checkpoint::xor::pages_number;
use cli::{Exit, Hint, Session};
use tartree::{Entry, ExtractOptions, Extractor, Kind, Meta, Notice, Root, TarPath, Zeros};

use crate::archive_input;
use crate::args::Args;
use crate::base::{self, Bases};
use crate::destination::{
    MemberDestination, check_directories_differ, check_volumes_differ, check_volumes_exist, destination,
};
use crate::extract::Trees;
use crate::host;
use crate::root_mode;
use crate::rounds::{self, Rounds};
use crate::runtime;
use crate::staging::{self, Staging};
use crate::userns;
use crate::verify::{self, Contents};
use crate::xor::Decoding;

pub fn run(args: &Args, bundle: &Path, session: &Session) -> anyhow::Result<Exit> {
    check_volumes_differ(args)?;
    check_directories_differ(args, bundle)?;
    let runtime = runtime::requested(args.host.runtime.as_deref())?;
    let mut archive = archive_input::open(args)?;
    let name = archive.name().to_owned();
    let rounds = Rounds::open(args, bundle)?;
    let bases = Bases::open(&args.include.base, args)?;
    let mut trees = Trees::open(args, session)?;
    if archive.can_rewind() {
        session.stage("checking", archive.size());
        let contents = survey(&mut archive, args, bundle, &rounds).with_context(|| name.clone())?;
        let listed = [Member::DeletedFiles, Member::DeletedFiles0];
        trees.listed = listed.iter().any(|list| contents.members.contains(list));
    }
    let staging = Staging::new(bundle)?;
    let root = Root::open(staging.dir()).with_context(|| cli::display_path(staging.dir()))?;
    // The user who unpacks owns the bundle: the owners in the archive are IDs of another host.
    let options = ExtractOptions { no_same_owner: true, zeros: Zeros::Holes, ..ExtractOptions::default() };
    let mut unpack = Unpack {
        args,
        bundle,
        files: Extractor::new(root, options),
        trees,
        contents: Contents::default(),
        bases,
        decoding: None,
        size: archive.size(),
        parents: BTreeSet::new(),
        rounds,
        is_round: false,
        begun: false,
        session,
    };
    let previous = std::mem::take(&mut unpack.rounds.archives);
    for (depth, mut archive) in previous.into_iter().rev().enumerate() {
        let name = archive.name().to_owned();
        archive
            .reader()
            .map_err(anyhow::Error::from)
            .and_then(|reader| unpack.previous(reader, depth))
            .with_context(|| name)?;
    }
    session.stage("unpacking", archive.size());
    let unpacked = archive
        .reader()
        .map_err(anyhow::Error::from)
        .and_then(|reader| unpack.members(reader))
        .and_then(|()| unpack.trees.finish())
        .with_context(|| name.clone())
        .and_then(|()| unpack.files.finish(&mut warnings(session)).with_context(|| cli::display_path(bundle)))
        .and_then(|()| {
            base::check_unpacked(staging.dir(), bundle, unpack.is_round).with_context(|| name.clone())
        })
        .and_then(|()| {
            args.output.mount_label.as_ref().map_or(Ok(()), |label| host::labelled_log(staging.dir(), label))
        })
        .and_then(|()| {
            let images = staging.dir().join("checkpoint");
            args.output.changed_rootfs().map_or(Ok(()), |name| {
                root_mode::set(unpack.trees.changed_rootfs().unwrap_or(name), name, &images, session)
            })
        })
        .and_then(|()| match unpack.is_round {
            true => Ok(()),
            false => runtime::fit_images(&staging.dir().join("checkpoint"), runtime, session),
        })
        .and_then(|()| userns::open_to_container(staging.dir(), bundle, session))
        // The bundle gets its name last: a bundle that exists is complete.
        .and_then(|()| unpack.trees.commit(&args.output.durable))
        .and_then(|()| match unpack.is_round {
            true => staging.commit_round(&args.output.durable),
            false => staging.commit(&args.output.durable),
        });
    if unpacked.is_err() {
        unpack.trees.report_incomplete();
    }
    unpacked?;
    if args.output.print_stats {
        host::print_stats(bundle)?;
    }
    Ok(Exit::Done)
}

/// Reads the complete archive and checks it before anything is written.
fn survey(
    archive: &mut ArchiveFile,
    args: &Args,
    bundle: &Path,
    rounds: &Rounds,
) -> anyhow::Result<Contents> {
    let delta = rounds::first_delta(archive)?;
    let is_round = delta.as_ref().is_some_and(|(member, delta)| rounds::is_round_delta(member, delta));
    match &delta {
        Some((member, delta)) if is_round => rounds.check_round(&member.to_string(), delta)?,
        Some((member, delta)) => rounds.check_final(&member.to_string(), Some(delta))?,
        None => rounds.check_final("checkpoint", None)?,
    }
    let mut check_member = |member: &Member| match destination(member, args)? {
        MemberDestination::Bundle if !(is_round && matches!(member, Member::PreImages(_))) => {
            staging::check_is_free(bundle, member)
        }
        _ => Ok(()),
    };
    let contents = verify::scan(archive, None, &mut check_member, &mut Err)?;
    check_contents(&contents, args)?;
    check_previous(&contents, args, bundle, rounds)?;
    if args.include.base.is_empty() || contents.delta.is_none() {
        Bases::check_number(args.include.base.len(), contents.delta.as_ref())?;
    }
    Ok(contents)
}

/// Checks that the archive is complete and has the volumes that the command line names.
fn check_contents(contents: &Contents, args: &Args) -> anyhow::Result<()> {
    if let Some(missing) = contents.missing(args.include.without_config).into_iter().next() {
        anyhow::bail!(missing);
    }
    let volume = |member: &Member| match member {
        Member::Volume(name) => Some(name.clone()),
        _ => None,
    };
    check_volumes_exist(args, &contents.members.iter().filter_map(volume).collect::<Vec<_>>())
}

struct Unpack<'a> {
    args: &'a Args,
    bundle: &'a Path,
    files: Extractor,
    trees: Trees<'a>,
    contents: Contents,
    /// The archives of `--base`.
    bases: Bases,
    /// Decodes pages that are stored as XOR.
    decoding: Option<Decoding>,
    /// The size of the archive in bytes, for the progress display.
    size: Option<u64>,
    /// Directories of members that exist already.
    parents: BTreeSet<TarPath>,
    rounds: Rounds,
    /// Whether the archive is a round of a migration, which is added to the bundle.
    is_round: bool,
    /// Whether a member other than a directory was read.
    begun: bool,
    session: &'a Session,
}

impl Unpack<'_> {
    /// Unpacks the images of a pre-dump from their own archive, and nothing else of that archive.
    /// There are `depth` newer pre-dumps.
    fn previous(&mut self, mut reader: Members<'_>, depth: usize) -> anyhow::Result<()> {
        let mut found = false;
        while let Some((member, mut entry)) = reader.next()? {
            let Member::PreImages(path) = &member else {
                self.session.note(format_args!("{member}: member of the pre-checkpoint, skipped"));
                continue;
            };
            staging::check_is_free(self.bundle, &member)?;
            let dir = (0..depth).fold(TarPath::root(), |dir, _| dir.child(b"parent"));
            let path = if path.is_root() { dir } else { dir.child(path.as_bytes()) };
            let member = Member::PreImages(path);
            entry.path = member.path();
            self.file(&member, entry, reader.content())?;
            self.contents.members.insert(member);
            found = true;
        }
        if !found {
            anyhow::bail!("not the archive of a pre-checkpoint: pre-checkpoint/ is missing");
        }
        Ok(reader.finish()?)
    }

    /// Checks that a member may be written into the bundle. The directories and the document that
    /// binds a round or an archive to the round before it come first.
    fn check_bundle_member(&mut self, member: &Member, entry: &Entry) -> anyhow::Result<()> {
        let may_be_round = !self.begun && matches!(member, Member::PreImages(_));
        if may_be_round && (entry.kind == Kind::Dir || member.is_delta()) {
            return Ok(());
        }
        match (self.is_round, member) {
            (true, Member::PreImages(_)) => Ok(()),
            (true, _) => anyhow::bail!("{member}: a round of a migration has only memory"),
            (false, _) => staging::check_is_free(self.bundle, member),
        }
    }

    /// Checks the document that binds a round or an archive to the round before it. `name` is its
    /// member.
    fn bind(&mut self, member: &Member, delta: &Delta) -> anyhow::Result<()> {
        let name = member.to_string();
        if !rounds::is_round_delta(member, delta) || self.begun {
            return self.rounds.check_final(&name, Some(delta));
        }
        let output = &self.args.output;
        if output.rootfs.is_some() || output.shm.is_some() || !output.volume.is_empty() {
            let e = anyhow::anyhow!("{name}: a round of a migration has only memory");
            return Err(Hint::on(e, "leave out --rootfs, --volume and --shm"));
        }
        self.is_round = true;
        self.rounds.check_round(&name, delta)
    }

    /// Unpacks the archives of `--base` into directories `parent`.
    fn bases(&mut self) -> anyhow::Result<()> {
        let mut bases = std::mem::take(&mut self.bases);
        let session = self.session;
        let unpacked = bases.unpack(
            &mut |path, entry, mut content| {
                let member = Member::Images(path.clone());
                let mut dirs: Vec<_> =
                    std::iter::successors(member.path().parent(), TarPath::parent).collect();
                while let Some(dir) = dirs.pop() {
                    self.private_dir(dir)?;
                }
                self.create(&Entry { path: member.path(), ..entry.clone() }, &mut content)
            },
            session,
        );
        self.bases = bases;
        session.stage("unpacking", self.size);
        unpacked
    }

    /// Prepares to read the images that `delta` describes, before the first of them is read.
    fn begin_images(&mut self, delta: &Delta) -> anyhow::Result<()> {
        Bases::check_number(if self.bases.is_empty() { 0 } else { 1 }, Some(delta))?;
        if delta.is_xor() {
            self.decoding = Some(Decoding::new(&mut self.bases, delta, self.session)?);
            self.session.stage("unpacking", self.size);
        } else if !self.bases.is_empty() {
            self.bases()?;
        }
        self.bases.check(Some(delta))
    }

    /// Writes a memory image as it was dumped, if the archive stores pages as XOR. Returns `false` if
    /// the member was not read.
    fn decoded(&mut self, member: &Member, entry: &Entry, reader: &mut Members<'_>) -> anyhow::Result<bool> {
        let Member::Images(path) = member else { return Ok(false) };
        let Some(mut decoding) = self.decoding.take() else {
            return match pages_number(path.as_bytes()) {
                Some(_) => anyhow::bail!("{member}: {} does not precede it", Delta::member()),
                None => Ok(false),
            };
        };
        let bound = reader.bound();
        let mut content = MemberContent::new(&entry.kind, reader.content(), bound);
        let decoded = decoding.image(path, &entry.kind, &mut content, &mut |path, size, mut content| {
            let member = Member::Images(path.clone());
            self.session.detail(&member);
            self.private_parent(&member)?;
            let kind = Kind::File { size, map: None };
            self.create(&Entry { path: member.path(), kind, ..entry.clone() }, &mut content)
        });
        self.decoding = Some(decoding);
        decoded
    }

    /// Checks that all memory pages are there that the images leave out. It is called before the
    /// first member is written outside the bundle, which cannot be undone.
    fn check_pages(&self) -> anyhow::Result<()> {
        check_previous(&self.contents, self.args, self.bundle, &self.rounds)?;
        self.decoding.as_ref().map_or(Ok(()), Decoding::check)?;
        self.bases.check(self.contents.delta.as_ref())
    }

    fn members(&mut self, mut reader: Members<'_>) -> anyhow::Result<()> {
        while let Some((member, entry)) = reader.next()? {
            let bound = reader.bound();
            let is_dir = entry.kind == Kind::Dir;
            let destination = destination(&member, self.args)?;
            if matches!(destination, MemberDestination::Rootfs | MemberDestination::Directory(_)) {
                self.check_pages()?;
            }
            match destination {
                MemberDestination::Skipped => {
                    self.session.note(format_args!("{member}: skipped, as requested"));
                }
                MemberDestination::Rootfs => {
                    self.trees.apply_to_rootfs(&member, reader.content(), &bound)?;
                }
                MemberDestination::Directory(dir) => {
                    self.trees.extract(&member, dir, reader.content(), &bound)?;
                }
                MemberDestination::Bundle => {
                    self.check_bundle_member(&member, &entry)?;
                    self.check_parent(&member, &entry)?;
                    if let Member::Unknown(_) = member {
                        self.session
                            .note(format_args!("{member}: unknown member, kept as a file in the bundle"));
                    }
                    if member.is_delta() {
                        let (name, limit) = (member.to_string(), member.document_limit());
                        let bytes = cli::read_document(reader.content(), &name, limit)?;
                        self.bind(&member, &Delta::read(&bytes)?)?;
                        self.file(&member, entry, &bytes[..])?;
                    } else if !self.decoded(&member, &entry, &mut reader)? {
                        self.file(&member, entry, reader.content())?;
                    }
                }
            }
            self.contents.members.insert(member);
            self.begun |= !is_dir;
        }
        check_contents(&self.contents, self.args)?;
        self.check_pages()?;
        if !self.args.include.ignore_volumes {
            for volume in self.contents.missing_volumes() {
                self.session.warn(verify::missing_volume(volume));
            }
        }
        Ok(reader.finish()?)
    }

    /// Records a link to a pre-checkpoint, and rejects a directory `parent` next to `--base`.
    fn check_parent(&mut self, member: &Member, entry: &Entry) -> anyhow::Result<()> {
        self.contents.has_link |= matches!(entry.kind, Kind::Symlink { .. });
        let parent = TarPath::root().child(PARENT);
        match member {
            Member::Images(path) if path.starts_with(&parent) && !self.bases.is_empty() => {
                anyhow::bail!("{member}: the archive has the pages of its base, leave out --base")
            }
            _ => Ok(()),
        }
    }

    /// Writes a member into the bundle. A document is checked before it is written.
    fn file(&mut self, member: &Member, entry: Entry, mut content: impl Read) -> anyhow::Result<()> {
        self.session.detail(member);
        self.private_parent(member)?;
        if member.is_document() {
            let bytes = cli::read_document(content, &member.to_string(), member.document_limit())?;
            if *member == Delta::member() {
                let delta = Delta::read(&bytes)?;
                self.begin_images(&delta)?;
                self.contents.delta = Some(delta);
                // With the base, the images are complete.
                if !self.bases.is_empty() {
                    return Ok(());
                }
            }
            let config = verify::document(member, &bytes)?;
            if let Some(config) = config {
                self.contents.volumes = config.volumes()?;
                self.check_named_volumes()?;
            }
            return self.create(&entry, &mut &bytes[..]);
        }
        self.create(&entry, &mut content)
    }

    /// Checks that every volume in config.dump has a destination. Volumes come last in an archive:
    /// without this check, some would be extracted before one without a directory is found.
    fn check_named_volumes(&self) -> anyhow::Result<()> {
        self.contents
            .volumes
            .iter()
            .try_for_each(|v| destination(&Member::Volume(v.name.clone()), self.args).map(|_| ()))
    }

    fn create(&mut self, entry: &Entry, content: &mut impl Read) -> anyhow::Result<()> {
        let mode = match entry.kind {
            Kind::Dir => 0o700,
            // The images contain all memory and the environment of a process, so the archive's mode
            // is ignored.
            _ => 0o600,
        };
        let entry =
            Entry { meta: Meta { mode, mtime: entry.meta.mtime, ..Meta::default() }, ..entry.clone() };
        Ok(self.files.apply(&entry, content, &mut warnings(self.session))?)
    }

    /// Creates the member's directory with mode 0700 if the archive has no entry for it.
    fn private_parent(&mut self, member: &Member) -> anyhow::Result<()> {
        match member.path().parent() {
            Some(parent) if !self.contents.members.contains(&Member::of(&parent)) => self.private_dir(parent),
            _ => Ok(()),
        }
    }

    /// Creates a directory with mode 0700, unless this was called for it before.
    fn private_dir(&mut self, path: TarPath) -> anyhow::Result<()> {
        if path.is_root() || !self.parents.insert(path.clone()) {
            return Ok(());
        }
        let meta = Meta { mode: 0o700, ..Meta::default() };
        let entry = Entry { path, kind: Kind::Dir, meta };
        Ok(self.files.apply(&entry, &mut std::io::empty(), &mut warnings(self.session))?)
    }
}

/// Checks that the images of the pre-dump are there if the images need them. CRIU mistakes a
/// dangling link `parent` for a full dump and restores without an error (CRIU #1387).
fn check_previous(contents: &Contents, args: &Args, bundle: &Path, rounds: &Rounds) -> anyhow::Result<()> {
    if contents.has_link && contents.delta.is_none() && rounds.have_ids() {
        anyhow::bail!(
            "checkpoint/parent: these images need a pre-checkpoint, but not the rounds of a migration"
        );
    }
    let unpacked = contents.members.iter().any(|m| matches!(m, Member::PreImages(_)));
    let given = !args.include.previous.is_empty();
    if !contents.has_link || unpacked || given || bundle.join("pre-checkpoint").is_dir() {
        return Ok(());
    }
    let e = anyhow::anyhow!("checkpoint/parent: these images need the images of a pre-checkpoint");
    Err(Hint::on(e, "add --previous FILE, the archive of the pre-checkpoint"))
}

fn warnings(session: &Session) -> impl FnMut(Notice) {
    move |notice| session.warn(notice)
}
