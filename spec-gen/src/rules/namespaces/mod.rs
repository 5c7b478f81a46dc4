//! The namespaces of the container: new namespaces, the host's, or another container's.

pub mod hostname;
pub mod id_maps;
pub mod keep_id;
pub mod modes;
pub mod namespace_flags;
pub mod own_ids;
pub mod subordinate_ids;

use serde_json::json;

use crate::job::Job;
use crate::notation::namespace::Peer;
use crate::runtime_spec::id_map::IdMap;
use crate::runtime_spec::key;
use crate::runtime_spec::namespaces;

/// Adds the network namespace that the container engine creates.
pub fn set_network(job: &mut Job<'_>) {
    if job.container.create_netns {
        let path = Some(job.container.netns.as_str()).filter(|p| !p.is_empty() && !job.container.late_netns);
        namespaces::set(&mut job.spec, "network", path);
        job.trace.because(&job.spec, || "network namespace of the container engine".into());
    }
}

/// Joins the namespaces of the containers that the config names.
pub fn share(job: &mut Job<'_>) -> anyhow::Result<()> {
    for (kind, id) in job.container.shared.clone() {
        let peer = Peer::find(&id, &job.args.namespaces.container_pid)?;
        namespaces::set(&mut job.spec, kind, Some(&namespaces::of_process(peer.pid, kind)));
        // Runtimes require mappings with a user namespace. The mappings of the owning container are
        // used.
        if kind == "user" && job.spec.list(key::LINUX_UID_MAPPINGS).is_empty() {
            let one = IdMap { container: 0, host: 0, size: 1 }.to_value();
            job.spec.set(key::LINUX_UID_MAPPINGS, json!([one]));
            job.spec.set(key::LINUX_GID_MAPPINGS, json!([one]));
        }
        job.trace.because(&job.spec, || format!("{kind} namespace of container {id}"));
    }
    Ok(())
}
