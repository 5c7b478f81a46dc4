//! Writes the JSON document of `--show --json`. It has the keys of `checkpointctl inspect --all
//! --format json` (checkpointctl internal/json.go), and keys that checkpointctl lacks: `image_id`,
//! `namespaces`, `member_sizes`, `addresses`, `threads`, counts, and what `--show` prints in addition.

use std::cell::Cell;
use std::io::Write;

use checkpoint::delta::Encoding;
use checkpoint::open_files::{OpenFile, Socket};
use checkpoint::process_tree::{Images, Node};
use cli::Session;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value, json};

use super::found::{Found, Interface};
use super::needs::{Need, criu, needs};
use super::tree::{amount, largest, pids};

/// The number of mappings of a process in the document.
const MAPPINGS: usize = 20;
/// Maximum number of open files in the document, and of bytes in their paths. Processes can share
/// one table of open files, so a small archive could otherwise produce a huge document.
const FILES: usize = 1 << 18;
const PATHS: usize = 64 << 20;

/// Writes the document.
///
/// # Errors
/// Returns an error if writing to the output fails.
pub fn write(
    out: &mut impl Write,
    found: &Found,
    tree: &[Node],
    with_environment: bool,
    session: &Session,
) -> anyhow::Result<()> {
    let budget = Budget { files: Cell::new(FILES), bytes: Cell::new(PATHS) };
    let facts = facts(found, tree);
    let document = Document { facts, found, tree, pids: pids(tree), with_environment, budget: &budget };
    serde_json::to_writer_pretty(cli::JsonWriter(&mut *out), &document)?;
    writeln!(out)?;
    if budget.is_exhausted() {
        session.warn(format_args!(
            "too many open files, only the first {} are shown",
            FILES - budget.files.get()
        ));
    }
    Ok(())
}

/// The document. What it says about each process is made while it is written: that of ten thousand
/// processes would need 100 MB.
struct Document<'a> {
    facts: Map<String, Value>,
    found: &'a Found,
    tree: &'a [Node],
    pids: Vec<u32>,
    with_environment: bool,
    budget: &'a Budget,
}

impl Serialize for Document<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.facts.len()))?;
        let images = &self.found.images;
        let pids = || self.pids.iter().copied();
        for (key, value) in &self.facts {
            map.serialize_key(key)?;
            match key.as_str() {
                "process_tree" => {
                    // CRIU dumps a single process tree.
                    let first = self.tree.first();
                    map.serialize_value(&first.map(|node| Tree {
                        images,
                        node,
                        with_environment: self.with_environment,
                    }))?;
                }
                "file_descriptors" => {
                    map.serialize_value(&Each(|| pids().filter_map(|pid| files(images, pid, self.budget))))?;
                }
                "sockets" => {
                    map.serialize_value(&Each(|| {
                        pids().filter_map(|pid| sockets(images, pid, self.budget))
                    }))?;
                }
                "memory" => {
                    map.serialize_value(&Each(|| pids().filter_map(|pid| memory(images, pid))))?;
                }
                _ => map.serialize_value(value)?,
            }
        }
        map.end()
    }
}

/// An array whose elements are made one after another.
struct Each<F>(F);

impl<I: Iterator<Item = Value>, F: Fn() -> I> Serialize for Each<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0())
    }
}

/// A process with its children.
struct Tree<'a> {
    images: &'a Images,
    node: &'a Node,
    with_environment: bool,
}

impl Serialize for Tree<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (key, value) in &process(self.images, self.node, self.with_environment) {
            map.serialize_entry(key, value)?;
        }
        let child = |node| Tree { node, ..*self };
        map.serialize_entry("children", &self.node.children.iter().map(child).collect::<Vec<_>>())?;
        map.end()
    }
}

/// Returns the keys in their order, with the values that do not depend on the number of processes.
fn facts(found: &Found, tree: &[Node]) -> Map<String, Value> {
    let first = found.interfaces().next();
    let (pod, kubernetes_namespace) = found.spec.pod();
    let mounts = found.spec.mounts();
    let document = json!({
        "schema": 1,
        "container_name": found.name(),
        "image": found.config_text(&["rootfsImageName", "rootfsImage"]),
        "image_id": found.config_text(&["rootfsImageID", "rootfsImageRef"]),
        "id": found.config.text("id"),
        "runtime": found.config.text("runtime"),
        "created": found.created(),
        "checkpointed": found.config.text("checkpointedTime"),
        "base": found.base.as_ref().map(|base| json!({
            "id": base.id.as_str(), "container": base.container, "checkpointed": base.checkpointed,
        })),
        "memory_encoding": found.encoding.map(Encoding::as_str),
        "engine": found.spec.engine().name(),
        "ip": found.address(),
        "mac": first.map(|i| i.mac),
        "networks": networks(found),
        "checkpoint_size": {
            "total_size": found.size("checkpoint"),
            "memory_pages_size": found.pages,
            "amd_gpu_memory_pages_size": found.gpu_pages,
            "root_fs_diff_size": found.size("rootfs-diff.tar"),
        },
        "member_sizes": found.sizes,
        "statistics": found.stats.map(checkpoint::stats::Stats::to_json),
        "metadata": {
            "pod_name": pod,
            "kubernetes_namespace": kubernetes_namespace,
            "annotations": found.spec.annotations(),
        },
        "process_tree": null,
        "file_descriptors": null,
        "sockets": null,
        "namespaces": found.spec.namespaces().iter().map(|(kind, path)| json!({ "type": kind, "path": path }))
            .collect::<Vec<_>>(),
        "mounts": mounts.iter().map(|m| json!({ "destination": m.destination, "type": m.kind, "source": m.source }))
            .collect::<Vec<_>>(),
        "criu": {
            "version": criu(found),
            "kernel": found.origin.kernel,
            "image_version": found.origin.image_version,
            "runtime_of_images": found.origin.runtime.map(checkpoint::external_mounts::Maker::name),
        },
        "memory": null,
        "root_fs_changes": tree_of(found, "rootfs-diff.tar", found.deleted),
        "volumes": volumes(found),
        "shm": tree_of(found, "devshm-checkpoint.tar", None),
        "needs": needs(found, tree).iter().map(Need::to_json).collect::<Vec<_>>(),
    });
    match document {
        Value::Object(facts) => facts,
        _ => Map::new(),
    }
}

/// Returns the memory of a process, with its largest mappings.
fn memory(images: &Images, pid: u32) -> Option<Value> {
    images.memory(pid)?;
    let sum = amount(images, pid);
    let mappings = largest(images, pid, MAPPINGS).into_iter().map(|(mapping, amount)| {
        json!({
            "start": format!("{:#x}", mapping.range.start), "end": format!("{:#x}", mapping.range.end),
            "permissions": mapping.permissions(), "name": images.mapping_name(pid, mapping),
            "stored": amount.stored, "in_parent": amount.in_parent,
        })
    });
    Some(json!({
        "pid": pid, "mapped": sum.mapped, "stored": sum.stored, "in_parent": sum.in_parent,
        "largest_mappings": mappings.collect::<Vec<_>>(),
    }))
}

fn tree_of(found: &Found, member: &str, deleted: Option<u64>) -> Option<Value> {
    found.trees.get(member).map(|changes| changes.to_json(deleted))
}

/// Returns the contents of the volumes by their names.
fn volumes(found: &Found) -> Map<String, Value> {
    let volumes = found.trees.iter().filter_map(|(member, changes)| {
        let name = member.strip_prefix("volumes/")?.strip_suffix(".tar")?;
        Some((name.to_owned(), changes.to_json(None)))
    });
    volumes.collect()
}

fn networks(found: &Found) -> Vec<Value> {
    let mut networks: Vec<(&str, Map<String, Value>)> = Vec::new();
    for Interface { network, name, mac, addresses, gateway } in found.interfaces() {
        if networks.last().is_none_or(|(last, _)| *last != network) {
            networks.push((network, Map::new()));
        }
        let interface =
            json!({ "ip": addresses.first(), "mac": mac, "gateway": gateway, "addresses": addresses });
        if let Some((_, interfaces)) = networks.last_mut() {
            interfaces.insert(name.to_owned(), interface);
        }
    }
    networks.into_iter().map(|(name, interfaces)| json!({ "name": name, "interfaces": interfaces })).collect()
}

/// Returns the keys of a process without its children.
fn process(images: &Images, node: &Node, with_environment: bool) -> Map<String, Value> {
    let p = &node.process;
    let mut document = json!({
        "pid": p.pid, "command": p.command, "cmdline": p.cmdline.join(" "), "task_state": p.state,
        "threads": p.threads, "open_files": p.files, "sockets": p.sockets,
        "executable": images.executable(p.pid), "memory": amount(images, p.pid).stored,
    });
    if with_environment {
        document["environment_variables"] = environment(images, p.pid);
    }
    match document {
        Value::Object(keys) => keys,
        _ => Map::new(),
    }
}

/// Returns the environment of a process by the names of the variables. Of several variables with
/// the same name, getenv(3) returns the first.
fn environment(images: &Images, pid: u32) -> Value {
    let mut variables = Map::new();
    for variable in images.environment(pid) {
        let (name, value) = variable.split_once('=').unwrap_or((&variable, ""));
        variables.entry(name).or_insert_with(|| value.into());
    }
    Value::Object(variables)
}

/// The number of open files and of bytes that the document may still get.
struct Budget {
    files: Cell<usize>,
    bytes: Cell<usize>,
}

impl Budget {
    fn allows(&self, bytes: usize) -> bool {
        self.files.set(self.files.get().saturating_sub(1));
        self.bytes.set(self.bytes.get().saturating_sub(bytes));
        !self.is_exhausted()
    }

    fn is_exhausted(&self) -> bool {
        self.files.get() == 0 || self.bytes.get() == 0
    }
}

/// Returns the open files of a process, if it has any.
fn files(images: &Images, pid: u32, budget: &Budget) -> Option<Value> {
    let files = images.open_files(pid).take_while(|file| budget.allows(file.path.len()));
    let files: Vec<_> = files.map(|file| open_file(&file)).collect();
    (!files.is_empty()).then(|| json!({ "pid": pid, "open_files": files }))
}

/// Returns an open file. checkpointctl writes "REG 0" and "cwd".
fn open_file(file: &OpenFile<'_>) -> Value {
    json!({ "type": file.kind, "fd": format!("{} {}", file.kind, file.fd).trim(), "path": file.path })
}

/// Returns the open sockets of a process, if it has any.
fn sockets(images: &Images, pid: u32, budget: &Budget) -> Option<Value> {
    let sockets = images.sockets(pid).take_while(|s| budget.allows(s.address.len()));
    let sockets: Vec<_> = sockets.map(|s| socket(&s)).collect();
    (!sockets.is_empty()).then(|| json!({ "pid": pid, "open_sockets": sockets }))
}

fn socket(s: &Socket<'_>) -> Value {
    let data = match s.kind {
        "UNIX" => json!({ "type": s.kind, "address": s.address }),
        "INET" => json!({
            "type": s.protocol, "state": s.state, "src": s.source, "src_port": s.source_port,
            "dst": s.destination, "dst_port": s.destination_port,
            "send_buf": bytes(s.send_buffer), "recv_buf": bytes(s.receive_buffer),
        }),
        kind => json!({
            "type": kind, "send_buf": bytes(s.send_buffer), "recv_buf": bytes(s.receive_buffer),
        }),
    };
    json!({ "protocol": s.protocol, "fd": s.fd, "data": data })
}

/// Formats a buffer size as crit does: `16.0 KB`.
fn bytes(n: u32) -> String {
    match n {
        0..1024 => format!("{n} B"),
        1024..1_048_576 => format!("{:.1} KB", f64::from(n) / 1024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MB", f64::from(n) / 1_048_576.0),
        _ => format!("{:.1} GB", f64::from(n) / 1_073_741_824.0),
    }
}
