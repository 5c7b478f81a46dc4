//! Collects the annotations of an OCI image: facts about the container and about the host on which
//! it was dumped.

use std::collections::BTreeMap;

use checkpoint::config_dump::ConfigDump;
use checkpoint::host::Host;
use checkpoint::oci::{Description, Family, annotations, facts, has_family};
use checkpoint::spec_dump::SpecDump;
use cli::Hint;
use tartree::Timestamp;

use crate::args::{ExtraFamily, Image};

/// The annotations in spec.dump that describe the pod: first the annotations of CRI-O and the
/// kubelet, then containerd's.
const POD: [(&str, &[&str]); 4] = [
    ("pod.name", &["io.kubernetes.pod.name", "io.kubernetes.cri.sandbox-name"]),
    ("pod.namespace", &["io.kubernetes.pod.namespace", "io.kubernetes.cri.sandbox-namespace"]),
    ("pod.id", &["io.kubernetes.cri-o.SandboxID", "io.kubernetes.cri.sandbox-id"]),
    ("pod.uid", &["io.kubernetes.pod.uid", "io.kubernetes.cri.sandbox-uid"]),
];

/// What is known about the dump besides its documents.
pub struct Origin {
    /// Facts about the host, by their names in `oci::ANNOTATIONS`.
    facts: Vec<(&'static str, String)>,
    /// The annotations of the image that contained the checkpoint.
    annotations: BTreeMap<String, String>,
    /// The architecture of the processes (GOARCH).
    architecture: String,
}

/// Checks that the program of `--criu` prints its version, which an image is annotated with.
///
/// # Errors
/// Returns an error that names the program.
pub fn check_criu(program: Option<&str>) -> anyhow::Result<()> {
    let Some(program) = program else { return Ok(()) };
    if Host::ask(program, None).facts.iter().any(|(name, _)| *name == "criu.version") {
        return Ok(());
    }
    let e = anyhow::anyhow!("--criu {program}: expected CRIU, found no program that prints its version");
    Err(Hint::on(e, "leave out --criu, or name another program"))
}

impl Origin {
    /// Describes a container that was dumped on this host by `criu` and `runtime`.
    pub fn host(config: &ConfigDump, criu: Option<&str>, runtime: Option<&str>) -> Origin {
        let named = config.text("runtime").unwrap_or("runc");
        // A bundle may come from another host. A program that its config.dump names is run only if
        // it is runc or crun.
        let trusted = runtime.or_else(|| ["runc", "crun"].into_iter().find(|known| *known == named));
        Origin {
            facts: Host::ask(criu.unwrap_or("criu"), trusted).facts,
            annotations: BTreeMap::new(),
            architecture: checkpoint::architecture().into(),
        }
    }

    /// Describes a container that was dumped on an unknown host, and that was in an image with
    /// `annotations` if there are any. `architecture` is that of CRIU's images.
    pub fn archive(annotations: BTreeMap<String, String>, architecture: Option<&'static str>) -> Origin {
        let mut facts = facts(&annotations);
        facts.extend(architecture.map(|architecture| ("host.arch", architecture.to_owned())));
        let architecture = architecture.unwrap_or_else(checkpoint::architecture).into();
        Origin { facts, annotations, architecture }
    }
}

/// Returns the image's annotations, tag, architecture and time.
pub fn describe(
    config: &ConfigDump,
    spec: &SpecDump,
    image: &Image,
    origin: Origin,
    time: Timestamp,
) -> Description {
    let mut facts = origin.facts;
    let mut add = |fact, value: Option<&str>| facts.extend(value.map(|value| (fact, value.to_owned())));
    add("engine.name", Some(spec.engine().name()));
    add("container.name", config.text("name"));
    add("rootfsImageID", config.text("rootfsImageID"));
    add("rootfsImageName", config.text("rootfsImageName"));
    add("rawImageName", config.text("RawImageName").or(config.text("rootfsImageName")));
    add("runtime.name", Some(config.text("runtime").unwrap_or("runc")));
    for (fact, keys) in POD {
        add(fact, keys.iter().find_map(|key| spec.annotation(key)));
    }
    let for_cri_o =
        image.annotations == Some(ExtraFamily::CriO) || has_family(&origin.annotations, Family::CriO);
    let mut all = origin.annotations;
    for (fact, value) in facts {
        let names = annotations(fact).filter(|(family, _)| *family != Family::CriO || for_cri_o);
        all.extend(names.map(|(_, name)| (name, value.clone())));
    }
    all.extend(image.annotation.iter().cloned());
    Description {
        annotations: all,
        tag: image.tag.clone(),
        architecture: origin.architecture,
        time: Timestamp { nsec: 0, ..time },
    }
}
