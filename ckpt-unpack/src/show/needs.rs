//! What a restore on another host needs, as far as the archive shows.

use checkpoint::process_tree::Node;
use checkpoint::spec_dump::Engine;
use serde_json::{Value, json};

use super::found::Found;
use super::tree::pids;

/// Something that a restore needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// `CRIU`, `mount`, `TCP`, …
    pub kind: &'static str,
    pub text: String,
    /// What to type for it.
    pub hint: Option<&'static str>,
}

impl Need {
    fn new(kind: &'static str, text: impl Into<String>) -> Need {
        Need { kind, text: text.into(), hint: None }
    }

    fn hint(self, hint: &'static str) -> Need {
        Need { hint: Some(hint), ..self }
    }

    pub fn to_json(&self) -> Value {
        json!({ "kind": self.kind, "text": self.text, "hint": self.hint })
    }
}

pub fn needs(found: &Found, tree: &[Node]) -> Vec<Need> {
    let mut needs = programs(found);
    needs.extend(kernel(found));
    needs.extend(places(found));
    needs.extend(connections(found, &pids(tree)));
    needs
}

fn programs(found: &Found) -> Vec<Need> {
    let (origin, mut needs) = (&found.origin, Vec::new());
    if let Some(architecture) = found.images.architecture() {
        let model = origin.cpu.as_ref().map(|model| format!(", with the features of {model}"));
        needs.push(Need::new("processor", format!("{architecture}{}", model.unwrap_or_default())));
    }
    if let Some(version) = criu(found) {
        needs.push(Need::new("CRIU", format!("{version} or newer")));
    }
    if let Some(maker) = origin.runtime {
        let text = format!("{}, which named the external mounts", maker.name());
        needs.push(Need::new("runtime", text).hint("ckpt-unpack --runtime NAME converts the images"));
    }
    if found.gpu_pages > 0 {
        needs.push(Need::new("GPU", "an AMD GPU, and CRIU with its plugin"));
    }
    needs
}

fn kernel(found: &Found) -> Vec<Need> {
    let (origin, mut needs) = (&found.origin, Vec::new());
    if origin.namespaces.contains("time") {
        needs.push(Need::new("kernel", "time namespaces (CONFIG_TIME_NS)"));
    }
    if origin.namespaces.contains("user") {
        needs.push(Need::new("kernel", "user namespaces"));
    }
    if origin.seccomp_filters > 0 {
        needs.push(Need::new("kernel", "seccomp filters"));
    }
    if let Some(module) = origin.security_module {
        needs.push(Need::new(
            "security module",
            format!("{module}, with the profile or label of the container"),
        ));
    }
    needs
}

/// Returns the namespaces, mounts and volumes that must exist.
fn places(found: &Found) -> Vec<Need> {
    let mut needs = Vec::new();
    for (kind, path) in found.spec.namespaces() {
        if let Some(path) = path {
            let need = Need::new("namespace", format!("{kind}: {path}"));
            needs.push(need.hint("spec-gen --restore sets the path"));
        }
    }
    for mount in found.spec.mounts().iter().filter(|mount| mount.kind == "bind") {
        let text = format!("{} from {}", mount.destination, mount.source);
        needs.push(Need::new("mount", text));
    }
    for volume in found.config.volumes().unwrap_or_default() {
        let there = found.trees.contains_key(&format!("volumes/{}.tar", volume.name));
        let place = if there { "in the archive" } else { "not in the archive" };
        let need = Need::new("volume", format!("{} at {}, {place}", volume.name, volume.destination));
        needs.push(need.hint("ckpt-unpack --volume NAME=DIR"));
    }
    needs
}

fn connections(found: &Found, pids: &[u32]) -> Vec<Need> {
    let mut needs = Vec::new();
    let sockets = || pids.iter().flat_map(|&pid| found.images.sockets(pid));
    let established = sockets().filter(|s| s.protocol == "TCP" && s.state == "ESTABLISHED").count();
    if established > 0 {
        let text = cli::units::count(established as u64, "established connection");
        needs.push(Need::new("TCP", text).hint("runc restore --tcp-established"));
    }
    let own_network = found.spec.namespaces().iter().any(|(kind, _)| *kind == "network");
    if !own_network && !found.spec.keys().is_empty() {
        let listening = sockets().filter(|s| s.state == "LISTEN" && s.source_port != 0);
        let mut ports: Vec<_> = listening.map(|s| (s.source_port, s.protocol)).collect();
        ports.sort_unstable();
        ports.dedup();
        needs.extend(ports.into_iter().map(|(port, protocol)| {
            Need::new("port", format!("{protocol} {port} of the host, which must be free"))
        }));
    }
    if found.origin.file_locks > 0 {
        let text = cli::units::count(found.origin.file_locks as u64, "file lock");
        needs.push(Need::new("file locks", text).hint("runc restore --file-locks"));
    }
    let in_parent: u64 = pids.iter().map(|&pid| super::tree::amount(&found.images, pid).in_parent).sum();
    if found.encoding.is_some() {
        let text = "the base, with which the memory is stored as XOR".to_owned();
        needs.push(Need::new("memory", text).hint("ckpt-unpack --base FILE"));
    }
    if in_parent > 0 && !found.has_parent {
        let text = format!("{} of memory in the base or pre-checkpoint", cli::units::bytes(in_parent));
        let digest = found.base.as_ref().is_some_and(|base| base.id.is_digest());
        let hint = if digest { "ckpt-unpack --base FILE" } else { "ckpt-unpack --previous FILE" };
        needs.push(Need::new("memory", text).hint(hint));
    }
    needs
}

/// Returns the version of CRIU, from an OCI image or from CRIU's log.
pub fn criu(found: &Found) -> Option<String> {
    // CRI-O and podman annotate 40101 for 4.1.1.
    let annotated = found.annotated.get("criu.version").map(|version| match version.parse::<u32>() {
        Ok(number) if number >= 10_000 => {
            format!("{}.{}.{}", number / 10_000, number / 100 % 100, number % 100)
        }
        _ => version.clone(),
    });
    found.origin.criu.clone().or(annotated)
}

/// Returns the programs that made the archive, with their versions where they are known.
pub fn makers(found: &Found) -> Vec<String> {
    let fact = |name: &str| found.annotated.get(name).map(String::as_str);
    let with = |name: &str, version: Option<&str>| match version {
        // podman annotates the complete output of --version.
        Some(version) if version.contains(name) => version.lines().next().unwrap_or_default().to_owned(),
        Some(version) => format!("{name} {version}"),
        None => name.to_owned(),
    };
    let engine = found.spec.engine();
    let mut makers = Vec::new();
    if engine != Engine::Runtime {
        makers.push(with(engine.name(), fact("podman.version")));
    }
    let runtime = found.config.text("runtime").or_else(|| fact("runtime.name"));
    let runtime = runtime.or_else(|| found.origin.runtime.map(checkpoint::external_mounts::Maker::name));
    makers.extend(runtime.map(|runtime| with(runtime, fact("runtime.version"))));
    makers.extend(criu(found).map(|version| format!("CRIU {version}")));
    let kernel = found.origin.kernel.as_deref().or_else(|| fact("host.kernel"));
    makers.extend(kernel.map(|release| with("Linux", Some(release))));
    makers
}
