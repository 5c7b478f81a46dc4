//! Decides the destination of each member.

use std::path::Path;

use checkpoint::{Member, VolumeName};
use cli::Hint;
use cli::destinations::{Destination, distinct};

use crate::args::Args;

/// The destination of a member. An archive may be read twice; both passes make the same decision.
#[derive(Debug, PartialEq, Eq)]
pub enum MemberDestination<'a> {
    /// A flag excludes the member.
    Skipped,
    /// The member becomes a file in the bundle.
    Bundle,
    /// The member is applied to the root file system.
    Rootfs,
    /// The member is a tar that is extracted into this directory.
    Directory(&'a Path),
}

/// Returns the destination of `member`.
///
/// # Errors
/// Returns an error if `--volume` is given for other volumes but not for this volume.
pub fn destination<'a>(member: &Member, args: &'a Args) -> anyhow::Result<MemberDestination<'a>> {
    let (output, include) = (&args.output, &args.include);
    Ok(match member {
        Member::ConfigDump | Member::SpecDump if include.without_config => MemberDestination::Skipped,
        Member::RootfsDiff | Member::DeletedFiles | Member::DeletedFiles0 => match &output.rootfs {
            _ if include.ignore_rootfs => MemberDestination::Skipped,
            Some(_) => MemberDestination::Rootfs,
            None => MemberDestination::Bundle,
        },
        Member::Volume(_) if include.ignore_volumes => MemberDestination::Skipped,
        Member::Volume(name) => match output.volume.iter().find(|(given, _)| given == name) {
            Some((_, dir)) => MemberDestination::Directory(dir),
            None if output.volume.is_empty() => MemberDestination::Bundle,
            None => return Err(no_directory(name)),
        },
        Member::DevShm => match output.shm.as_deref() {
            Some(dir) => MemberDestination::Directory(dir),
            None => MemberDestination::Bundle,
        },
        _ => MemberDestination::Bundle,
    })
}

fn no_directory(name: &VolumeName) -> anyhow::Error {
    let e = anyhow::anyhow!("volumes/{name}.tar: no directory given for this volume");
    Hint::on(e, format!("add --volume {name}=DIR, or --ignore-volumes"))
}

/// Checks that every volume of `--volume` is among `volumes`, the volumes of the archive.
///
/// # Errors
/// Returns an error that names the first missing volume.
pub fn check_volumes_exist(args: &Args, volumes: &[VolumeName]) -> anyhow::Result<()> {
    let Some((name, _)) = args.output.volume.iter().find(|(name, _)| !volumes.contains(name)) else {
        return Ok(());
    };
    let names: Vec<_> = volumes.iter().map(VolumeName::as_str).collect();
    let found = if names.is_empty() { "it has none".into() } else { format!("it has: {}", names.join(" ")) };
    anyhow::bail!("--volume {name}: the archive has no such volume, {found}")
}

/// Checks that no two outputs are the same directory.
///
/// # Errors
/// Returns a usage error that names two flags.
pub fn check_directories_differ(args: &Args, bundle: &Path) -> anyhow::Result<()> {
    let output = &args.output;
    // A root file system is usually a directory of the bundle, and volumes may be in the bundle
    // too.
    let mut all = vec![Destination { flag: "--bundle ".into(), dir: bundle, holds_others: true }];
    let others = [("--rootfs ", &output.rootfs), ("--layer ", &output.layer), ("--shm ", &output.shm)];
    let others = others.iter().filter_map(|(flag, dir)| Some(((*flag).to_owned(), dir.as_deref()?)));
    let volumes = output.volume.iter().map(|(name, dir)| (format!("--volume {name}="), dir.as_path()));
    all.extend(others.chain(volumes).map(|(flag, dir)| Destination { flag, dir, holds_others: false }));
    distinct(&all)
}

/// Checks that no volume is given twice.
///
/// # Errors
/// Returns a usage error that names the volume.
pub fn check_volumes_differ(args: &Args) -> anyhow::Result<()> {
    let given = &args.output.volume;
    match given.iter().enumerate().find(|(at, (name, _))| given[..*at].iter().any(|(other, _)| other == name))
    {
        Some((_, (name, _))) => Err(cli::usage(format!("--volume {name}: given twice"))),
        None => Ok(()),
    }
}
