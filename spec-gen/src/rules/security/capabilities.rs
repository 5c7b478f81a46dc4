//! Capabilities: `--cap-add`, `--cap-drop`, `--privileged`.

use std::collections::BTreeSet;

use cli::usage;
use serde_json::{Value, json};

use crate::runtime_spec::Spec;
use crate::runtime_spec::key::{self, Key};
use crate::runtime_spec::names::CAPABILITIES;

/// Returns every capability that spec-gen itself could pass on: a runtime that it starts rejects
/// any other capability.
fn all() -> BTreeSet<String> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let own = status.lines().find_map(|line| line.strip_prefix("CapBnd:"));
    of_mask(own.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(u64::MAX))
}

fn of_mask(mask: u64) -> BTreeSet<String> {
    CAPABILITIES
        .iter()
        .enumerate()
        .filter(|(bit, _)| mask >> bit & 1 == 1)
        .map(|(_, name)| (*name).to_owned())
        .collect()
}

/// Applies the flags. For root, the effective, permitted and bounding sets are equal. For another
/// user only the added capabilities reach the process, through the ambient set, as in podman.
///
/// # Errors
/// Returns an error for an unknown capability, or for one that is both added and dropped.
pub fn apply(spec: &mut Spec, add: &[String], drop: &[String]) -> anyhow::Result<()> {
    if add.is_empty() && drop.is_empty() {
        return Ok(());
    }
    let (add_all, add) = named("--cap-add", add)?;
    let (drop_all, drop) = named("--cap-drop", drop)?;
    if add_all && drop_all {
        return Err(usage("--cap-add ALL conflicts with --cap-drop ALL"));
    }
    if let Some(both) = add.intersection(&drop).next() {
        return Err(usage(format!("{both} is both added and dropped")));
    }
    let mut bounding: BTreeSet<String> = spec.texts(key::PROCESS_CAPABILITIES_BOUNDING).into_iter().collect();
    if drop_all {
        bounding.clear();
    }
    if add_all {
        bounding = all();
    }
    bounding.extend(add.iter().cloned());
    bounding.retain(|c| !drop.contains(c));
    let is_root = is_root(spec);
    for set in key::CAPABILITY_SETS {
        let value: BTreeSet<String> = match (set, is_root) {
            (key::PROCESS_CAPABILITIES_BOUNDING, _)
            | (key::PROCESS_CAPABILITIES_EFFECTIVE | key::PROCESS_CAPABILITIES_PERMITTED, true) => {
                bounding.clone()
            }
            (_, false) if add_all => bounding.clone(),
            (_, false) => add.clone(),
            // Root's ambient and inheritable sets only lose capabilities, as root does not need
            // them.
            (_, true) => spec.texts(set).into_iter().filter(|c| bounding.contains(c)).collect(),
        };
        put_set(spec, set, &value);
    }
    Ok(())
}

/// Sets a capability set. Omits an empty set, as Go's encoder does.
fn put_set(spec: &mut Spec, set: Key, value: &BTreeSet<String>) {
    if value.is_empty() {
        spec.remove(set);
    } else {
        spec.set(set, json!(value));
    }
}

/// Adds capabilities to one set and drops others from it.
///
/// # Errors
/// Returns an error for an unknown capability.
pub fn change_set(spec: &mut Spec, set: Key, add: &[String], drop: &[String]) -> anyhow::Result<()> {
    if add.is_empty() && drop.is_empty() {
        return Ok(());
    }
    let name = set.path().rsplit('.').next().unwrap_or_default();
    let (add_all, add) = named(&format!("--process-cap-add-{name}"), add)?;
    let (drop_all, drop) = named(&format!("--process-cap-drop-{name}"), drop)?;
    let mut value: BTreeSet<String> = spec.texts(set).into_iter().collect();
    if add_all {
        value = all();
    }
    value.extend(add);
    value.retain(|c| !(drop_all || drop.contains(c)));
    put_set(spec, set, &value);
    Ok(())
}

/// Gives the process every capability. A user other than root can get them only from programs with
/// file capabilities.
pub fn set_all(spec: &mut Spec) {
    spec.set(key::PROCESS_CAPABILITIES_BOUNDING, json!(all()));
    take_from_user(spec);
    if is_root(spec) {
        give_to_root(spec);
    }
}

/// Adapts the sets to a user that was changed from or to root, as podman does. A user other than
/// root keeps only capabilities that flags add: an ambient set would pass root's capabilities on to
/// it.
pub fn follow_user(spec: &mut Spec, was_root: bool) {
    let has = |set: Key| spec.get(set).is_some();
    match (was_root, is_root(spec)) {
        (true, false) => take_from_user(spec),
        (false, true)
            if has(key::PROCESS_CAPABILITIES_BOUNDING)
                && !has(key::PROCESS_CAPABILITIES_EFFECTIVE)
                && !has(key::PROCESS_CAPABILITIES_PERMITTED) =>
        {
            give_to_root(spec)
        }
        _ => {}
    }
}

/// Gives root all capabilities of its bounding set, which include the capabilities that flags added
/// for the previous user.
pub fn give_all_to_root(spec: &mut Spec) {
    take_from_user(spec);
    give_to_root(spec);
}

/// Reports whether the process runs as root.
pub fn is_root(spec: &Spec) -> bool {
    spec.get(key::PROCESS_USER_UID).and_then(Value::as_u64).unwrap_or(0) == 0
}

fn take_from_user(spec: &mut Spec) {
    for set in key::CAPABILITY_SETS.into_iter().filter(|set| *set != key::PROCESS_CAPABILITIES_BOUNDING) {
        spec.remove(set);
    }
}

fn give_to_root(spec: &mut Spec) {
    let bounding = spec.list(key::PROCESS_CAPABILITIES_BOUNDING).to_vec();
    for set in [key::PROCESS_CAPABILITIES_EFFECTIVE, key::PROCESS_CAPABILITIES_PERMITTED] {
        spec.set(set, bounding.clone());
    }
}

/// Parses the capabilities of a flag. Returns whether `ALL` is among them.
fn named(flag: &str, names: &[String]) -> anyhow::Result<(bool, BTreeSet<String>)> {
    let mut set = BTreeSet::new();
    let mut everything = false;
    for name in names.iter().flat_map(|n| n.split(',')) {
        let upper = name.trim().to_ascii_uppercase();
        let short = upper.strip_prefix("CAP_").unwrap_or(&upper);
        let full = format!("CAP_{short}");
        if short == "ALL" {
            everything = true;
        } else if CAPABILITIES.contains(&full.as_str()) {
            set.insert(full);
        } else {
            return Err(usage(format!("{flag} {name}: not a capability")));
        }
    }
    Ok((everything, set))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(uid: u32) -> Spec {
        let caps = ["CAP_CHOWN", "CAP_KILL"];
        Spec::new(json!({"process": {"user": {"uid": uid}, "capabilities":
            {"bounding": caps, "effective": caps, "permitted": caps, "ambient": caps}}}))
    }

    fn applied(uid: u32, add: &[&str], drop: &[&str]) -> Value {
        let own = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        let mut spec = spec(uid);
        apply(&mut spec, &own(add), &own(drop)).unwrap();
        spec.value()["process"]["capabilities"].clone()
    }

    #[test]
    fn root_gets_all_capabilities_of_the_bounding_set() {
        let caps = applied(0, &["net_admin", "CAP_BPF"], &["KILL"]);
        assert_eq!(caps["bounding"], json!(["CAP_BPF", "CAP_CHOWN", "CAP_NET_ADMIN"]));
        assert_eq!(caps["effective"], caps["bounding"]);
        assert_eq!(caps["ambient"], json!(["CAP_CHOWN"]));
        assert_eq!(applied(0, &[], &["ALL"]), json!({}));
        assert_eq!(applied(0, &["CHOWN"], &["ALL"])["bounding"], json!(["CAP_CHOWN"]));
    }

    #[test]
    fn another_user_gets_only_the_added_capabilities() {
        let caps = applied(1000, &["NET_ADMIN"], &["KILL"]);
        assert_eq!(caps["bounding"], json!(["CAP_CHOWN", "CAP_NET_ADMIN"]));
        for set in ["effective", "permitted", "inheritable", "ambient"] {
            assert_eq!(caps[set], json!(["CAP_NET_ADMIN"]), "{set}");
        }
        assert_eq!(applied(1000, &[], &["KILL"]), json!({"bounding": ["CAP_CHOWN"]}));
    }

    #[test]
    fn mask_bits_are_the_capability_numbers_of_the_kernel() {
        assert_eq!(of_mask(1 | 1 << 40), ["CAP_CHOWN", "CAP_CHECKPOINT_RESTORE"].map(str::to_owned).into());
        assert_eq!(of_mask(u64::MAX).len(), 41);
    }

    #[test]
    fn unknown_or_contradicting_capabilities_are_errors() {
        for (add, drop) in [("FLY", "KILL"), ("KILL", "CAP_KILL")] {
            assert!(apply(&mut spec(0), &[add.to_owned()], &[drop.to_owned()]).is_err());
        }
    }

    #[test]
    fn adding_all_capabilities_adds_those_of_the_caller() {
        // The caller of a test has this capability in its bounding set, and `spec` does not.
        let setuid = json!("CAP_SETUID");
        let root = applied(0, &["ALL"], &["KILL"]);
        let bounding = root["bounding"].as_array().unwrap();
        assert!(bounding.contains(&setuid) && !bounding.contains(&json!("CAP_KILL")), "{root}");
        assert_eq!((&root["effective"], &root["permitted"]), (&root["bounding"], &root["bounding"]));
        assert_eq!(root["ambient"], json!(["CAP_CHOWN"]));
        let user = applied(1000, &["ALL"], &["KILL"]);
        for set in ["bounding", "effective", "permitted", "inheritable", "ambient"] {
            assert_eq!(user[set], root["bounding"], "{set}");
        }
        let mut privileged = spec(0);
        set_all(&mut privileged);
        let sets = &privileged.value()["process"]["capabilities"];
        assert!(sets["bounding"].as_array().unwrap().contains(&setuid), "{sets}");
        assert_eq!((&sets["effective"], &sets["permitted"]), (&sets["bounding"], &sets["bounding"]));
        assert_eq!(sets.get("ambient"), None);
        let mut privileged = spec(1000);
        set_all(&mut privileged);
        assert_eq!(privileged.value()["process"]["capabilities"], json!({"bounding": sets["bounding"]}));
    }

    #[test]
    fn flags_for_one_set_do_not_change_the_other_sets() {
        let own = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        #[rustfmt::skip]
        let cases: [(&[&str], &[&str], Option<Value>); 5] = [
            (&["SETUID"], &[], Some(json!(["CAP_CHOWN", "CAP_KILL", "CAP_SETUID"]))),
            (&[], &["KILL"], Some(json!(["CAP_CHOWN"]))),
            (&["SETUID"], &["CHOWN"], Some(json!(["CAP_KILL", "CAP_SETUID"]))),
            (&[], &["ALL"], None),
            (&[], &[], Some(json!(["CAP_CHOWN", "CAP_KILL"]))),
        ];
        for (add, drop, ambient) in cases {
            let mut changed = spec(0);
            change_set(&mut changed, key::PROCESS_CAPABILITIES_AMBIENT, &own(add), &own(drop)).unwrap();
            let sets = &changed.value()["process"]["capabilities"];
            assert_eq!(sets.get("ambient"), ambient.as_ref(), "{add:?} {drop:?}");
            assert_eq!(sets["bounding"], json!(["CAP_CHOWN", "CAP_KILL"]));
        }
        let mut all = spec(0);
        change_set(&mut all, key::PROCESS_CAPABILITIES_AMBIENT, &own(&["ALL"]), &[]).unwrap();
        assert!(all.texts(key::PROCESS_CAPABILITIES_AMBIENT).contains(&"CAP_SETUID".to_owned()));
    }

    #[test]
    fn capabilities_follow_a_change_of_the_user() {
        let (one, two) = (json!(["CAP_CHOWN"]), json!(["CAP_KILL"]));
        #[rustfmt::skip]
        let cases = [
            // From root to another user, only the bounding set is kept.
            (true, 1000, json!({"bounding": one, "effective": one, "permitted": one, "ambient": one}), json!({"bounding": one})),
            // To root, which gets the bounding set only if it has no capabilities yet.
            (false, 0, json!({"bounding": one}), json!({"bounding": one, "effective": one, "permitted": one})),
            (false, 0, json!({"bounding": one, "effective": two}), json!({"bounding": one, "effective": two})),
            (false, 0, json!({"bounding": one, "permitted": two}), json!({"bounding": one, "permitted": two})),
            (false, 0, json!({"ambient": two}), json!({"ambient": two})),
            // Without a change from or to root, nothing changes.
            (true, 0, json!({"bounding": one}), json!({"bounding": one})),
            (false, 1000, json!({"bounding": one, "ambient": two}), json!({"bounding": one, "ambient": two})),
        ];
        for (was_root, uid, before, after) in cases {
            let mut spec =
                Spec::new(json!({"process": {"user": {"uid": uid}, "capabilities": before.clone()}}));
            follow_user(&mut spec, was_root);
            assert_eq!(spec.value()["process"]["capabilities"], after, "{was_root} {uid} {before}");
        }
        let mut spec = Spec::new(json!({"process": {"capabilities": {"bounding": one, "ambient": two}}}));
        give_all_to_root(&mut spec);
        let sets = &spec.value()["process"]["capabilities"];
        assert_eq!(*sets, json!({"bounding": one, "effective": one, "permitted": one}));
    }
}
