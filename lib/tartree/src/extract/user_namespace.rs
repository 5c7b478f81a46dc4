//! Reads which IDs the user namespace of this process maps.

use crate::format::{acl, capability};

/// Reports whether the user namespace maps the user ID `id`. Returns true if the map is unknown.
pub(crate) fn maps_user(id: u32) -> bool {
    maps("/proc/self/uid_map", id)
}

/// Reports whether the user namespace maps the group ID `id`. Returns true if the map is unknown.
pub(crate) fn maps_group(id: u32) -> bool {
    maps("/proc/self/gid_map", id)
}

/// Returns the first ID in the value of the xattr `name` that the user namespace does not map, such
/// as "user 70000".
pub(crate) fn not_mapped_in(name: &[u8], value: &[u8]) -> Option<String> {
    match name {
        acl::ACCESS | acl::DEFAULT => {
            let of = |maps: fn(u32) -> bool| move |id| maps(id).then_some(id);
            let (kind, id) = acl::mapped(value, of(maps_user), of(maps_group)).err()?;
            Some(format!("{kind} {id}"))
        }
        capability::NAME => {
            let id = capability::on_host(value, |id| maps_user(id).then_some(id)).err()?;
            Some(format!("root {id}"))
        }
        _ => None,
    }
}

fn maps(file: &str, id: u32) -> bool {
    std::fs::read_to_string(file).map_or(true, |text| in_map(&text, id))
}

/// Reports whether a line of user_namespaces(7), `FIRST OUTSIDE COUNT`, contains `id`.
fn in_map(text: &str, id: u32) -> bool {
    text.lines().any(|line| {
        let mut fields = line.split_whitespace().map(|field| field.parse::<u64>().unwrap_or(0));
        let (first, count) = (fields.next().unwrap_or(0), fields.nth(1).unwrap_or(0));
        (first..first + count).contains(&u64::from(id))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_mapped_if_a_range_contains_it() {
        let text = "         0       1000          1\n         1     100000      65536\n";
        for (id, mapped) in [(0, true), (1, true), (65536, true), (65537, false), (u32::MAX, false)] {
            assert_eq!(in_map(text, id), mapped, "{id}");
        }
        assert!(in_map("0 0 4294967295\n", u32::MAX - 1));
        assert!(!in_map("", 0));
    }
}
