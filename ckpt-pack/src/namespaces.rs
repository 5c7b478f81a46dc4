//! Compares the namespaces in CRIU's images with the spec and the packed members, and warns of what a
//! restore will not do as the user may expect.

use std::path::Path;

use anyhow::Context;
use checkpoint::root_process::{self, Namespace, Origin, RootProcess};
use checkpoint::spec_dump::SpecDump;
use cli::Session;

/// How CRIU dumped the network namespace, if the images say so.
pub struct Namespaces {
    network: Option<Origin>,
}

impl Namespaces {
    /// Reads the images in `dir`. Warns if CRIU needs a namespace by path that the spec does not
    /// have.
    ///
    /// # Errors
    /// Returns an error if an image is damaged.
    pub fn read(dir: &Path, spec: &SpecDump, session: &Session) -> anyhow::Result<Namespaces> {
        let object = cli::display_path(dir);
        let read = root_process::reader(dir).with_context(|| object.clone())?;
        let Some(mut process) = RootProcess::find(read).with_context(|| object.clone())? else {
            return Ok(Namespaces { network: None });
        };
        for namespace in [Namespace::Network, Namespace::Pid] {
            let origin = process.origin(namespace).with_context(|| object.clone())?;
            let kind = namespace.kind();
            let has_path = spec.namespaces().iter().any(|(name, path)| *name == kind && path.is_some());
            if origin == Some(Origin::External) && !has_path {
                session.warn(format_args!(
                    "{object}: CRIU dumped the {kind} namespace as external, but it has no path in the spec: restore with spec-gen --images DIR --{kind} ns:PATH"
                ));
            }
        }
        Ok(Namespaces { network: process.origin(Namespace::Network).with_context(|| object)? })
    }

    /// Warns that a restore will not use the packed network.status, if that is so.
    pub fn warn_of_network(&self, dir: &Path, session: &Session) {
        if self.network == Some(Origin::Own) {
            session.warn(format_args!(
                "{}: CRIU dumped the network namespace with the container and will restore it without the network in network.status: after the restore, run netstatus apply --netns /proc/PID/ns/net",
                cli::display_path(dir)
            ));
        }
    }
}
