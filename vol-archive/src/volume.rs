//! Which directory belongs to which member.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use anyhow::bail;
use checkpoint::Member;
use cli::destinations::{Destination, distinct};

use crate::args::Members;

/// A directory and the member that its tar is.
#[derive(Debug)]
pub struct Volume {
    pub member: Member,
    pub dir: PathBuf,
}

/// What the operands mean.
pub enum Operands {
    /// One directory, one plain tar.
    Plain(PathBuf),
    /// A member stream of these.
    Members(Vec<Volume>),
}

/// Reads the operands in the light of `--members`.
///
/// # Errors
/// A usage error when they do not fit, or a volume is given twice.
pub fn operands(operands: &[OsString], members: &Members) -> anyhow::Result<Operands> {
    if !members.members {
        return match operands {
            [dir] => Ok(Operands::Plain(dir.into())),
            [] => Err(cli::usage("no directory given")),
            _ => Err(cli::Hint::on(
                cli::usage("more than one directory"),
                "several volumes go into one member stream: --members NAME=DIR NAME=DIR",
            )),
        };
    }
    let mut volumes: Vec<Volume> = Vec::new();
    for operand in operands {
        let volume = volume(operand)?;
        if volumes.iter().any(|other| other.member == volume.member) {
            return Err(cli::usage(format!("{}: given twice", volume.member)));
        }
        volumes.push(volume);
    }
    volumes.extend(members.shm.iter().map(|dir| Volume { member: Member::DevShm, dir: dir.clone() }));
    if volumes.is_empty() {
        return Err(cli::usage("--members needs NAME=DIR or --shm DIR"));
    }
    Ok(Operands::Members(volumes))
}

fn volume(operand: &OsStr) -> anyhow::Result<Volume> {
    let bytes = operand.as_bytes();
    let shown = cli::name(operand);
    let Some(at) = bytes.iter().position(|&b| b == b'=') else {
        return Err(cli::usage(format!("{shown}: with --members, NAME=DIR is wanted")));
    };
    let (name, dir) = (&bytes[..at], &bytes[at + 1..]);
    let name = String::from_utf8_lossy(name).parse().map_err(|e| cli::usage(format!("{shown}: {e}")))?;
    if dir.is_empty() {
        return Err(cli::usage(format!("{shown}: no directory behind the '='")));
    }
    Ok(Volume { member: Member::Volume(name), dir: OsStr::from_bytes(dir).into() })
}

/// Fails when two members would be extracted into one directory.
///
/// # Errors
/// Returns a usage error that names both.
pub fn no_directory_twice(volumes: &[Volume]) -> anyhow::Result<()> {
    let destinations: Vec<_> = volumes
        .iter()
        .map(|volume| {
            let flag = match &volume.member {
                Member::Volume(name) => format!("{name}="),
                _ => "--shm ".into(),
            };
            Destination { flag, dir: &volume.dir, holds_others: false }
        })
        .collect();
    distinct(&destinations)
}

/// The directory for `member`, taken out of `volumes`.
///
/// # Errors
/// When it is a volume for which no directory was given: to lose it silently is the worst that could happen.
pub fn take(volumes: &mut Vec<Volume>, member: &Member) -> anyhow::Result<Option<Volume>> {
    if let Some(at) = volumes.iter().position(|volume| volume.member == *member) {
        return Ok(Some(volumes.swap_remove(at)));
    }
    match member {
        Member::Volume(name) => {
            let error = anyhow::anyhow!("{member}: no directory given for this volume");
            Err(cli::Hint::on(error, format!("add {name}=DIR")))
        }
        Member::DevShm => {
            let error = anyhow::anyhow!("{member}: no directory given for /dev/shm");
            Err(cli::Hint::on(error, "add --shm DIR"))
        }
        _ => Ok(None),
    }
}

/// Fails when a directory was given for which nothing came.
///
/// # Errors
/// Naming what did not come.
pub fn none_left(volumes: &[Volume]) -> anyhow::Result<()> {
    if volumes.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = volumes.iter().map(|volume| volume.member.to_string()).collect();
    bail!("{}: not in the stream", names.join(", "))
}
