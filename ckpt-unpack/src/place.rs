//! Where a member goes.

use std::path::Path;

use checkpoint::{Member, VolumeName};
use cli::Hint;
use cli::destinations::{Destination, distinct};

use crate::args::Args;

/// The decision for one member; the same for both readings of an archive.
#[derive(Debug, PartialEq, Eq)]
pub enum Place<'a> {
    /// Left out, as asked.
    Nowhere,
    /// A file in the bundle.
    Bundle,
    /// Applied to the root file system.
    Rootfs,
    /// Extracted into a directory.
    Tree(&'a Path),
}

/// Decides; fails for a volume that has no directory although others have one.
pub fn place<'a>(member: &Member, args: &'a Args) -> anyhow::Result<Place<'a>> {
    let (output, include) = (&args.output, &args.include);
    Ok(match member {
        Member::ConfigDump | Member::SpecDump if include.without_config => Place::Nowhere,
        Member::RootfsDiff | Member::DeletedFiles | Member::DeletedFiles0 => match &output.rootfs {
            _ if include.ignore_rootfs => Place::Nowhere,
            Some(_) => Place::Rootfs,
            None => Place::Bundle,
        },
        Member::Volume(_) if include.ignore_volumes => Place::Nowhere,
        Member::Volume(name) => match output.volume.iter().find(|(given, _)| given == name) {
            Some((_, dir)) => Place::Tree(dir),
            None if output.volume.is_empty() => Place::Bundle,
            None => return Err(no_directory(name)),
        },
        Member::DevShm => output.shm.as_deref().map_or(Place::Bundle, Place::Tree),
        _ => Place::Bundle,
    })
}

fn no_directory(name: &VolumeName) -> anyhow::Error {
    let e = anyhow::anyhow!("volumes/{name}.tar: no directory given for this volume");
    Hint::on(e, format!("add --volume {name}=DIR, or --ignore-volumes"))
}

/// Fails when a directory was given for a volume that is not among `there`, the volumes of the archive.
pub fn all_volumes_there(args: &Args, there: &[VolumeName]) -> anyhow::Result<()> {
    let Some((name, _)) = args.output.volume.iter().find(|(name, _)| !there.contains(name)) else {
        return Ok(());
    };
    let names: Vec<_> = there.iter().map(VolumeName::as_str).collect();
    let there = if names.is_empty() { "it has none".into() } else { format!("it has: {}", names.join(" ")) };
    anyhow::bail!("--volume {name}: the archive has no such volume, {there}")
}

/// Fails when two outputs would be written into one directory.
pub fn no_directory_twice(args: &Args, bundle: &Path) -> anyhow::Result<()> {
    let output = &args.output;
    // The usual place of a root file system is a directory of the bundle, and volumes may be there, too.
    let mut all = vec![Destination { flag: "--bundle ".into(), dir: bundle, holds_others: true }];
    let others = [("--rootfs ", &output.rootfs), ("--shm ", &output.shm)];
    let others = others.iter().filter_map(|(flag, dir)| Some(((*flag).to_owned(), dir.as_deref()?)));
    let volumes = output.volume.iter().map(|(name, dir)| (format!("--volume {name}="), dir.as_path()));
    all.extend(others.chain(volumes).map(|(flag, dir)| Destination { flag, dir, holds_others: false }));
    distinct(&all)
}

/// Fails when the same volume was given twice.
pub fn no_volume_twice(args: &Args) -> anyhow::Result<()> {
    let given = &args.output.volume;
    match given.iter().enumerate().find(|(at, (name, _))| given[..*at].iter().any(|(other, _)| other == name))
    {
        Some((_, (name, _))) => Err(cli::usage(format!("--volume {name}: given twice"))),
        None => Ok(()),
    }
}
