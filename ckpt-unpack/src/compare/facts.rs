//! Compares what two archives say about container, processes, files, sockets, mounts and spec.

use std::collections::BTreeMap;

use cli::Session;
use cli::units::bytes;

use super::spec;
use super::{Difference, Section, Values};
use crate::show::found::Found;
use crate::show::needs::{criu, makers};
use crate::show::processes::description;
use crate::show::tree::{command, pids, processes};

/// The most open files and sockets of all processes that are compared. Processes can share one table
/// of open files, so a small archive could otherwise fill the memory.
const FILES: usize = 1 << 18;

/// A fact: the process that it belongs to, and its name.
pub type Key = (Option<u32>, String);

pub fn sections(a: &Found, b: &Found, session: &Session) -> Vec<Section> {
    let section = |key, heading, of: &dyn Fn(&Found) -> BTreeMap<Key, String>| Section {
        key,
        heading,
        differences: differences(&of(a), &of(b), true),
    };
    // The command line and the environment of a process are in its memory. What an archive without all
    // of this memory lacks is not removed, but unknown.
    let lacks = |found: &Found, pid: u32| !found.images.left_out(pid).is_empty();
    let is_known = |pid: Option<u32>| pid.is_none_or(|pid| !lacks(a, pid) && !lacks(b, pid));
    let mut environment = differences(&environment(a), &environment(b), false);
    environment.retain(|difference| is_known(difference.pid));
    let mut sections = vec![
        section("container", "container", &container),
        section("processes", "processes", &process_list),
        section("files", "open files", &|found| open_files(found, session)),
        section("sockets", "sockets", &sockets),
        section("mounts", "mounts", &|found| spec::mounts(&found.spec)),
        Section { key: "environment", heading: "environment", differences: environment },
        section("spec", "spec", &|found| spec::values(&found.spec)),
        section("members", "members", &members),
        section("root_fs_changes", "changes of the root file system", &root_changes),
    ];
    for section in sections.iter_mut().filter(|section| section.key == "processes") {
        section.differences.retain(|difference| difference.name != "command" || is_known(difference.pid));
    }
    sections
}

/// Returns the facts that differ, with their values or without them.
pub fn differences(
    a: &BTreeMap<Key, String>,
    b: &BTreeMap<Key, String>,
    with_values: bool,
) -> Vec<Difference> {
    let value = |value: &String| with_values.then(|| value.clone());
    let mut all: Vec<(&Key, Values)> = Vec::new();
    for (key, old) in a {
        match b.get(key) {
            None => all.push((key, Values::Removed(value(old)))),
            Some(new) if new != old => {
                all.push((key, Values::Changed(with_values.then(|| (old.clone(), new.clone())))));
            }
            Some(_) => {}
        }
    }
    let added = b.iter().filter(|(key, _)| !a.contains_key(*key));
    all.extend(added.map(|(key, new)| (key, Values::Added(value(new)))));
    all.sort_by_key(|(key, _)| *key);
    let difference =
        |((pid, name), values): (&Key, Values)| Difference { pid: *pid, name: name.clone(), values };
    all.into_iter().map(difference).collect()
}

fn container(found: &Found) -> BTreeMap<Key, String> {
    let facts = [
        ("name", found.name()),
        ("id", found.config.text("id").map(str::to_owned)),
        ("image", found.image_name().map(str::to_owned)),
        ("image ID", found.config_text(&["rootfsImageID", "rootfsImageRef"]).map(str::to_owned)),
        ("made by", Some(makers(found).join(", "))),
        ("CRIU", criu(found)),
        ("checkpointed", found.checkpointed()),
        ("address", found.address()),
    ];
    let facts = facts.into_iter().filter_map(|(name, value)| Some(((None, name.to_owned()), value?)));
    let namespaces = found.spec.namespaces();
    let namespaces = namespaces
        .iter()
        .map(|(kind, path)| ((None, format!("{kind} namespace")), path.unwrap_or("its own").to_owned()));
    facts.chain(namespaces).collect()
}

fn process_list(found: &Found) -> BTreeMap<Key, String> {
    let (tree, _) = found.images.tree();
    let facts = processes(&tree).into_iter().flat_map(|process| {
        let fact = |name: &str, value: String| ((Some(process.pid), name.to_owned()), value);
        [
            fact("command", command(process)),
            fact("parent", process.ppid.to_string()),
            fact("program", found.images.executable(process.pid).unwrap_or_default()),
            fact("state", process.state.to_owned()),
            fact("threads", process.threads.to_string()),
        ]
    });
    facts.collect()
}

fn open_files(found: &Found, session: &Session) -> BTreeMap<Key, String> {
    let mut files = BTreeMap::new();
    for pid in pids(&found.images.tree().0) {
        for file in found.images.open_files(pid) {
            if files.len() == FILES {
                session.warn(format_args!("too many open files, only the first {FILES} are compared"));
                return files;
            }
            let path = format!("{} {}", file.kind, file.path);
            files.insert((Some(pid), file.fd.to_string()), path.trim().to_owned());
        }
    }
    files
}

fn sockets(found: &Found) -> BTreeMap<Key, String> {
    let mut sockets = BTreeMap::new();
    for pid in pids(&found.images.tree().0) {
        for socket in found.images.sockets(pid).take(FILES - sockets.len()) {
            sockets.insert((Some(pid), socket.fd.to_string()), description(&socket));
        }
    }
    sockets
}

/// Returns the environment variables. Their values are compared, but never printed.
fn environment(found: &Found) -> BTreeMap<Key, String> {
    let mut all = BTreeMap::new();
    for pid in pids(&found.images.tree().0) {
        for variable in found.images.environment(pid) {
            let (name, value) = variable.split_once('=').unwrap_or((&variable, ""));
            all.entry((Some(pid), name.to_owned())).or_insert_with(|| value.to_owned());
        }
    }
    all
}

fn members(found: &Found) -> BTreeMap<Key, String> {
    found.sizes.iter().map(|(member, size)| ((None, member.clone()), bytes(*size))).collect()
}

fn root_changes(found: &Found) -> BTreeMap<Key, String> {
    let changes = found.trees.get("rootfs-diff.tar");
    let files = changes.into_iter().flat_map(|changes| changes.largest_files());
    files.map(|(path, size)| ((None, format!("/{path}")), bytes(size))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_added_removed_or_changed() {
        let map = |facts: &[(&str, &str)]| -> BTreeMap<Key, String> {
            facts.iter().map(|(name, value)| ((None, (*name).to_owned()), (*value).to_owned())).collect()
        };
        let (a, b) = (map(&[("a", "1"), ("b", "2"), ("d", "4")]), map(&[("b", "3"), ("c", "5"), ("d", "4")]));
        let found = differences(&a, &b, true);
        let values: Vec<_> = found.iter().map(|d| (d.name.as_str(), d.values.clone())).collect();
        assert_eq!(
            values,
            [
                ("a", Values::Removed(Some("1".into()))),
                ("b", Values::Changed(Some(("2".into(), "3".into())))),
                ("c", Values::Added(Some("5".into()))),
            ]
        );
        assert_eq!(differences(&a, &b, false)[1].values, Values::Changed(None));
    }
}
