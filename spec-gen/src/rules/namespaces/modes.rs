//! Applies the mode of a namespace flag to a spec.

use cli::Session;
use serde_json::Value;

use crate::notation::namespace::{Mode, Peer};
use crate::runtime_spec::key;
use crate::runtime_spec::{Spec, namespaces, sysctl};

/// Applies one namespace flag. Returns the kernel parameters that were dropped because they belong
/// to a namespace that is now the host's.
///
/// # Errors
/// Returns an error if the PID of a named container is not known.
pub fn apply(spec: &mut Spec, kind: &str, mode: &Mode, peers: &[Peer]) -> anyhow::Result<Vec<String>> {
    apply_restored(spec, kind, mode, peers)?;
    let dropped = if *mode == Mode::Host { leave_to_host(spec, kind) } else { Vec::new() };
    // The host name of a joined UTS namespace belongs to its container. Setting it would rename
    // that container too.
    if kind == "uts" && *mode != Mode::Private {
        spec.remove(key::HOSTNAME);
    }
    Ok(dropped)
}

/// Reports the kernel parameters that [`apply`] dropped.
pub fn warn_of_dropped(session: &Session, kind: &str, dropped: Vec<String>) {
    for key in dropped {
        session.warn(format_args!(
            "linux.sysctl: {key}: dropped: the container has no {kind} namespace of its own"
        ));
    }
}

/// Applies one namespace flag to the spec of a checkpoint. Only paths change: CRIU restores the
/// host name.
///
/// # Errors
/// Returns an error if the PID of a named container is not known.
pub fn apply_restored(spec: &mut Spec, kind: &str, mode: &Mode, peers: &[Peer]) -> anyhow::Result<()> {
    match mode {
        Mode::Host => namespaces::remove(spec, kind),
        Mode::Private => namespaces::set(spec, kind, None),
        Mode::Path(path) => namespaces::set(spec, kind, Some(path)),
        Mode::Container(id) => {
            namespaces::set(spec, kind, Some(&namespaces::of_process(Peer::find(id, peers)?.pid, kind)))
        }
    }
    Ok(())
}

/// Removes the values that runtimes reject without a private namespace. Returns the names of
/// removed kernel parameters; the other removed values describe the namespace itself.
fn leave_to_host(spec: &mut Spec, kind: &str) -> Vec<String> {
    match kind {
        // runc: "unable to set hostname without a private UTS namespace".
        "uts" => {
            spec.remove(key::HOSTNAME);
            spec.remove(key::DOMAINNAME);
        }
        "user" => {
            spec.remove(key::LINUX_UID_MAPPINGS);
            spec.remove(key::LINUX_GID_MAPPINGS);
        }
        _ => {}
    }
    // runc: "sysctl net.… is not allowed in the hosts network namespace".
    let Some(parameters) = spec.get(key::LINUX_SYSCTL).and_then(Value::as_object) else { return Vec::new() };
    let of_kind = |key: &&String| sysctl::namespace(key) == Some(kind);
    let dropped: Vec<String> = parameters.keys().filter(of_kind).cloned().collect();
    if dropped.is_empty() {
        return dropped;
    }
    if dropped.len() == parameters.len() {
        spec.remove(key::LINUX_SYSCTL);
    } else {
        spec.object(key::LINUX_SYSCTL).retain(|key, _| !dropped.contains(key));
    }
    dropped
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_of_a_namespace_change_with_its_mode() {
        let before = json!({
            "hostname": "h", "domainname": "d",
            "linux": {
                "namespaces": [{"type": "uts"}, {"type": "user"}, {"type": "network"}, {"type": "ipc"}],
                "uidMappings": [1], "gidMappings": [2],
                "sysctl": {"net.a": "1", "kernel.shmmax": "2", "net.b": "3"}
            }
        });
        let path = || Mode::Path("/run/ns".into());
        let peer = || Mode::Container("web".into());
        // The paths of the values that are removed, and the names of the dropped parameters.
        #[rustfmt::skip]
        let cases: [(&str, Mode, &[&str], &[&str]); 10] = [
            ("uts", Mode::Private, &[], &[]),
            ("uts", path(), &["/hostname"], &[]),
            ("uts", peer(), &["/hostname"], &[]),
            ("uts", Mode::Host, &["/hostname", "/domainname"], &[]),
            ("user", Mode::Private, &[], &[]),
            ("user", Mode::Host, &["/linux/uidMappings", "/linux/gidMappings"], &[]),
            ("network", Mode::Host, &["/linux/sysctl/net.a", "/linux/sysctl/net.b"], &["net.a", "net.b"]),
            ("network", path(), &[], &[]),
            ("ipc", Mode::Host, &["/linux/sysctl/kernel.shmmax"], &["kernel.shmmax"]),
            ("pid", Mode::Host, &[], &[]),
        ];
        let peers = [Peer { id: "web".into(), pid: 7, hostname: None }];
        for (kind, mode, removed, parameters) in cases {
            let mut spec = Spec::new(before.clone());
            let dropped = apply(&mut spec, kind, &mode, &peers).unwrap();
            assert_eq!(dropped, parameters, "{kind} {mode}");
            for value in ["/hostname", "/domainname", "/linux/uidMappings", "/linux/gidMappings"]
                .into_iter()
                .chain(["/linux/sysctl/net.a", "/linux/sysctl/net.b", "/linux/sysctl/kernel.shmmax"])
            {
                let is_there = spec.value().pointer(value).is_some();
                assert_eq!(is_there, !removed.contains(&value), "{kind} {mode} {value}");
            }
            let expected = match mode {
                Mode::Host => None,
                Mode::Private => Some(None),
                Mode::Path(_) => Some(Some("/run/ns")),
                Mode::Container(_) => Some(Some("/proc/7/ns/uts")),
            };
            let found = namespaces::find(&spec, kind).map(namespaces::path);
            assert_eq!(found, expected, "{kind}");
        }
        // An object that has lost all its parameters is removed.
        let mut spec = Spec::new(json!({"linux": {"sysctl": {"net.a": "1"}}}));
        apply(&mut spec, "network", &Mode::Host, &[]).unwrap();
        assert_eq!(spec.get(key::LINUX_SYSCTL), None);
    }
}
