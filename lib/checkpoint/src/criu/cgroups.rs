//! The cgroups into which CRIU restores processes (cgroup.proto).

use std::collections::BTreeSet;

use prost::Message;

use super::image_file;

/// The content of `cgroup.img`.
#[derive(Clone, PartialEq, Message)]
struct CgroupEntry {
    #[prost(message, repeated, tag = "2")]
    controllers: Vec<Controllers>,
}

/// A hierarchy.
#[derive(Clone, PartialEq, Message)]
struct Controllers {
    /// The names of its controllers. The hierarchy of version 2 has one, which is empty.
    #[prost(bytes = "vec", repeated, tag = "1")]
    names: Vec<Vec<u8>>,
    #[prost(message, repeated, tag = "2")]
    cgroups: Vec<Cgroup>,
}

/// A cgroup that CRIU creates. Its children, which are not declared, are below it.
#[derive(Clone, PartialEq, Message)]
struct Cgroup {
    /// The path, without a slash at its start.
    #[prost(bytes = "vec", tag = "1")]
    path: Vec<u8>,
}

/// Returns the paths of the cgroups of version 2 in `cgroup.img`. A damaged image has none.
pub(super) fn unified(image: &[u8]) -> BTreeSet<Vec<u8>> {
    let entries: Vec<CgroupEntry> = image_file::messages("cgroup.img", image).unwrap_or_default();
    let hierarchies = entries.into_iter().flat_map(|entry| entry.controllers);
    let unified = hierarchies.filter(|hierarchy| hierarchy.names.iter().any(Vec::is_empty));
    unified.flat_map(|hierarchy| hierarchy.cgroups).map(|cgroup| [b"/", &cgroup.path[..]].concat()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_cgroups_of_version_2_are_returned() {
        let hierarchy = |name: &str, path: &str| Controllers {
            names: vec![name.into()],
            cgroups: vec![Cgroup { path: path.into() }],
        };
        let controllers = vec![hierarchy("pids", "init"), hierarchy("", "a/b")];
        let entry = CgroupEntry { controllers }.encode_to_vec();
        let head = [0x5456_4319_u32, 0x5938_3330, entry.len() as u32].map(u32::to_le_bytes).concat();
        let image = [head, entry].concat();
        assert_eq!(unified(&image), BTreeSet::from([b"/a/b".to_vec()]));
        assert_eq!(unified(&image[..20]), BTreeSet::new());
    }
}
