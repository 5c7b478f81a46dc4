//! Checks that the archive is complete. A producer that never ran leaves no trace in the pipe; only
//! its member is missing.

use std::collections::BTreeSet;

use checkpoint::config_dump::NamedVolume;
use checkpoint::{Member, VolumeName};
use cli::{Hint, Session, usage};

use crate::args::Include;

/// Rejects `--expect` of a member that another flag leaves out.
pub fn check_flags(include: &Include) -> anyhow::Result<()> {
    for member in &include.expect {
        let flag = match member {
            Member::RootfsDiff if include.ignore_rootfs => "--ignore-rootfs",
            Member::Volume(_) if include.ignore_volumes => "--ignore-volumes",
            _ => continue,
        };
        return Err(usage(format!("--expect: {member} conflicts with {flag}")));
    }
    Ok(())
}

/// Checks that the members of `--expect`, the root file system's diff and all named volumes are
/// among `written`.
///
/// # Errors
/// Returns an error that names the last missing member, and reports the other missing members.
pub fn check_complete(
    written: &BTreeSet<Member>,
    volumes: &[NamedVolume],
    include: &Include,
    unread_pipe: bool,
    session: &Session,
) -> anyhow::Result<()> {
    let mut needed: BTreeSet<Member> = include.expect.iter().cloned().collect();
    // A pre-checkpoint has only memory, because its container keeps running and writing.
    if !include.ignore_rootfs && !include.pre_checkpoint {
        needed.insert(Member::RootfsDiff);
    }
    if !include.ignore_volumes && !include.pre_checkpoint {
        needed.extend(volumes.iter().map(|volume| Member::Volume(volume.name.clone())));
    }
    check_written(&needed, written, include, unread_pipe, session)
}

/// Checks that the members of `--expect` are among `given`, the members of streams and `--member`.
///
/// # Errors
/// Returns the errors of [`check_complete`].
pub fn check_given(given: &BTreeSet<Member>, include: &Include, session: &Session) -> anyhow::Result<()> {
    check_written(&include.expect.iter().cloned().collect(), given, include, false, session)
}

/// Checks that the volumes of `--volume` are among `written`, the members of the new archive.
///
/// # Errors
/// Returns the errors of [`check_complete`].
pub fn check_volumes<'v>(
    volumes: impl Iterator<Item = &'v VolumeName>,
    written: &BTreeSet<Member>,
    include: &Include,
    session: &Session,
) -> anyhow::Result<()> {
    if include.ignore_volumes {
        return Ok(());
    }
    let needed = volumes.map(|volume| Member::Volume(volume.clone())).collect();
    check_written(&needed, written, include, false, session)
}

fn check_written(
    needed: &BTreeSet<Member>,
    written: &BTreeSet<Member>,
    include: &Include,
    unread_pipe: bool,
    session: &Session,
) -> anyhow::Result<()> {
    let mut missing: Vec<&Member> = needed.difference(written).collect();
    let Some(last) = missing.pop() else { return Ok(()) };
    let why = |member: &Member| format!("{member}: missing, no member stream contains it");
    for member in missing {
        session.error(why(member));
    }
    let hint = hint(last, include);
    let hint = match unread_pipe {
        true => format!("add '-' to read standard input, which is a pipe; otherwise {hint}"),
        false => hint,
    };
    Err(Hint::on(anyhow::Error::msg(why(last)), hint))
}

fn hint(member: &Member, include: &Include) -> String {
    let producer = match member {
        Member::Volume(name) => format!("add {name}=DIR to vol-archive create --members"),
        Member::DevShm => "add --shm DIR to vol-archive create --members".into(),
        Member::NetworkStatus => "put netstatus save --members into the pipe".into(),
        _ => "put rootfs-diff create --members into the pipe".into(),
    };
    match member {
        _ if include.expect.contains(member) => {
            format!("see the error of its producer above, or {producer}")
        }
        Member::Volume(_) => format!("{producer}, or use --ignore-volumes"),
        _ => format!("{producer}, or use --ignore-rootfs"),
    }
}
