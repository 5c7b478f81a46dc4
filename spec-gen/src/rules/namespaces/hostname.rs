//! The host name and domain name of the container.

use cli::{Hint, usage};

use crate::args::NamespaceArgs;
use crate::job::Job;
use crate::notation::namespace::Peer;
use crate::runtime_spec::key;
use crate::runtime_spec::{Spec, env, namespaces};

/// Sets the host name and HOSTNAME: the container's own name, or the name of the container or host
/// whose UTS namespace it shares.
pub fn set(job: &mut Job<'_>) -> anyhow::Result<()> {
    apply_flags(&mut job.spec, &job.args.namespaces)?;
    job.trace.because(&job.spec, || "--hostname".into());
    if !job.container.is_libpod {
        return Ok(());
    }
    let uts = namespaces::find(&job.spec, "uts");
    let is_own = uts.is_some_and(|n| namespaces::path(n).is_none());
    let shared = job.container.shared.iter().find(|(kind, _)| *kind == "uts");
    let name = if let Some((_, id)) = shared {
        let peer = Peer::find(id, &job.args.namespaces.container_pid)?;
        peer.hostname.unwrap_or_else(|| id.get(..12).unwrap_or(id).to_owned())
    } else if is_own {
        job.spec.text(key::HOSTNAME).unwrap_or_else(|| job.container.short_id()).to_owned()
    } else {
        nix::unistd::gethostname()?.to_string_lossy().into_owned()
    };
    if is_own && shared.is_none() {
        job.spec.set(key::HOSTNAME, name.as_str());
    } else {
        job.spec.remove(key::HOSTNAME);
    }
    // podman sets HOSTNAME twice if the user has set it. spec-gen keeps only the user's value.
    env::set_default(&mut job.spec, "HOSTNAME", &name);
    job.trace.because(&job.spec, || "host name".into());
    Ok(())
}

/// Sets the host name. Updates `HOSTNAME` if it held the previous host name; any other value was
/// set on purpose.
///
/// # Errors
/// Returns an error if the container has no UTS namespace of its own.
fn apply_flags(spec: &mut Spec, args: &NamespaceArgs) -> anyhow::Result<()> {
    for (key, value) in [(key::HOSTNAME, &args.hostname), (key::DOMAINNAME, &args.domainname)] {
        let Some(value) = value else { continue };
        if namespaces::find(spec, "uts").is_none_or(|n| namespaces::path(n).is_some()) {
            return Err(Hint::on(
                usage(format!("--{key} needs a UTS namespace of the container's own")),
                "add --uts private",
            ));
        }
        let generated = key == key::HOSTNAME
            && spec.text(key).is_some()
            && env::value(spec, "HOSTNAME") == spec.text(key);
        spec.set(key, value.as_str());
        if generated {
            env::set(spec, "HOSTNAME", value);
        }
    }
    Ok(())
}
