//! Namespaces: own, the host's, or another's by path.

use std::fmt;

use anyhow::bail;
use cli::{Session, usage};
use serde_json::{Value, json};

use crate::spec::Spec;
use crate::sysctl;

const NAMESPACES: &str = "linux.namespaces";

/// What a namespace flag asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The host's: the namespace is left out of the list.
    Host,
    /// A new one.
    Private,
    /// The one at a path.
    Path(String),
    /// Another container's, found by its pid.
    Container(String),
}

impl Mode {
    /// Reads `host`, `private` (also `none` and `shareable`: a new namespace), `ns:PATH` or `container:ID`. podman's networks are
    /// refused: what is put in a namespace is another tool's job.
    ///
    /// # Errors
    /// With what would have been accepted.
    pub fn parse(text: &str) -> Result<Mode, String> {
        match text.split_once(':') {
            Some(("ns", path)) if path.starts_with('/') => Ok(Mode::Path(path.to_owned())),
            Some(("ns", _)) => Err("ns: wants an absolute path".into()),
            Some(("container", "")) => Err("container: wants an id or pid".into()),
            Some(("container", id)) => Ok(Mode::Container(id.to_owned())),
            None if text == "host" => Ok(Mode::Host),
            None if matches!(text, "private" | "none" | "shareable") => Ok(Mode::Private),
            _ => Err("one of host, private, none, ns:PATH, container:ID is wanted".into()),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mode::Host => f.write_str("host"),
            Mode::Private => f.write_str("private"),
            Mode::Path(path) => write!(f, "ns:{path}"),
            Mode::Container(id) => write!(f, "container:{id}"),
        }
    }
}

/// The namespace types of the runtime-spec, and their names in `/proc/PID/ns`.
pub const TYPES: [(&str, &str); 8] = [
    ("pid", "pid"),
    ("network", "net"),
    ("ipc", "ipc"),
    ("uts", "uts"),
    ("mount", "mnt"),
    ("user", "user"),
    ("cgroup", "cgroup"),
    ("time", "time"),
];

/// The file of a namespace of a process.
pub fn of_process(pid: u64, kind: &str) -> String {
    let file = TYPES.iter().find(|(name, _)| *name == kind).map_or(kind, |(_, file)| file);
    format!("/proc/{pid}/ns/{file}")
}

/// The entry of one type.
pub fn find<'a>(spec: &'a Spec, kind: &str) -> Option<&'a Value> {
    spec.list(NAMESPACES).iter().find(|n| n.get("type").and_then(Value::as_str) == Some(kind))
}

/// The path of an entry; `None` where it is a new namespace.
pub fn path(namespace: &Value) -> Option<&str> {
    namespace.get("path").and_then(Value::as_str).filter(|p| !p.is_empty())
}

/// Sets the namespace of a type; an entry keeps its position and its other keys.
pub fn set(spec: &mut Spec, kind: &str, path: Option<&str>) {
    let list = spec.list_mut(NAMESPACES);
    let at = match list.iter().position(|n| n.get("type").and_then(Value::as_str) == Some(kind)) {
        Some(at) => at,
        None => {
            list.push(json!({ "type": kind }));
            list.len() - 1
        }
    };
    match (path, list[at].as_object_mut()) {
        (Some(path), Some(entry)) => {
            entry.insert("path".into(), json!(path));
        }
        (None, Some(entry)) => {
            entry.shift_remove("path");
        }
        (_, None) => {}
    }
}

/// Leaves the container in the host's namespace of a type.
pub fn remove(spec: &mut Spec, kind: &str) {
    if find(spec, kind).is_some() {
        spec.list_mut(NAMESPACES).retain(|n| n.get("type").and_then(Value::as_str) != Some(kind));
    }
}

/// Another container whose namespaces may be joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    pub id: String,
    pub pid: u64,
    pub hostname: Option<String>,
}

impl Peer {
    /// Reads `ID=PID[,hostname=H]`.
    ///
    /// # Errors
    /// With what would have been accepted.
    pub fn parse(arg: &str) -> Result<Peer, String> {
        const WANTED: &str = "ID=PID[,hostname=H] is wanted";
        let (id, rest) = arg.split_once('=').ok_or(WANTED)?;
        let (pid, hostname) = match rest.split_once(',') {
            Some((pid, name)) => (pid, Some(name.strip_prefix("hostname=").ok_or(WANTED)?.to_owned())),
            None => (rest, None),
        };
        match pid.parse() {
            Ok(pid) if pid > 0 && !id.is_empty() => Ok(Peer { id: id.to_owned(), pid, hostname }),
            _ => Err(WANTED.into()),
        }
    }

    /// Finds a container by its id or a pid that stands for it.
    ///
    /// # Errors
    /// When its pid was not given.
    pub fn find(id: &str, peers: &[Peer]) -> anyhow::Result<Peer> {
        if let Some(peer) = peers.iter().find(|peer| peer.id == id) {
            return Ok(peer.clone());
        }
        match id.parse() {
            // A short number can only be a pid; ids are hexadecimal and long.
            Ok(pid) if id.len() <= 10 && pid > 0 => Ok(Peer { id: id.to_owned(), pid, hostname: None }),
            _ => bail!(cli::Hint::on(
                usage(format!("container {id}: its pid is not known")),
                format!("add --container-pid {id}=PID"),
            )),
        }
    }
}

/// Applies one namespace flag. Returns the kernel parameters that were dropped because they belong to a namespace that is
/// the host's now.
///
/// # Errors
/// Returns an error if a container is named whose PID is not known.
pub fn apply(spec: &mut Spec, kind: &str, mode: &Mode, peers: &[Peer]) -> anyhow::Result<Vec<String>> {
    apply_restored(spec, kind, mode, peers)?;
    let dropped = if *mode == Mode::Host { leave_to_host(spec, kind) } else { Vec::new() };
    // The name of a joined UTS namespace is its owner's: setting ours would rename that container too.
    if kind == "uts" && *mode != Mode::Private {
        spec.remove("hostname");
    }
    Ok(dropped)
}

/// Reports the kernel parameters that [`apply`] dropped.
pub fn warn_of_dropped(session: &Session, kind: &str, dropped: Vec<String>) {
    for key in dropped {
        session.warn(format_args!(
            "linux.sysctl: {key}: dropped, the container has no {kind} namespace of its own"
        ));
    }
}

/// Applies one namespace flag to the spec of a checkpoint: only paths change, a restored host name is CRIU's business.
///
/// # Errors
/// When a container is named whose pid is not known.
pub fn apply_restored(spec: &mut Spec, kind: &str, mode: &Mode, peers: &[Peer]) -> anyhow::Result<()> {
    match mode {
        Mode::Host => remove(spec, kind),
        Mode::Private => set(spec, kind, None),
        Mode::Path(path) => set(spec, kind, Some(path)),
        Mode::Container(id) => set(spec, kind, Some(&of_process(Peer::find(id, peers)?.pid, kind))),
    }
    Ok(())
}

/// Drops what a runtime refuses without a namespace of its own. Returns the names of the kernel parameters among it; the
/// other values describe the namespace itself.
fn leave_to_host(spec: &mut Spec, kind: &str) -> Vec<String> {
    match kind {
        // runc: "unable to set hostname without a private UTS namespace".
        "uts" => {
            spec.remove("hostname");
            spec.remove("domainname");
        }
        "user" => {
            spec.remove("linux.uidMappings");
            spec.remove("linux.gidMappings");
        }
        _ => {}
    }
    // runc: "sysctl net.… is not allowed in the hosts network namespace".
    let Some(parameters) = spec.get("linux.sysctl").and_then(Value::as_object) else { return Vec::new() };
    let of_kind = |key: &&String| sysctl::namespace(key) == Some(kind);
    let dropped: Vec<String> = parameters.keys().filter(of_kind).cloned().collect();
    if dropped.is_empty() {
        return dropped;
    }
    if dropped.len() == parameters.len() {
        spec.remove("linux.sysctl");
    } else {
        spec.object("linux.sysctl").retain(|key, _| !dropped.contains(key));
    }
    dropped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_replaced_in_place_and_keeps_unknown_keys() {
        let mut spec = Spec::new(json!({"linux": {"namespaces": [
            {"type": "pid"}, {"type": "network", "path": "/old", "x": 1}, {"type": "uts"}]}}));
        set(&mut spec, "network", Some("/run/netns/web"));
        set(&mut spec, "cgroup", None);
        assert_eq!(
            spec.value()["linux"]["namespaces"],
            json!([{"type": "pid"}, {"type": "network", "path": "/run/netns/web", "x": 1}, {"type": "uts"}, {"type": "cgroup"}])
        );
        set(&mut spec, "network", None);
        assert_eq!(find(&spec, "network"), Some(&json!({"type": "network", "x": 1})));
    }

    #[test]
    fn modes_are_podmans() {
        assert_eq!(Mode::parse("ns:/run/netns/web"), Ok(Mode::Path("/run/netns/web".into())));
        assert_eq!(Mode::parse("container:web"), Ok(Mode::Container("web".into())));
        for bad in ["", "ns:", "ns:rel", "container:", "slirp4netns:x", "hots"] {
            assert!(Mode::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_joined_namespace_needs_a_pid() {
        let peer = Peer::parse("web=7,hostname=w").unwrap();
        assert_eq!(Peer::find("web", std::slice::from_ref(&peer)).unwrap(), peer);
        assert_eq!(Peer::find("4711", &[]).unwrap().pid, 4711);
        assert!(Peer::find("web", &[]).is_err());
        for bad in ["", "web", "web=", "=7", "web=0", "web=7,h=x"] {
            assert!(Peer::parse(bad).is_err(), "{bad}");
        }
    }
}
