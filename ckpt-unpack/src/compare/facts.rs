//! Compares what two archives say about container, processes, files, sockets, mounts and spec.

use std::collections::{BTreeMap, BTreeSet};

use checkpoint::process_tree::Process;
use cli::Session;
use cli::units::bytes;

use super::spec;
use super::{Difference, Section, Values};
use crate::show::found::Found;
use crate::show::needs::{criu, makers};
use crate::show::processes::description;
use crate::show::tree::{command, pids, processes};

/// The most open files of all processes that are compared. Processes can share one table of open
/// files, so the comparison of a small archive could otherwise take hours.
const FILES: usize = 1 << 18;

/// Facts by their names.
pub type Facts = BTreeMap<String, String>;

/// Two checkpoints, and the PIDs in their process trees.
struct Sides<'f> {
    found: [&'f Found; 2],
    pids: [BTreeSet<u32>; 2],
}

pub fn sections(a: &Found, b: &Found, session: &Session) -> Vec<Section> {
    let whole = |key, heading, of: &dyn Fn(&Found) -> Facts| Section {
        key,
        heading,
        differences: differences(None, [&of(a), &of(b)], true),
    };
    let of_processes = |key, heading, differences| Section { key, heading, differences };
    let found = [a, b];
    let sides = Sides { found, pids: found.map(|found| pids(&found.images.tree().0).into_iter().collect()) };
    // The command line and the environment of a process are in its memory. What an archive without all
    // of this memory lacks is not removed, but unknown.
    let is_known = |pid: u32| found.iter().all(|found| found.images.left_out(pid).is_empty());
    let with_files = sides.with_files(session);
    let files = |pid| with_files.contains(&pid).then(|| sides.facts(pid, |found| open_files(found, pid)));
    let sockets = |pid| with_files.contains(&pid).then(|| sides.facts(pid, |found| sockets(found, pid)));
    let environment = |pid| is_known(pid).then(|| sides.facts(pid, |found| environment(found, pid)));
    vec![
        whole("container", "container", &container),
        of_processes("processes", "processes", sides.processes(is_known)),
        of_processes("files", "open files", sides.each(files, true)),
        of_processes("sockets", "sockets", sides.each(sockets, true)),
        whole("mounts", "mounts", &|found| spec::mounts(&found.spec)),
        of_processes("environment", "environment", sides.each(environment, false)),
        whole("spec", "spec", &|found| spec::values(&found.spec)),
        whole("members", "members", &members),
        whole("root_fs_changes", "changes of the root file system", &root_changes),
    ]
}

/// The facts about one process are compared before those about the next one are collected. A checkpoint
/// can have 10,000 processes.
impl Sides<'_> {
    /// Returns the PIDs of both trees.
    fn all(&self) -> impl Iterator<Item = u32> {
        self.pids[0].union(&self.pids[1]).copied()
    }

    /// Returns the differences of all processes. `of` returns the facts about a process in both trees,
    /// or `None` if they are unknown.
    fn each(&self, of: impl Fn(u32) -> Option<[Facts; 2]>, with_values: bool) -> Vec<Difference> {
        let differences = |pid| {
            let facts = of(pid);
            facts.map_or_else(Vec::new, |[a, b]| differences(Some(pid), [&a, &b], with_values))
        };
        self.all().flat_map(differences).collect()
    }

    /// Returns the facts about a process. There are none about a process that is not in the tree.
    fn facts(&self, pid: u32, of: impl Fn(&Found) -> Facts) -> [Facts; 2] {
        [0, 1].map(|n| if self.pids[n].contains(&pid) { of(self.found[n]) } else { Facts::new() })
    }

    fn processes(&self, is_known: impl Fn(u32) -> bool) -> Vec<Difference> {
        let trees = self.found.map(|found| found.images.tree().0);
        let by_pid = |n: usize| -> BTreeMap<u32, &Process> {
            processes(&trees[n]).into_iter().map(|process| (process.pid, process)).collect()
        };
        let processes = [by_pid(0), by_pid(1)];
        let facts = |n: usize, pid: u32| {
            let process = processes[n].get(&pid);
            process.map(|process| process_facts(process, self.found[n])).unwrap_or_default()
        };
        let mut all = self.each(|pid| Some([facts(0, pid), facts(1, pid)]), true);
        all.retain(|difference| difference.name != "command" || difference.pid.is_some_and(&is_known));
        all
    }

    /// Returns the processes whose files are compared, and reports the others.
    fn with_files(&self, session: &Session) -> BTreeSet<u32> {
        let mut left = FILES;
        let has_room = |pid: &u32| {
            let most = self.found.map(|found| found.images.open_files(*pid).count()).into_iter().max();
            match left.checked_sub(most.unwrap_or_default()) {
                Some(rest) => left = rest,
                None => {
                    session.warn(format_args!(
                        "too many open files: those of process {pid} and of the next processes are not compared"
                    ));
                    return false;
                }
            }
            true
        };
        self.all().take_while(has_room).collect()
    }
}

/// Returns the facts that differ, with their values or without them.
fn differences(pid: Option<u32>, [a, b]: [&Facts; 2], with_values: bool) -> Vec<Difference> {
    let value = |value: &String| with_values.then(|| value.clone());
    let mut all: Vec<(&String, Values)> = Vec::new();
    for (name, old) in a {
        match b.get(name) {
            None => all.push((name, Values::Removed(value(old)))),
            Some(new) if new != old => {
                all.push((name, Values::Changed(with_values.then(|| (old.clone(), new.clone())))));
            }
            Some(_) => {}
        }
    }
    let added = b.iter().filter(|(name, _)| !a.contains_key(*name));
    all.extend(added.map(|(name, new)| (name, Values::Added(value(new)))));
    all.sort_by_key(|(name, _)| *name);
    all.into_iter().map(|(name, values)| Difference { pid, name: name.clone(), values }).collect()
}

fn container(found: &Found) -> Facts {
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
    let facts = facts.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    let namespaces = found.spec.namespaces();
    let namespaces = namespaces
        .iter()
        .map(|(kind, path)| (format!("{kind} namespace"), path.unwrap_or("its own").to_owned()));
    facts.chain(namespaces).collect()
}

fn process_facts(process: &Process, found: &Found) -> Facts {
    let facts = [
        ("command", command(process)),
        ("parent", process.ppid.to_string()),
        ("program", found.images.executable(process.pid).unwrap_or_default()),
        ("state", process.state.to_owned()),
        ("threads", process.threads.to_string()),
    ];
    facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn open_files(found: &Found, pid: u32) -> Facts {
    let text = |kind: &str, path: &str| format!("{kind} {path}").trim().to_owned();
    let files = found.images.open_files(pid);
    files.map(|file| (file.fd.to_string(), text(file.kind, &file.path))).collect()
}

fn sockets(found: &Found, pid: u32) -> Facts {
    found.images.sockets(pid).map(|socket| (socket.fd.to_string(), description(&socket))).collect()
}

/// Returns the environment variables. Their values are compared, but never printed.
fn environment(found: &Found, pid: u32) -> Facts {
    let mut all = Facts::new();
    for variable in found.images.environment(pid) {
        let (name, value) = variable.split_once('=').unwrap_or((&variable, ""));
        all.entry(name.to_owned()).or_insert_with(|| value.to_owned());
    }
    all
}

fn members(found: &Found) -> Facts {
    found.sizes.iter().map(|(member, size)| (member.clone(), bytes(*size))).collect()
}

fn root_changes(found: &Found) -> Facts {
    let changes = found.trees.get("rootfs-diff.tar");
    let files = changes.into_iter().flat_map(|changes| changes.largest_files());
    files.map(|(path, size)| (format!("/{path}"), bytes(size))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_added_removed_or_changed() {
        let map = |facts: &[(&str, &str)]| -> Facts {
            facts.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let (a, b) = (map(&[("a", "1"), ("b", "2"), ("d", "4")]), map(&[("b", "3"), ("c", "5"), ("d", "4")]));
        let found = differences(Some(7), [&a, &b], true);
        let values: Vec<_> = found.iter().map(|d| (d.name.as_str(), d.values.clone())).collect();
        assert_eq!(
            values,
            [
                ("a", Values::Removed(Some("1".into()))),
                ("b", Values::Changed(Some(("2".into(), "3".into())))),
                ("c", Values::Added(Some("5".into()))),
            ]
        );
        assert_eq!(differences(None, [&a, &b], false)[1].values, Values::Changed(None));
    }
}
