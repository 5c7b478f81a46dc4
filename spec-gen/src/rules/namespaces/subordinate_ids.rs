//! `--subuidname` and `--subgidname`: a user namespace of the IDs that /etc/subuid and /etc/subgid
//! assign to a user.

use std::path::Path;

use anyhow::{Context, bail};

use crate::input::name_service::{self, Database};
use crate::input::passwd::MAX_FILE;
use crate::input::rootfs::read_host;
use crate::runtime_spec::id_map::{IdMap, IdMaps};

/// Maximum number of ranges per user: the kernel accepts no more lines in a map.
const MAX_RANGES: usize = 340;

/// Returns the mappings of the two names. As in podman, a single name is looked up in both files.
///
/// podman 5.4 looks up the user in the groups' file and the group in the users' file.
///
/// # Errors
/// Returns an error if a file assigns no IDs to the name.
pub fn maps(user: Option<&str>, group: Option<&str>) -> anyhow::Result<Option<(IdMaps, Vec<String>)>> {
    let (Some(user), Some(group)) = (user.or(group), group.or(user)) else { return Ok(None) };
    let mut ignored = Vec::new();
    let mut of = |file: &str, name: &str| -> anyhow::Result<Vec<IdMap>> {
        let path = Path::new(file);
        let text = read_host(path, MAX_FILE)?.unwrap_or_default();
        let found = parse(&text, name, user_id(name), path, &mut ignored);
        mapped(found).with_context(|| format!("{file}: {name}"))
    };
    let maps = IdMaps { uids: of("/etc/subuid", user)?, gids: of("/etc/subgid", group)? };
    Ok(Some((maps, ignored)))
}

/// Returns the ID of a user, which the files may use instead of the name (subuid(5)).
fn user_id(name: &str) -> Option<String> {
    name_service::find(Database::Passwd, name).ok().flatten().map(|fields| fields[2].clone())
}

/// Returns the ranges of one user: start and length. Reports an invalid line if it names the user.
fn parse(
    text: &[u8],
    name: &str,
    id: Option<String>,
    path: &Path,
    ignored: &mut Vec<String>,
) -> Vec<(u32, u32)> {
    let mut ranges = Vec::new();
    for (i, line) in text.split(|b| *b == b'\n').enumerate() {
        let line = String::from_utf8_lossy(line);
        let mut fields = line.trim().split(':');
        let owner = fields.next().unwrap_or_default();
        if owner != name && id.as_deref() != Some(owner) {
            continue;
        }
        let number = |field: Option<&str>| {
            let digits = field.filter(|f| !f.is_empty() && f.bytes().all(|b| b.is_ascii_digit()))?;
            digits.parse::<u32>().ok()
        };
        match (number(fields.next()), number(fields.next()), fields.next()) {
            // The mapping checks where the range ends.
            (Some(start), Some(length), None) if length > 0 => ranges.push((start, length)),
            _ => ignored.push(format!(
                "{}:{}: not NAME:START:COUNT, line ignored",
                cli::display_path(path),
                i + 1
            )),
        }
    }
    ranges
}

/// Maps the ranges one after another into the container, the lowest first.
fn mapped(mut ranges: Vec<(u32, u32)>) -> anyhow::Result<Vec<IdMap>> {
    if ranges.is_empty() {
        bail!("no subordinate IDs are assigned to this name");
    }
    if ranges.len() > MAX_RANGES {
        bail!("more than {MAX_RANGES} ranges of subordinate IDs");
    }
    ranges.sort_unstable();
    if ranges.windows(2).any(|two| u64::from(two[0].0) + u64::from(two[0].1) > u64::from(two[1].0)) {
        bail!("two ranges of subordinate IDs overlap");
    }
    let mut container: u32 = 0;
    let map = |(host, size): (u32, u32)| {
        let fields = [container, host, size].map(|n| n.to_string());
        let map = IdMap::from_fields(fields.iter().map(String::as_str));
        container = container.saturating_add(size);
        map.with_context(|| format!("{host}:{size}: IDs end at 4294967294"))
    };
    ranges.into_iter().map(map).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    type Rows = Vec<(u32, u32, u32)>;

    fn maps_of(text: &[u8], name: &str, id: Option<&str>) -> (anyhow::Result<Rows>, usize) {
        let mut ignored = Vec::new();
        let ranges = parse(text, name, id.map(str::to_owned), Path::new("subuid"), &mut ignored);
        let maps = mapped(ranges).map(|m| m.into_iter().map(|m| (m.container, m.host, m.size)).collect());
        (maps, ignored.len())
    }

    #[test]
    fn ranges_are_mapped_consecutively_as_in_podman() {
        let text = b"sub:200000:1000\n#c\nsub:100000:500\nbad\nsub:x:5\nother:1:1\n7:10:5\n";
        let (maps, ignored) = maps_of(text, "sub", Some("7"));
        assert_eq!(maps.unwrap(), [(0, 10, 5), (5, 100_000, 500), (505, 200_000, 1000)]);
        assert_eq!(ignored, 1);
        assert_eq!(maps_of(text, "other", None).0.unwrap(), [(0, 1, 1)]);
    }

    #[test]
    fn invalid_or_overlapping_ranges_are_errors() {
        for text in [
            "sub:1",
            "sub:1:0",
            "sub:-1:5",
            "sub:+1:5",
            "sub:1:5:6",
            "sub:4294967290:10",
            "sub:4294967295:1",
            "sub:1:4294967295",
            "sub:1:99999999999",
            "sub:1:10\nsub:5:10",
            "sub:1:4000000000\nsub:4000000001:200000000\nsub:4200000001:90000000\nsub:5:5",
            "",
            "SUB:1:5",
            "subs:1:5",
        ] {
            assert!(maps_of(text.as_bytes(), "sub", None).0.is_err(), "{text}");
        }
        assert!(maps_of(&b"sub:1:1\n".repeat(400), "sub", None).0.is_err());
        assert!(maps_of(&[0xff; 1 << 16], "sub", None).0.is_err());
    }

    #[test]
    fn adjacent_ranges_and_the_maximum_number_are_valid() {
        let adjacent = maps_of(b"sub:1:10\nsub:11:10\n", "sub", None);
        assert_eq!(adjacent.0.unwrap(), [(0, 1, 10), (10, 11, 10)]);
        let lines = |count: usize| (0..count).map(|i| format!("sub:{}:1\n", 10 * i)).collect::<String>();
        let (maps, ignored) = maps_of(lines(MAX_RANGES).as_bytes(), "sub", None);
        assert_eq!((maps.unwrap().len(), ignored), (340, 0));
        assert!(maps_of(lines(MAX_RANGES + 1).as_bytes(), "sub", None).0.is_err());
        // An empty range is reported instead of an error about its end.
        assert_eq!(maps_of(b"sub:1:0\nsub:5:1\n", "sub", None).1, 1);
    }

    #[test]
    fn a_name_may_be_replaced_by_its_user_id() {
        let root = nix::unistd::User::from_uid(0.into()).unwrap().unwrap();
        assert_eq!(user_id(&root.name).as_deref(), Some("0"));
        assert_eq!(user_id("no-such-user-here"), None);
    }
}
