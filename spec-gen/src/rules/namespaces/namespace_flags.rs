//! The namespace flags: their modes, and the order in which they are applied.

use crate::args::NamespaceArgs;
use crate::job::Job;
use crate::notation::namespace::Mode;
use crate::notation::user_namespace::UserNs;
use crate::rules::mounts::shm;
use crate::rules::namespaces::{id_maps, modes};
use crate::runtime_spec::id_map::IdMaps;

/// Returns the namespace flags and the types that they set, in podman's order.
pub fn requested(args: &NamespaceArgs) -> Vec<(&'static str, Option<Mode>)> {
    let subids = args.subuidname.is_some() || args.subgidname.is_some();
    let own_maps = subids || !args.uidmap.is_empty() || !args.gidmap.is_empty();
    let user = args.userns.as_ref().map(UserNs::mode).or(own_maps.then_some(Mode::Private));
    let plain = [
        ("ipc", &args.ipc),
        ("network", &args.network),
        ("pid", &args.pid),
        ("uts", &args.uts),
        ("cgroup", &args.cgroupns),
        ("time", &args.time),
    ];
    std::iter::once(("user", user)).chain(plain.map(|(kind, mode)| (kind, mode.clone()))).collect()
}

/// Returns the flag that sets a namespace of this type.
pub fn name_of(kind: &str) -> &str {
    match kind {
        "user" => "userns",
        "cgroup" => "cgroupns",
        kind => kind,
    }
}

/// Applies the namespace flags and ID mappings.
///
/// # Errors
/// Returns an error if the PID of a container is not known, or if mappings and namespace contradict
/// each other.
pub fn apply(job: &mut Job<'_>) -> anyhow::Result<()> {
    let args = &job.args.namespaces;
    for (kind, mode) in requested(args) {
        let Some(mode) = mode else { continue };
        job.container.forget_namespace(kind);
        let dropped = modes::apply(&mut job.spec, kind, &mode, &args.container_pid)?;
        modes::warn_of_dropped(job.session, kind, dropped);
        match (kind, &mode) {
            ("ipc", Mode::Host) => shm::share(job),
            ("ipc", Mode::Private) => shm::unshare(job),
            ("user", Mode::Host) => job.container.id_maps = IdMaps::default(),
            _ => {}
        }
        job.trace.because(&job.spec, || format!("--{} {mode}", name_of(kind)));
    }
    id_maps::apply_flags(job)
}
