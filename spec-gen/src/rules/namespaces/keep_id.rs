//! `--userns keep-id` and `nomap`: the mappings that rootless podman derives from the IDs of its
//! user.
//!
//! The mappings refer to the user namespace that podman and the runtime run in, where 0 is the
//! user, followed by its subordinate IDs. Therefore spec-gen reads the map of its own user
//! namespace.

use anyhow::{Context, bail};
use cli::Hint;

use crate::notation::user_namespace::UserNs;
use crate::runtime_spec::id_map::{IdMap, IdMaps};

/// Returns the mappings, and for `keep-id` the user that the process starts as. Returns `None` for
/// a mode without mappings of its own.
///
/// # Errors
/// Returns an error outside a user namespace.
pub fn maps(mode: &UserNs) -> anyhow::Result<Option<(IdMaps, Option<String>)>> {
    let own = |file: &str| {
        let path = format!("/proc/self/{file}");
        let text = std::fs::read_to_string(&path).with_context(|| path.clone())?;
        Available::parse(&text).with_context(|| format!("--userns {mode}"))
    };
    match mode {
        UserNs::Mode(_) => Ok(None),
        UserNs::NoMap => {
            let (uids, gids) = (own("uid_map")?, own("gid_map")?);
            let maps = IdMaps { uids: uids.without_user(), gids: gids.without_user() };
            if maps.uids.is_empty() || maps.gids.is_empty() {
                bail!("--userns nomap: there are no subordinate IDs");
            }
            Ok(Some((maps, None)))
        }
        UserNs::KeepId { uid, gid } => {
            let (uids, gids) = (own("uid_map")?, own("gid_map")?);
            let (uid, gid) = (uid.unwrap_or(uids.user), gid.unwrap_or(gids.user));
            let maps = IdMaps { uids: uids.with_user_as(uid), gids: gids.with_user_as(gid) };
            Ok(Some((maps, Some(format!("{uid}:{gid}")))))
        }
    }
}

/// The IDs of the namespace that spec-gen runs in.
#[derive(Debug, PartialEq, Eq)]
struct Available {
    /// The ID outside the namespace of ID 0.
    user: u32,
    /// Number of subordinate IDs that follow.
    others: u32,
}

impl Available {
    /// Reads the kernel's map: ID inside, ID outside, count.
    fn parse(text: &str) -> anyhow::Result<Available> {
        let number = |word: Option<&str>| word.and_then(|w| w.parse::<u32>().ok());
        let mut found = Available { user: 0, others: 0 };
        let mut all: u32 = 0;
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let row = (number(words.next()), number(words.next()), number(words.next()));
            let (Some(inside), Some(outside), Some(size)) = row else { continue };
            if inside == 0 {
                found.user = outside;
            }
            all = all.saturating_add(size);
        }
        if all == u32::MAX {
            return Err(Hint::on(
                anyhow::anyhow!("only inside a user namespace, as an ordinary user"),
                "podman unshare spec-gen ...",
            ));
        }
        found.others = all.saturating_sub(1);
        Ok(found)
    }

    /// Returns podman's mappings, in its order: the subordinate IDs below the user's ID, the user's
    /// ID, and the subordinate IDs above it.
    fn with_user_as(&self, id: u32) -> Vec<IdMap> {
        let mut maps = Vec::new();
        if id > 0 && self.others > 0 {
            maps.push(IdMap { container: 0, host: 1, size: id.min(self.others) });
        }
        maps.push(IdMap { container: id, host: 0, size: 1 });
        if self.others > id {
            maps.push(IdMap { container: id + 1, host: id + 1, size: self.others - id });
        }
        maps
    }

    fn without_user(&self) -> Vec<IdMap> {
        if self.others == 0 { Vec::new() } else { vec![IdMap { container: 0, host: 1, size: self.others }] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_keeps_its_id_between_the_subordinate_ids() {
        let own =
            Available::parse("         0       1000          1\n         1     100000      65536\n").unwrap();
        assert_eq!(own, Available { user: 1000, others: 65536 });
        let rows =
            |maps: Vec<IdMap>| maps.into_iter().map(|m| (m.container, m.host, m.size)).collect::<Vec<_>>();
        assert_eq!(rows(own.with_user_as(1000)), [(0, 1, 1000), (1000, 0, 1), (1001, 1001, 64536)]);
        assert_eq!(rows(own.with_user_as(0)), [(0, 0, 1), (1, 1, 65536)]);
        assert_eq!(rows(own.with_user_as(100_000)), [(0, 1, 65536), (100_000, 0, 1)]);
        assert_eq!(rows(own.without_user()), [(0, 1, 65536)]);
        let alone = Available::parse("0 1000 1\n").unwrap();
        assert_eq!(rows(alone.with_user_as(1000)), [(1000, 0, 1)]);
        assert!(Available::parse("0 0 4294967295\n").is_err());
    }
}
