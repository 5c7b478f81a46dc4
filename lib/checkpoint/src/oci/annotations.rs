//! The annotations by which engines recognize a checkpoint image.

use std::collections::BTreeMap;

/// The engines that recognize a checkpoint by the same annotations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `io.podman.annotations.checkpoint.…`. Without these annotations podman treats the image as
    /// an ordinary image.
    Podman,
    /// `io.kubernetes.cri-o.annotations.checkpoint.…`.
    CriO,
    /// `org.criu.checkpoint.…`: checkpointctl, and containerd 2.1 to 2.3.
    Criu,
}

const FAMILIES: [(Family, &str); 3] = [
    (Family::Podman, "io.podman.annotations.checkpoint."),
    (Family::CriO, "io.kubernetes.cri-o.annotations.checkpoint."),
    (Family::Criu, "org.criu.checkpoint."),
];

/// The facts about the container and the host, each with the name of its annotation in each family,
/// without the prefix.
pub const ANNOTATIONS: [(&str, [Option<&str>; 3]); 19] = [
    // Sources: podman pkg/annotations, CRI-O internal/annotations, checkpoint-restore checkpointctl
    // lib/metadata.go.
    ("engine.name", [None, None, Some("engine.name")]),
    ("container.name", [Some("name"), Some("name"), Some("container.name")]),
    ("rawImageName", [Some("rawImageName"), Some("rawImageName"), Some("rootfsImageUserRequested")]),
    ("rootfsImageID", [Some("rootfsImageID"), Some("rootfsImageID"), Some("rootfsImageID")]),
    ("rootfsImageName", [Some("rootfsImageName"), Some("rootfsImageName"), Some("rootfsImageName")]),
    ("podman.version", [Some("podman.version"), None, None]),
    ("criu.version", [Some("criu.version"), Some("criu.version"), Some("criu.version")]),
    ("runtime.name", [Some("runtime.name"), None, Some("runtime.name")]),
    ("runtime.version", [Some("runtime.version"), None, Some("runtime.version")]),
    ("conmon.version", [Some("conmon.version"), None, Some("conmon.version")]),
    ("host.arch", [Some("host.arch"), None, Some("host.arch")]),
    ("host.kernel", [Some("host.kernel"), None, Some("host.kernel")]),
    ("cgroups.version", [Some("cgroups.version"), None, Some("cgroup.version")]),
    ("distribution.version", [Some("distribution.version"), None, Some("distribution.version")]),
    ("distribution.name", [Some("distribution.name"), None, Some("distribution.name")]),
    ("pod.name", [None, None, Some("pod.name")]),
    ("pod.namespace", [None, None, Some("pod.namespace")]),
    ("pod.id", [None, None, Some("pod.id")]),
    ("pod.uid", [None, None, Some("pod.uid")]),
];

/// Returns the annotations for `fact`, a name in [`ANNOTATIONS`], with their families.
pub fn annotations(fact: &str) -> impl Iterator<Item = (Family, String)> {
    let names = ANNOTATIONS.iter().find(|(name, _)| *name == fact).map_or([None; 3], |(_, names)| *names);
    FAMILIES
        .into_iter()
        .zip(names)
        .filter_map(|((family, prefix), name)| Some((family, format!("{prefix}{}", name?))))
}

/// Returns the facts in the annotations of an image.
pub fn facts(of_image: &BTreeMap<String, String>) -> Vec<(&'static str, String)> {
    let value = |fact| annotations(fact).find_map(|(_, name)| of_image.get(&name).cloned());
    ANNOTATIONS.iter().filter_map(|(fact, _)| Some((*fact, value(fact)?))).collect()
}

/// Returns whether an image has an annotation of `family`.
pub fn has_family(of_image: &BTreeMap<String, String>, family: Family) -> bool {
    let prefix = FAMILIES.iter().find(|(known, _)| *known == family).map_or("", |(_, prefix)| *prefix);
    of_image.keys().any(|name| name.starts_with(prefix))
}
