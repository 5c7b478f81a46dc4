//! `--uidmap` and `--gidmap` in podman's notation: `[+ug]CONTAINER:[@]HOST[:SIZE]`.

use anyhow::{Context, bail};

use crate::runtime_spec::id_map::IdMap;

/// The ranges in the value of one flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranges(Vec<Range>);

/// One range as written in the flag, before `@` and `+` are resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    map: IdMap,
    /// Whether the host ID is an ID of the parent user namespace (`@`).
    of_parent: bool,
    /// Whether the range replaces the parts of earlier ranges that it overlaps (`+`).
    replaces: bool,
    /// Whether the range maps user IDs (`u` or no letter).
    users: bool,
    groups: bool,
}

/// The kind of IDs that are mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdKind {
    Users,
    Groups,
}

impl Ranges {
    /// Reads the value of a flag. Commas separate ranges; colons do too if every range has a size.
    ///
    /// # Errors
    /// Returns an error that states what was expected.
    pub fn parse(text: &str) -> Result<Ranges, String> {
        const EXPECTED: &str =
            "expected [+ug]CONTAINER:[@]HOST[:SIZE], three numbers, and ranges that end at 4294967294";
        let mut ranges = Vec::new();
        for item in text.split(',') {
            let mut fields: Vec<&str> = item.split(':').collect();
            if fields.len() == 2 {
                fields.push("1");
            }
            if fields.len() % 3 != 0 {
                return Err(EXPECTED.into());
            }
            for range in fields.chunks(3) {
                ranges.push(Range::parse(range[0], range[1], range[2]).ok_or(EXPECTED)?);
            }
        }
        Ok(Ranges(ranges))
    }

    /// Returns whether a range names an ID of the parent user namespace.
    pub fn needs_parent(&self) -> bool {
        self.0.iter().any(|range| range.of_parent)
    }
}

impl Range {
    fn parse(container: &str, host: &str, size: &str) -> Option<Range> {
        let digits = container.find(|c: char| c.is_ascii_digit())?;
        let (flags, container) = container.split_at(digits);
        if !flags.chars().all(|c| "+ug".contains(c)) {
            return None;
        }
        let (users, groups) = (flags.contains('u'), flags.contains('g'));
        let both = !users && !groups;
        let (of_parent, host) = host.strip_prefix('@').map_or((false, host), |host| (true, host));
        Some(Range {
            map: IdMap::from_fields([container, host, size].into_iter())?,
            of_parent,
            replaces: flags.contains('+'),
            users: users || both,
            groups: groups || both,
        })
    }
}

/// Returns the mappings of one kind that the flags request. `parent` is the ID map of the user
/// namespace that spec-gen runs in.
///
/// # Errors
/// Returns an error if an ID of the parent user namespace does not exist there, or if an ID is
/// mapped twice.
pub fn resolve_ranges(flags: &[Ranges], kind: IdKind, parent: &[IdMap]) -> anyhow::Result<Vec<IdMap>> {
    let mut maps: Vec<IdMap> = Vec::new();
    let counts = |range: &&Range| match kind {
        IdKind::Users => range.users,
        IdKind::Groups => range.groups,
    };
    for range in flags.iter().flat_map(|flag| &flag.0).filter(counts) {
        let parts = if range.of_parent { inside(range.map, parent)? } else { vec![range.map] };
        for part in parts {
            if range.replaces {
                maps = maps.into_iter().flat_map(|map| without(map, part)).collect();
            }
            maps.push(part);
        }
    }
    maps.sort_by_key(|map| map.container);
    let mut merged: Vec<IdMap> = Vec::new();
    for map in maps {
        match merged.last_mut() {
            Some(last)
                if last.container + last.size == map.container && last.host + last.size == map.host =>
            {
                last.size += map.size;
            }
            _ => merged.push(map),
        }
    }
    refuse_overlaps(&merged)?;
    Ok(merged)
}

/// Translates the host IDs of a mapping into the user namespace whose map is `parent`.
fn inside(map: IdMap, parent: &[IdMap]) -> anyhow::Result<Vec<IdMap>> {
    let mut parts = Vec::new();
    let mut rest = map;
    while rest.size > 0 {
        let range = parent.iter().find(|r| rest.host >= r.host && rest.host - r.host < r.size);
        let range = range.with_context(|| {
            format!("@{}: this ID is not mapped in the user namespace that spec-gen runs in", rest.host)
        })?;
        let offset = rest.host - range.host;
        let size = rest.size.min(range.size - offset);
        parts.push(IdMap { container: rest.container, host: range.container + offset, size });
        rest = IdMap { container: rest.container + size, host: rest.host + size, size: rest.size - size };
    }
    Ok(parts)
}

/// Returns the parts of `map` whose container IDs and host IDs `other` does not use.
fn without(map: IdMap, other: IdMap) -> Vec<IdMap> {
    let size = i64::from(map.size);
    let cut = |start: i64| (start.clamp(0, size), (start + i64::from(other.size)).clamp(0, size));
    let mut cuts = [
        cut(i64::from(other.container) - i64::from(map.container)),
        cut(i64::from(other.host) - i64::from(map.host)),
    ];
    cuts.sort_unstable();
    let mut parts = Vec::new();
    let mut from = 0;
    for (start, end) in cuts.into_iter().chain([(size, size)]) {
        if let (Ok(offset), Ok(size)) = (u32::try_from(from), u32::try_from(start - from)) {
            if size > 0 {
                parts.push(IdMap { container: map.container + offset, host: map.host + offset, size });
            }
        }
        from = from.max(end);
    }
    parts
}

/// Returns an error if two ranges overlap, and names them. The kernel would reject the ranges too,
/// but only with EINVAL.
fn refuse_overlaps(maps: &[IdMap]) -> anyhow::Result<()> {
    for (i, a) in maps.iter().enumerate() {
        for b in &maps[i + 1..] {
            let overlap = |x: u32, y: u32| {
                u64::from(x) < u64::from(y) + u64::from(b.size)
                    && u64::from(y) < u64::from(x) + u64::from(a.size)
            };
            if overlap(a.container, b.container) || overlap(a.host, b.host) {
                let show = |m: &IdMap| format!("{}:{}:{}", m.container, m.host, m.size);
                bail!(
                    "{} and {} overlap: put + before the second one to replace a part of the first",
                    show(a),
                    show(b)
                );
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    type Row = (u32, u32, u32);
    type Rows = Vec<Row>;
    type Case<'a> = (&'a [&'a str], &'a [Row], &'a [Row]);

    fn made(flags: &[&str], kind: IdKind) -> Result<Rows, String> {
        // The user namespace of an ordinary user: the user's own ID and its subordinate IDs.
        let parent =
            [IdMap { container: 0, host: 1000, size: 1 }, IdMap { container: 1, host: 100_000, size: 1000 }];
        let flags: Vec<Ranges> = flags.iter().map(|f| Ranges::parse(f)).collect::<Result<_, _>>()?;
        let maps = resolve_ranges(&flags, kind, &parent).map_err(|e| format!("{e:#}"))?;
        Ok(maps.into_iter().map(|m| (m.container, m.host, m.size)).collect())
    }

    /// The rows without `@` were recorded from podman 5.4.2.
    #[test]
    fn mappings_are_resolved_as_in_podman() {
        #[rustfmt::skip]
        let cases: &[Case<'_>] = &[
            (&["0:1000:10"], &[(0, 1000, 10)], &[(0, 1000, 10)]),
            (&["0:1000"], &[(0, 1000, 1)], &[(0, 1000, 1)]),
            (&["u0:1000:10"], &[(0, 1000, 10)], &[]),
            (&["g0:1000:10"], &[], &[(0, 1000, 10)]),
            (&["ug0:1000:10"], &[(0, 1000, 10)], &[(0, 1000, 10)]),
            (&["+0:1000:10"], &[(0, 1000, 10)], &[(0, 1000, 10)]),
            (&["0:1000:10", "+5:7:1"], &[(0, 1000, 5), (5, 7, 1), (6, 1006, 4)], &[(0, 1000, 5), (5, 7, 1), (6, 1006, 4)]),
            (&["0:1000:10,20:30:10"], &[(0, 1000, 10), (20, 30, 10)], &[(0, 1000, 10), (20, 30, 10)]),
            (&["20:30:10:0:1000:10"], &[(0, 1000, 10), (20, 30, 10)], &[(0, 1000, 10), (20, 30, 10)]),
            (&["0:100:5", "5:105:5"], &[(0, 100, 10)], &[(0, 100, 10)]),
            (&["0:0:10", "u+3:1:1"], &[(0, 0, 1), (2, 2, 1), (3, 1, 1), (4, 4, 6)], &[(0, 0, 10)]),
            (&["0:@1000:1", "1:@100005:2"], &[(0, 0, 1), (1, 6, 2)], &[(0, 0, 1), (1, 6, 2)]),
        ];
        for (flags, users, groups) in cases {
            assert_eq!(made(flags, IdKind::Users).unwrap(), *users, "{flags:?}");
            assert_eq!(made(flags, IdKind::Groups).unwrap(), *groups, "{flags:?}");
        }
    }

    #[test]
    fn invalid_mappings_are_refused() {
        for bad in [
            "",
            "0",
            "0:1:2:3",
            "0:1:0",
            "4294967295:0:2",
            "0:4294967290:10",
            "-1:0:1",
            "a:b:c",
            "@0:1:2",
            "#0:1:2",
            "x0:1:2",
            "0:@:1",
            "+:1:1",
            "0:1:2,",
            ":1:2",
        ] {
            assert!(Ranges::parse(bad).is_err(), "{bad}");
        }
        for (flags, text) in [
            (&["0:1000:10", "5:7:1"][..], "0:1000:10 and 5:7:1 overlap"),
            (&["0:1000:10", "20:1009:1"], "overlap"),
            (&["0:@7:1"], "@7: this ID is not mapped"),
            (&["0:@100999:2"], "@101000: this ID is not mapped"),
        ] {
            assert!(made(flags, IdKind::Users).unwrap_err().contains(text), "{flags:?}");
        }
    }
}
