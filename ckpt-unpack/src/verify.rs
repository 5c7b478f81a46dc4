//! `--verify`: is the whole archive sound? Also what runs before an archive that can be read twice touches anything.

use std::collections::BTreeSet;
use std::io::BufReader;

use anyhow::Context;
use checkpoint::compress::{Bound, Decoder};
use checkpoint::config_dump::{ConfigDump, NamedVolume};
use checkpoint::spec_dump::SpecDump;
use checkpoint::{Member, VolumeName, deleted_files};
use cli::{Exit, Session};
use tartree::{Expanded, Limits, Reader, SKIPPING_BUFFER, Skip, TarPath};

use crate::args::Args;
use crate::source::Source;
use crate::verify_images::ImageCheck;

pub fn run(args: &Args, session: &Session) -> anyhow::Result<Exit> {
    let mut source = Source::open(args)?;
    let name = source.name().to_owned();
    session.stage("verifying", source.size());
    let mut problems = 0u64;
    let mut problem = |e: anyhow::Error| {
        problems += 1;
        cli::report(session, &crate::explain(e).context(name.clone()));
        Ok(())
    };
    let mut images = ImageCheck::default();
    match scan(&mut source, Some(&mut images), &mut |_| Ok(()), &mut problem) {
        Ok(contents) => {
            for what in images.problems() {
                problem(anyhow::anyhow!(what))?;
            }
            for what in contents.missing(false) {
                problem(anyhow::anyhow!(what))?;
            }
            for volume in contents.missing_volumes() {
                session.warn(format_args!(
                    "{name}: volumes/{volume}.tar: not in the archive, config.dump announces it"
                ));
            }
        }
        // What comes after this cannot be read.
        Err(e) => problem(e)?,
    }
    Ok(if problems == 0 { Exit::Done } else { Exit::Failed })
}

/// What an archive was found to hold.
pub struct Contents {
    pub members: BTreeSet<Member>,
    pub volumes: Vec<NamedVolume>,
}

impl Contents {
    /// What no engine restores without.
    pub fn missing(&self, without_config: bool) -> Vec<String> {
        let file = |name: &str| Member::of(&TarPath::root().child(name.as_bytes()));
        let dumped = self.members.iter().any(|m| matches!(m, Member::Images(_)));
        let is_pre = !dumped && self.members.iter().any(|m| matches!(m, Member::PreImages(_)));
        // A pre-dump is never restored by itself, so that not every engine gives it an inventory.
        let mut wanted = if is_pre { Vec::new() } else { vec!["checkpoint/inventory.img"] };
        if !without_config {
            wanted.extend(["config.dump", "spec.dump"]);
        }
        wanted.retain(|name| !self.members.contains(&file(name)));
        wanted.iter().map(|name| format!("{name}: not in the archive")).collect()
    }

    /// Volumes that config.dump announces and the archive does not hold, as after `--ignore-volumes`.
    pub fn missing_volumes(&self) -> Vec<&VolumeName> {
        let names = self.volumes.iter().map(|v| &v.name);
        names.filter(|name| !self.members.contains(&Member::Volume((*name).clone()))).collect()
    }
}

/// Goes through the whole archive. Every member is shown to `member`, whose error ends the scan. A problem in one member is
/// given to `problem`, which may end it too; one that makes the rest unreadable is the result. `images` has CRIU's
/// read as well, and with it every byte; without it, content that needs no reading is passed over where the input can be sought.
pub fn scan(
    source: &mut Source,
    mut images: Option<&mut ImageCheck>,
    member: &mut dyn FnMut(&Member) -> anyhow::Result<()>,
    problem: &mut dyn FnMut(anyhow::Error) -> anyhow::Result<()>,
) -> anyhow::Result<Contents> {
    let mut volumes = Vec::new();
    let limits = source.limits().clone();
    let mut reader = if images.is_some() { source.reader()? } else { source.survey()? };
    loop {
        let (found, entry) = match reader.next() {
            Ok(None) => break,
            Ok(Some(next)) => next,
            // The member must not be there; what comes after it can be read.
            Err(checkpoint::Error::Member { member, what }) if member != "archive" => {
                problem(checkpoint::Error::Member { member, what }.into())?;
                continue;
            }
            Err(e) => return Err(e.into()),
        };
        member(&found)?;
        if let Some(images) = images.as_deref_mut() {
            let mut content = Expanded::new(&entry.kind, reader.content());
            if let Some(taken) = images.take(&found, entry.kind.len(), &mut content) {
                taken.or_else(&mut *problem)?;
                continue;
            }
        }
        let bound = reader.bound();
        match check(&found, &mut reader.content(), &limits, &bound)
            .and_then(|config| Ok(config.map(|c| c.volumes()).transpose()?))
        {
            Ok(named) => volumes.extend(named.into_iter().flatten()),
            Err(e) => problem(e)?,
        }
    }
    let members = reader.seen().clone();
    reader.finish()?;
    Ok(Contents { members, volumes })
}

/// Reads the content of one member as far as it must be of some form. Gives config.dump when it is that.
fn check(
    member: &Member,
    content: &mut impl Skip,
    limits: &Limits,
    bound: &Bound,
) -> anyhow::Result<Option<ConfigDump>> {
    match member {
        Member::RootfsDiff | Member::Volume(_) | Member::DevShm => {
            nested(content, limits, bound).with_context(|| member.to_string())?;
            Ok(None)
        }
        _ if member.is_document() => {
            document(member, &cli::read_document(content, &member.to_string(), member.document_limit())?)
        }
        _ => Ok(None),
    }
}

/// Checks a document. Gives config.dump when it is that.
pub fn document(member: &Member, bytes: &[u8]) -> anyhow::Result<Option<ConfigDump>> {
    match member {
        Member::ConfigDump => return Ok(Some(ConfigDump::read(bytes)?)),
        Member::SpecDump => {
            SpecDump::read(bytes)?;
        }
        Member::NetworkStatus => {
            strict_json::document(bytes).with_context(|| member.to_string())?;
        }
        Member::DeletedFiles => {
            deleted_files::read(bytes)?;
        }
        Member::DeletedFiles0 => {
            deleted_files::read0(bytes)?;
        }
        _ => {}
    }
    Ok(None)
}

fn nested(content: &mut impl Skip, limits: &Limits, bound: &Bound) -> anyhow::Result<()> {
    let decoder = Decoder::bounded(BufReader::with_capacity(SKIPPING_BUFFER, content), bound.clone())?;
    let mut reader = Reader::skipping(BufReader::with_capacity(SKIPPING_BUFFER, decoder), limits.clone());
    while reader.next()?.is_some() {}
    Ok(reader.drain()?)
}
