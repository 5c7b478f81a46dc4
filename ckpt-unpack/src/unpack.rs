//! Unpacking: members to the bundle, the root file system and volumes, in one pass.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

use anyhow::Context;
use checkpoint::Member;
use cli::{Exit, Hint, Session};
use tartree::{Entry, ExtractOptions, Extractor, Kind, Meta, Notice, Root, TarPath, Zeros};

use crate::args::Args;
use crate::host;
use crate::place::{Place, all_volumes_there, no_directory_twice, no_volume_twice, place};
use crate::runtime;
use crate::source::{Members, Source};
use crate::staging::{self, Staging};
use crate::targets::Targets;
use crate::userns;
use crate::verify::{self, Contents};

pub fn run(args: &Args, bundle: &Path, session: &Session) -> anyhow::Result<Exit> {
    no_volume_twice(args)?;
    no_directory_twice(args, bundle)?;
    let runtime = runtime::wanted(args.host.runtime.as_deref())?;
    let mut source = Source::open(args)?;
    let name = source.name().to_owned();
    let mut targets = Targets::open(args, session)?;
    if source.can_rewind() {
        session.stage("checking", source.size());
        let contents = survey(&mut source, args, bundle).with_context(|| name.clone())?;
        let listed = [Member::DeletedFiles, Member::DeletedFiles0];
        targets.listed = listed.iter().any(|list| contents.members.contains(list));
    }
    let staging = Staging::new(bundle)?;
    let root = Root::open(staging.dir()).with_context(|| cli::display_path(staging.dir()))?;
    // Who unpacks owns the bundle: owners in an archive are those of another machine.
    let options = ExtractOptions { no_same_owner: true, zeros: Zeros::Holes, ..ExtractOptions::default() };
    let mut unpack = Unpack {
        args,
        bundle,
        files: Extractor::new(root, options),
        targets,
        contents: Contents { members: BTreeSet::new(), volumes: Vec::new() },
        parents: BTreeSet::new(),
        session,
    };
    if let Some(previous) = &args.include.previous {
        let mut source = Source::open_path(Some(previous), args)?;
        source
            .reader()
            .and_then(|reader| unpack.previous(reader))
            .with_context(|| cli::display_path(previous))?;
    }
    session.stage("unpacking", source.size());
    let unpacked = source
        .reader()
        .and_then(|reader| unpack.members(reader))
        .and_then(|()| unpack.targets.finish())
        .with_context(|| name.clone())
        .and_then(|()| unpack.files.finish(&mut warnings(session)).with_context(|| cli::display_path(bundle)))
        .and_then(|()| {
            args.output.mount_label.as_ref().map_or(Ok(()), |label| host::labelled_log(staging.dir(), label))
        })
        .and_then(|()| runtime::fit_images(&staging.dir().join("checkpoint"), runtime, session))
        .and_then(|()| userns::open_to_container(staging.dir(), bundle, session))
        // The bundle's name comes last: where it is, everything is.
        .and_then(|()| unpack.targets.sync(&args.output.durable))
        .and_then(|()| staging.commit(&args.output.durable));
    if unpacked.is_err() {
        unpack.targets.tell_state();
    }
    unpacked?;
    if args.output.print_stats {
        host::print_stats(bundle)?;
    }
    Ok(Exit::Done)
}

/// Reads the whole archive before anything is touched.
fn survey(source: &mut Source, args: &Args, bundle: &Path) -> anyhow::Result<Contents> {
    let mut member = |member: &Member| match place(member, args)? {
        Place::Bundle => staging::is_free(bundle, member),
        _ => Ok(()),
    };
    let contents = verify::scan(source, None, &mut member, &mut Err)?;
    contents_fit(&contents, args)?;
    Ok(contents)
}

/// Fails when the archive is not what the command line asks for.
fn contents_fit(contents: &Contents, args: &Args) -> anyhow::Result<()> {
    if let Some(missing) = contents.missing(args.include.without_config).into_iter().next() {
        anyhow::bail!(missing);
    }
    let volume = |member: &Member| match member {
        Member::Volume(name) => Some(name.clone()),
        _ => None,
    };
    all_volumes_there(args, &contents.members.iter().filter_map(volume).collect::<Vec<_>>())
}

struct Unpack<'a> {
    args: &'a Args,
    bundle: &'a Path,
    files: Extractor,
    targets: Targets<'a>,
    contents: Contents,
    /// Directories of members that were made already.
    parents: BTreeSet<TarPath>,
    session: &'a Session,
}

impl Unpack<'_> {
    /// Takes the images of a pre-dump from their own archive, and nothing else of it.
    fn previous(&mut self, mut reader: Members<'_>) -> anyhow::Result<()> {
        while let Some((member, entry)) = reader.next()? {
            if let Member::PreImages(_) = member {
                staging::is_free(self.bundle, &member)?;
                self.file(&member, entry, reader.content())?;
                self.contents.members.insert(member);
            } else {
                self.session.note(format_args!("{member}: of the pre-checkpoint, left out"));
            }
        }
        if self.contents.members.is_empty() {
            anyhow::bail!("not the archive of a pre-checkpoint, it has no pre-checkpoint/");
        }
        Ok(reader.finish()?)
    }

    /// Images since a pre-dump are worth nothing without it, and CRIU takes a link that leads nowhere for a full dump (CRIU #1387).
    fn has_its_previous(&self) -> anyhow::Result<()> {
        let parent = TarPath::root().child(b"checkpoint/parent");
        let there = self.contents.members.iter().any(|m| matches!(m, Member::PreImages(_)));
        if self.contents.members.contains(&Member::of(&parent))
            && !there
            && !self.bundle.join("pre-checkpoint").is_dir()
        {
            let e = anyhow::anyhow!("{parent}: the images need those of a pre-checkpoint");
            return Err(Hint::on(e, "add --previous FILE, the archive of the pre-checkpoint"));
        }
        Ok(())
    }

    fn members(&mut self, mut reader: Members<'_>) -> anyhow::Result<()> {
        while let Some((member, entry)) = reader.next()? {
            let bound = reader.bound();
            match place(&member, self.args)? {
                Place::Nowhere => self.session.note(format_args!("{member}: left out, as asked")),
                Place::Rootfs => self.targets.apply(&member, reader.content(), &bound)?,
                Place::Tree(dir) => self.targets.extract(&member, dir, reader.content(), &bound)?,
                Place::Bundle => {
                    staging::is_free(self.bundle, &member)?;
                    if let Member::Unknown(_) = member {
                        self.session.note(format_args!("{member}: not a known member, kept in the bundle"));
                    }
                    self.file(&member, entry, reader.content())?;
                }
            }
            self.contents.members.insert(member);
        }
        contents_fit(&self.contents, self.args)?;
        self.has_its_previous()?;
        if !self.args.include.ignore_volumes {
            for volume in self.contents.missing_volumes() {
                self.session
                    .warn(format_args!("volumes/{volume}.tar: not in the archive, config.dump announces it"));
            }
        }
        Ok(reader.finish()?)
    }

    /// Writes a member into the bundle. A document is checked on the way.
    fn file(&mut self, member: &Member, entry: Entry, mut content: impl Read) -> anyhow::Result<()> {
        self.session.detail(member);
        self.private_parent(member)?;
        if member.is_document() {
            let bytes = cli::read_document(content, &member.to_string(), member.document_limit())?;
            let config = verify::document(member, &bytes)?;
            if let Some(config) = config {
                self.contents.volumes = config.volumes()?;
                self.announced_have_directories()?;
            }
            return self.make(&entry, &mut &bytes[..]);
        }
        self.make(&entry, &mut content)
    }

    /// Volumes come last, and some may be unpacked before the one that has no directory: config.dump tells it earlier.
    fn announced_have_directories(&self) -> anyhow::Result<()> {
        self.contents
            .volumes
            .iter()
            .try_for_each(|v| place(&Member::Volume(v.name.clone()), self.args).map(|_| ()))
    }

    fn make(&mut self, entry: &Entry, content: &mut impl Read) -> anyhow::Result<()> {
        let mode = match entry.kind {
            Kind::Dir => 0o700,
            // All memory of a process, and its environment: nobody else's, whatever the archive says.
            _ => 0o600,
        };
        let entry =
            Entry { meta: Meta { mode, mtime: entry.meta.mtime, ..Meta::default() }, ..entry.clone() };
        Ok(self.files.apply(&entry, content, &mut warnings(self.session))?)
    }

    /// Makes the member's directory with mode 0700, where the archive does not name it.
    fn private_parent(&mut self, member: &Member) -> anyhow::Result<()> {
        let Some(parent) = member.path().parent().filter(|parent| !parent.is_root()) else { return Ok(()) };
        if self.parents.insert(parent.clone()) && !self.contents.members.contains(&Member::of(&parent)) {
            let meta = Meta { mode: 0o700, ..Meta::default() };
            let entry = Entry { path: parent, kind: Kind::Dir, meta };
            self.files.apply(&entry, &mut std::io::empty(), &mut warnings(self.session))?;
        }
        Ok(())
    }
}

fn warnings(session: &Session) -> impl FnMut(Notice) {
    move |notice| session.warn(notice)
}
