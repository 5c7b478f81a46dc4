//! Parses the operands: directories and the members that hold their tars.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::bail;
use checkpoint::Member;
use cli::args::{reject_given, rewritten};
use cli::destinations::{Destination, distinct};

use crate::args::Members;

/// A directory, and the member that holds its tar.
#[derive(Debug)]
pub struct Volume {
    pub member: Member,
    pub dir: PathBuf,
}

/// The meaning of the operands.
pub enum Operands {
    /// One directory, archived as a plain tar.
    Plain(PathBuf),
    /// Volumes, archived as a member stream.
    Members(Vec<Volume>),
}

/// Parses the operands, which are NAME=DIR with `--members`, and otherwise one directory.
///
/// # Errors
/// Returns a usage error if an operand is malformed, a volume is given twice, or a flag has no
/// effect.
pub fn operands(verb: &str, operands: &[OsString], members: &Members) -> anyhow::Result<Operands> {
    if !members.members {
        // clap ignores `requires` if --members conflicts with another given flag, such as --any-tar.
        reject_given(&[("--shm", members.shm.is_some())], "without --members")?;
        return match operands {
            [dir] if is_pair(dir) => Err(cli::Hint::on(
                cli::usage(format!("{}: expected a directory", cli::display_path(dir))),
                "NAME=DIR needs --members",
            )),
            [dir] => Ok(Operands::Plain(dir.into())),
            [] => Err(cli::Hint::on(cli::usage("no directory given"), format!("vol-archive {verb} DIR"))),
            _ => Err(cli::Hint::on(
                cli::usage("more than one directory"),
                "for several volumes, use a member stream: --members NAME=DIR NAME=DIR",
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
        return Err(cli::usage("--members: expected NAME=DIR or --shm DIR"));
    }
    Ok(Operands::Members(volumes))
}

/// Returns whether `operand` is NAME=DIR and not a directory with such a name.
fn is_pair(operand: &OsStr) -> bool {
    operand.as_bytes().contains(&b'=') && Path::new(operand).symlink_metadata().is_err()
}

/// Parses NAME=DIR.
fn volume(operand: &OsStr) -> anyhow::Result<Volume> {
    let bytes = operand.as_bytes();
    let shown = cli::display_path(operand);
    let Some(at) = bytes.iter().position(|&b| b == b'=') else {
        let write = operand.to_str().and_then(rewritten).map(|pair| format!(", write {pair}"));
        let write = write.unwrap_or_default();
        return Err(cli::usage(format!("{shown}: with --members, expected NAME=DIR{write}")));
    };
    let (name, dir) = (&bytes[..at], &bytes[at + 1..]);
    let name = String::from_utf8_lossy(name).parse().map_err(|e| {
        cli::usage(match operand.to_str().and_then(rewritten) {
            Some(pair) => format!("{shown}: expected NAME=DIR, write {pair}"),
            None => format!("{shown}: {e}"),
        })
    })?;
    if dir.is_empty() {
        return Err(cli::usage(format!("{shown}: expected a directory after '='")));
    }
    Ok(Volume { member: Member::Volume(name), dir: OsStr::from_bytes(dir).into() })
}

/// Checks that no two members would be extracted into the same directory.
///
/// # Errors
/// Returns a usage error that names two such members.
pub fn refuse_shared_directories(volumes: &[Volume]) -> anyhow::Result<()> {
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

/// Removes the volume of `member` from `volumes` and returns the volume. Returns `None` if the
/// member is not a volume.
///
/// # Errors
/// Returns an error if the member is a volume for which no directory was given, since its data
/// would be lost silently.
pub fn take_volume(volumes: &mut Vec<Volume>, member: &Member) -> anyhow::Result<Option<Volume>> {
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

/// Checks that the stream had every volume for which a directory was given.
///
/// # Errors
/// Returns an error that names the members that were missing.
pub fn refuse_missing_volumes(volumes: &[Volume]) -> anyhow::Result<()> {
    if volumes.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = volumes.iter().map(|volume| volume.member.to_string()).collect();
    bail!("{}: not in the stream", names.join(", "))
}
