//! Rejects namespace flags that CRIU would ignore.
//!
//! CRIU restores a container into the namespaces that its images record. If the spec of the restored
//! container names another namespace, runc and crun pass the name to CRIU, CRIU does not use it, and
//! all of them exit with status 0.

use checkpoint::root_process::Origin;
use cli::Hint;

use super::criu_images::Dumped;
use crate::notation::namespace::Mode;
use crate::rules::namespaces::namespace_flags;
use crate::runtime_spec::{Spec, namespaces};

/// Checks that each namespace flag agrees with the dump. `dumped` has the origins that the images
/// record; the spec has the other origins, because a runtime dumps a namespace as external if the
/// spec has a path for it.
///
/// # Errors
/// Returns an error that names the namespace, with the flag that agrees.
pub fn check(
    spec: &Spec,
    namespaces: &[(&'static str, Option<Mode>)],
    dumped: &Dumped,
) -> anyhow::Result<()> {
    for (kind, mode) in namespaces {
        let entry = namespaces::find(spec, kind);
        let had_path = entry.is_some_and(|n| namespaces::path(n).is_some());
        let in_spec = match entry {
            Some(_) if had_path => Origin::External,
            Some(_) => Origin::Own,
            None => Origin::Host,
        };
        let recorded = dumped.origin(kind);
        let origin = recorded.unwrap_or(in_spec);
        let flag = namespace_flags::name_of(kind);
        // CRIU finds only these namespaces in its images. For the others, runc and crun tell CRIU
        // to join the namespace at the path.
        let is_imaged = matches!(*kind, "network" | "pid");
        let is_checked = is_imaged || matches!(*kind, "ipc" | "uts");
        let by_path = matches!(mode, Some(Mode::Path(_) | Mode::Container(_)));
        let (what, hint) = match origin {
            Origin::External if recorded.is_some() && !had_path && !by_path => (
                "the container was checkpointed in an external namespace and can only be restored into such a namespace",
                format!("--{flag} ns:PATH"),
            ),
            Origin::External if matches!(mode, Some(Mode::Host | Mode::Private)) => (
                "the container was checkpointed in a namespace given by path and can only be restored into such a namespace",
                format!("--{flag} ns:PATH"),
            ),
            Origin::Own if is_imaged && by_path || is_checked && *mode == Some(Mode::Host) => (
                "the container was checkpointed in a namespace of its own, and CRIU restores it into a new one",
                without_effect(kind, flag, in_spec, origin, recorded),
            ),
            Origin::Host if is_imaged && by_path || is_checked && *mode == Some(Mode::Private) => (
                "the container was checkpointed in the host's namespace, and CRIU restores it into the host's",
                without_effect(kind, flag, in_spec, origin, recorded),
            ),
            _ => continue,
        };
        return Err(Hint::on(anyhow::anyhow!("linux.namespaces: {kind}: {what}"), hint));
    }
    Ok(())
}

/// Returns the hint for a flag that has no effect.
fn without_effect(
    kind: &str,
    flag: &str,
    in_spec: Origin,
    origin: Origin,
    recorded: Option<Origin>,
) -> String {
    let mut hint = match origin {
        _ if in_spec == origin => format!("leave out --{flag}"),
        Origin::Host => format!("--{flag} host"),
        Origin::Own | Origin::External => format!("--{flag} private"),
    };
    if kind == "network" && origin == Origin::Own {
        hint.push_str(", and run netstatus apply --netns /proc/PID/ns/net after the restore");
    }
    if recorded.is_none() && matches!(kind, "network" | "pid") {
        hint.push_str("; --images DIR finds namespaces that were dumped as external");
    }
    hint
}
