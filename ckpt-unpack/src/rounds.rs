//! The rounds of a migration with pre-copy: pre-checkpoints that follow each other. Each round and
//! the final archive name the preceding round by its ID.
//!
//! The newest round is `pre-checkpoint/` in the bundle, the round before it
//! `pre-checkpoint/parent/`, and so on, which is where CRIU looks for their pages.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use checkpoint::Member;
use checkpoint::archive::ArchiveFile;
use checkpoint::delta::{Delta, ImagesId};
use cli::{Hint, usage};
use tartree::Kind;

use crate::archive_input;
use crate::args::Args;

/// The maximum number of rounds in a bundle. Each is one directory deeper than the round after it,
/// and a path has at most 4096 bytes.
pub const MAX_ROUNDS: usize = 256;

/// The images that precede those of the archive.
pub struct Rounds {
    /// The archives of `--previous`, the newest last.
    pub archives: Vec<ArchiveFile>,
    newest: Newest,
    /// Whether `--previous` is given.
    explicit: bool,
}

/// The newest images.
enum Newest {
    None,
    /// A pre-dump of CRIU, which nothing binds to the archive, or an archive that was not read yet.
    Unbound,
    /// A round, with its name for messages.
    Round(String, ImagesId),
}

impl Rounds {
    /// Opens the archives of `--previous`, or finds the rounds that the bundle holds, and checks
    /// that each round follows the one before it.
    ///
    /// # Errors
    /// Returns an error if an archive cannot be read, or if the rounds do not follow each other.
    pub fn open(args: &Args, bundle: &Path) -> anyhow::Result<Rounds> {
        let previous = &args.include.previous;
        let held = |path: &PathBuf| path.join("pre-checkpoint").is_dir();
        let mut rounds =
            Rounds { archives: Vec::new(), newest: Newest::None, explicit: !previous.is_empty() };
        if let Some(dir) = previous.iter().find(|path| held(path)) {
            let is_bundle = fs::canonicalize(dir).ok() == fs::canonicalize(bundle).ok();
            if previous.len() > 1 || !is_bundle {
                let name = cli::display_path(dir);
                let e =
                    usage(format!("--previous {name}: a bundle that holds rounds must be that of --bundle"));
                return Err(Hint::on(e, format!("--bundle {name}, with only one --previous")));
            }
        } else {
            let open =
                |path: &PathBuf| Ok::<_, anyhow::Error>(archive_input::open_found(Some(path), args)?.0);
            rounds.archives = previous.iter().map(open).collect::<Result<_, _>>()?;
        }
        rounds.newest = if rounds.archives.is_empty() { in_bundle(bundle)? } else { rounds.of_archives()? };
        Ok(rounds)
    }

    /// Checks the archives of `--previous`.
    fn of_archives(&mut self) -> anyhow::Result<Newest> {
        let is_single = self.archives.len() == 1;
        let mut newest = Newest::None;
        for archive in &mut self.archives {
            let name = archive.name().to_owned();
            if !archive.can_rewind() && !is_single {
                bail!(
                    "{name}: expected a file, because several rounds are compared before they are unpacked"
                );
            }
            let delta = match archive.can_rewind() {
                true => first_delta(archive).with_context(|| name.clone())?.map(|(_, delta)| delta),
                false => None,
            };
            newest = match delta {
                Some(Delta { id: Some(id), base, .. }) => {
                    newest.followed_by(&name, base.map(|base| base.id))?;
                    Newest::Round(name, id)
                }
                _ if is_single => Newest::Unbound,
                _ => bail!("{name}: not a round of ckpt-pack --precopy"),
            };
        }
        Ok(newest)
    }

    /// Checks the first document of the final archive `name`, whose pages may be in the last round.
    ///
    /// # Errors
    /// Returns an error if the archive was not made after the newest round.
    pub fn check_final(&self, name: &str, delta: Option<&Delta>) -> anyhow::Result<()> {
        let base = delta.and_then(|delta| delta.base.as_ref()).map(|base| &base.id);
        match (base.filter(|id| is_round(id)), &self.newest) {
            (Some(id), Newest::Round(_, newest)) if id == newest => Ok(()),
            (Some(_), Newest::Round(round, _)) => {
                let e = anyhow::anyhow!(
                    "{name}: does not follow {round}: of another migration, or made after another round"
                );
                Err(Hint::on(e, "give the rounds in the order in which they were made, and all of them"))
            }
            (Some(_), _) => {
                let e = anyhow::anyhow!("{name}: these images need the rounds of the migration");
                Err(Hint::on(e, "add --previous FILE for each round, in their order"))
            }
            (None, Newest::Round(round, _)) if self.explicit => {
                let e = anyhow::anyhow!("{name}: was not made after the round {round}");
                Err(Hint::on(e, "leave out --previous"))
            }
            (None, _) => Ok(()),
        }
    }

    /// Returns whether the newest images are a round, which the final archive names.
    pub fn have_ids(&self) -> bool {
        matches!(self.newest, Newest::Round(..))
    }

    /// Checks that the round `name` follows the newest round of the bundle.
    ///
    /// # Errors
    /// Returns an error if it does not, or if `--previous` is given.
    pub fn check_round(&self, name: &str, delta: &Delta) -> anyhow::Result<()> {
        if self.explicit {
            let e = usage("--previous: has no effect on a round, which is added to the bundle");
            return Err(Hint::on(e, "unpack the rounds into the same bundle, one after another"));
        }
        self.newest.followed_by(name, delta.base.as_ref().map(|base| base.id.clone()))
    }
}

impl Newest {
    /// Checks that the round `name`, made after the round `base`, follows.
    fn followed_by(&self, name: &str, base: Option<ImagesId>) -> anyhow::Result<()> {
        match (self, base) {
            (Newest::None, None) => Ok(()),
            (Newest::Round(_, id), Some(base)) if *id == base => Ok(()),
            (Newest::None, Some(_)) => {
                bail!("{name}: not the first round of its migration, and the round before it is missing")
            }
            (Newest::Round(before, _), Some(_)) => {
                bail!("{name}: does not follow {before}: of another migration, or not the next round")
            }
            (Newest::Round(before, _), None) => {
                bail!("{name}: the first round of a migration, cannot follow {before}")
            }
            (Newest::Unbound, _) => bail!("{name}: cannot follow the pre-dump that the bundle holds"),
        }
    }
}

/// Returns the document at the start of an archive with its member, if there is one.
pub fn first_delta(archive: &mut ArchiveFile) -> anyhow::Result<Option<(Member, Delta)>> {
    let mut reader = archive.survey()?;
    while let Some((member, entry)) = reader.next()? {
        if member.is_delta() {
            let delta = read_delta(&member, reader.content())?;
            return Ok(Some((member, delta)));
        }
        if entry.kind != Kind::Dir {
            break;
        }
    }
    Ok(None)
}

/// Returns whether the member with this document belongs to a round.
pub fn is_round_delta(member: &Member, delta: &Delta) -> bool {
    matches!(member, Member::PreImages(_)) && delta.id.is_some()
}

/// Returns whether an ID is that of a round. Other IDs are digests.
fn is_round(id: &ImagesId) -> bool {
    id.as_str().starts_with("random:")
}

fn read_delta(member: &Member, content: impl Read) -> anyhow::Result<Delta> {
    let bytes = cli::read_document(content, &member.to_string(), member.document_limit())?;
    Ok(Delta::read(&bytes)?)
}

/// Returns the newest round in a bundle, after checking that all rounds before it are there.
fn in_bundle(bundle: &Path) -> anyhow::Result<Newest> {
    let mut dir = bundle.join("pre-checkpoint");
    if !dir.is_dir() {
        return Ok(Newest::None);
    }
    let mut newest = Newest::Unbound;
    let mut expected: Option<ImagesId> = None;
    for _ in 0..MAX_ROUNDS {
        let path = dir.join("delta.json");
        let name = cli::display_path(&path);
        let delta = match File::open(&path) {
            Ok(file) => {
                let limit = checkpoint::delta::LIMIT;
                Delta::read(&cli::read_document(file, &name, limit)?).with_context(|| name.clone())?
            }
            Err(e) if e.kind() == ErrorKind::NotFound && expected.is_none() => return Ok(Newest::Unbound),
            Err(e) => return Err(e).with_context(|| name),
        };
        let Some(id) = delta.id else { bail!("{name}: has no ID of a round") };
        if expected.as_ref().is_some_and(|expected| *expected != id) {
            bail!("{name}: not the round before that of its directory");
        }
        if expected.is_none() {
            newest = Newest::Round(cli::display_path(bundle.join("pre-checkpoint")), id);
        }
        let Some(base) = delta.base else { return Ok(newest) };
        expected = Some(base.id);
        dir.push("parent");
    }
    bail!("{}: more than {MAX_ROUNDS} rounds", cli::display_path(bundle))
}
