//! What must be in the archive: a producer that never ran leaves no trace in the pipe, so its member is missed here.

use std::collections::BTreeSet;

use checkpoint::Member;
use checkpoint::config_dump::NamedVolume;
use cli::{Hint, Session};

use crate::args::Include;

/// Fails when the root file system's diff or a named volume is not among the members.
pub fn all_there(
    written: &BTreeSet<Member>,
    volumes: &[NamedVolume],
    include: &Include,
    session: &Session,
) -> anyhow::Result<()> {
    let mut missing: Vec<(Member, String)> = Vec::new();
    // A pre-checkpoint is memory only: its container runs on, and goes on to write.
    if !include.ignore_rootfs && !include.pre_checkpoint {
        let hint = "put rootfs-diff create --members into the pipe, or use --ignore-rootfs";
        missing.push((Member::RootfsDiff, hint.into()));
    }
    if !include.ignore_volumes && !include.pre_checkpoint {
        missing.extend(volumes.iter().map(|volume| {
            let hint =
                format!("add {}=DIR to vol-archive create --members, or use --ignore-volumes", volume.name);
            (Member::Volume(volume.name.clone()), hint)
        }));
    }
    missing.retain(|(member, _)| !written.contains(member));
    let Some((last, hint)) = missing.pop() else { return Ok(()) };
    for (member, _) in missing {
        session.error(format_args!("{member}: missing, no member stream brings it"));
    }
    Err(Hint::on(anyhow::anyhow!("{last}: missing, no member stream brings it"), hint))
}
