//! Collects the annotations of an OCI image: facts about the container and this host.

use std::collections::BTreeMap;

use checkpoint::host::Host;
use checkpoint::oci::{Description, Family, annotations};
use tartree::Timestamp;

use crate::args::{ExtraFamily, Image};
use crate::documents::Documents;

/// The annotations in spec.dump that describe the pod: first the annotations of CRI-O and the
/// kubelet, then containerd's.
const POD: [(&str, &[&str]); 4] = [
    ("pod.name", &["io.kubernetes.pod.name", "io.kubernetes.cri.sandbox-name"]),
    ("pod.namespace", &["io.kubernetes.pod.namespace", "io.kubernetes.cri.sandbox-namespace"]),
    ("pod.id", &["io.kubernetes.cri-o.SandboxID", "io.kubernetes.cri.sandbox-id"]),
    ("pod.uid", &["io.kubernetes.pod.uid", "io.kubernetes.cri.sandbox-uid"]),
];

/// Returns the image's annotations, tag, architecture and time.
pub fn describe(
    documents: &Documents,
    image: &Image,
    criu: &str,
    runtime: Option<&str>,
    time: Timestamp,
) -> Description {
    let config = &documents.config;
    let named = config.text("runtime").unwrap_or("runc");
    // A bundle may come from another host. A program that its config.dump names is run only if it
    // is runc or crun.
    let trusted = runtime.or_else(|| ["runc", "crun"].into_iter().find(|known| *known == named));
    let mut facts = Host::ask(criu, trusted).facts;
    let mut add = |fact, value: Option<&str>| facts.extend(value.map(|value| (fact, value.to_owned())));
    add("engine.name", Some(documents.spec.engine().name()));
    add("container.name", config.text("name"));
    add("rootfsImageID", config.text("rootfsImageID"));
    add("rootfsImageName", config.text("rootfsImageName"));
    add("rawImageName", config.text("RawImageName").or(config.text("rootfsImageName")));
    add("runtime.name", Some(named));
    for (fact, keys) in POD {
        add(fact, keys.iter().find_map(|key| documents.spec.annotation(key)));
    }
    let for_cri_o = image.annotations == Some(ExtraFamily::CriO);
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    for (fact, value) in facts {
        let names = annotations(fact).filter(|(family, _)| *family != Family::CriO || for_cri_o);
        all.extend(names.map(|(_, name)| (name, value.clone())));
    }
    all.extend(image.annotation.iter().cloned());
    Description {
        annotations: all,
        tag: image.tag.clone(),
        architecture: checkpoint::architecture().into(),
        created: Timestamp { nsec: 0, ..time }.to_string(),
    }
}
