//! Determines the container's path in the cgroup hierarchy of the host.

use anyhow::{Context, bail};
use cli::usage;

use crate::input::container::Container;
use crate::job::Job;
use crate::runtime_spec::key;

/// Sets the cgroup path: the given path, or a path made from ID, parent and cgroup manager.
///
/// # Errors
/// Returns an error if these values are invalid.
pub fn set(job: &mut Job<'_>) -> anyhow::Result<()> {
    let args = &job.args.cgroups;
    let made = job.container.is_libpod
        || args.cgroup_manager.is_some()
        || args.cgroup_parent.is_some()
        || args.cgroups.is_some();
    let path = match &args.cgroups_path {
        Some(path) => Some(path.clone()).filter(|p| !p.is_empty()),
        None if made => {
            let path = path(&job.container);
            if job.container.is_libpod { path.with_context(|| job.name.clone())? } else { path? }
        }
        None => {
            let (old, id) = (job.spec.text(key::LINUX_CGROUPS_PATH), job.args.input.id.as_deref());
            match old.zip(id).and_then(|(old, id)| with_id(old, id)) {
                Some(path) => Some(path),
                None => return Ok(()),
            }
        }
    };
    match path {
        Some(path) => job.spec.set(key::LINUX_CGROUPS_PATH, path),
        None => {
            job.spec.remove(key::LINUX_CGROUPS_PATH);
        }
    }
    job.trace.because(&job.spec, || "cgroup path".into());
    Ok(())
}

/// libpod's default parent.
const DEFAULT_PARENT: &str = "/libpod_parent";

/// Returns the cgroup path, or `None` if the runtime chooses it or creates none.
///
/// # Errors
/// Returns an error if the cgroup manager is unknown, or the parent for systemd is not a slice.
fn path(container: &Container) -> anyhow::Result<Option<String>> {
    let (parent, id) = (container.cgroup_parent.as_str(), container.id.as_str());
    // A value from a flag is an error of usage, a value from a config is not.
    let wrong = |key: &str, flag: &str, why: String| {
        if container.is_libpod { anyhow::anyhow!("{key}: {why}") } else { usage(format!("{flag}: {why}")) }
    };
    match container.cgroups_mode.as_str() {
        "disabled" => return Ok(None),
        "split" => return split(id).map(Some),
        "" | "enabled" | "no-conmon" => {}
        other => {
            let why = format!("{other:?} is not one of enabled, disabled, no-conmon, split");
            return Err(wrong("cgroupsMode", "--cgroups", why));
        }
    }
    if id.is_empty() {
        return Err(wrong("id", "--id", "missing, and the cgroup path needs the container ID".into()));
    }
    match container.cgroup_manager.as_str() {
        "systemd" => {
            let slice = parent.rsplit('/').next().unwrap_or_default();
            let slice = if slice.is_empty() { "machine.slice" } else { slice };
            if !slice.ends_with(".slice") {
                let why = format!("{parent}: systemd requires the name of a slice, ending in .slice");
                return Err(wrong("cgroupParent", "--cgroup-parent", why));
            }
            Ok(Some(format!("{slice}:libpod:{id}")))
        }
        // An ordinary user owns no cgroup in which libpod could create one, unless the flag names
        // it.
        "" | "cgroupfs" if container.rootless && is_default(parent) => Ok(None),
        "" | "cgroupfs" => {
            let parent = if parent.is_empty() { DEFAULT_PARENT } else { parent };
            Ok(Some(format!("{}/libpod-{id}", parent.trim_end_matches('/'))))
        }
        other => {
            let why = format!("{other:?} is not one of cgroupfs, systemd");
            Err(wrong("cgroupManager", "--cgroup-manager", why))
        }
    }
}

/// Reports whether a parent is libpod's default parent, or a pod's parent below it.
fn is_default(parent: &str) -> bool {
    let parent = parent.trim_end_matches('/');
    let above = parent.rsplit_once('/').map_or("", |(above, _)| above);
    parent.is_empty() || parent == DEFAULT_PARENT || above == DEFAULT_PARENT
}

/// The parents, with the prefix of the container ID, that engines use on every host unless they are
/// configured otherwise: podman, Docker and nerdctl with cgroupfs and with systemd. A pod's parent
/// below kubepods is none of them: the kubelet kills the processes in cgroups of pods that it does
/// not know.
const DEFAULT_PREFIXES: [&str; 5] = [
    "/libpod_parent/libpod-",
    "machine.slice:libpod:",
    "/docker/",
    "system.slice:docker:",
    "system.slice:nerdctl:",
];

/// The parents that containerd names after its namespaces: those of ctr and nerdctl, and of the CRI.
/// The name of a container in them is any text.
const NAMESPACES: [&str; 2] = ["/default/", "/k8s.io/"];

/// Reports whether an engine made `path` for a container below its default parent, which every host
/// with that engine has.
pub fn is_default_path(path: &str) -> bool {
    let parent = with_id(path, "");
    parent.is_some_and(|parent| DEFAULT_PREFIXES.iter().chain(&NAMESPACES).any(|prefix| parent == *prefix))
}

/// Replaces the container ID in a path that an engine made. Keeps parent, manager and form.
fn with_id(path: &str, id: &str) -> Option<String> {
    let name = path.rsplit(['/', ':']).next().unwrap_or_default();
    let parent = &path[..path.len() - name.len()];
    // podman and CRI-O put their name before the ID in cgroupfs.
    let prefix = ["libpod-", "crio-"].into_iter().find(|prefix| name.starts_with(prefix)).unwrap_or_default();
    let old = &name[prefix.len()..];
    let is_id = old.len() == 64 && old.bytes().all(|b| b.is_ascii_hexdigit());
    if NAMESPACES.contains(&parent) && !matches!(name, "" | "." | "..") {
        return Some(format!("{parent}{id}"));
    }
    is_id.then(|| format!("{parent}{prefix}{id}"))
}

/// Returns a path next to the cgroup of spec-gen, which is the unit of the caller.
fn split(id: &str) -> anyhow::Result<String> {
    let text = std::fs::read_to_string("/proc/self/cgroup")?;
    match own(&text) {
        Some(own) => Ok(format!("{}/libpod-payload-{id}", own.trim_end_matches('/'))),
        None => bail!("could not find cgroup mount in \"/proc/self/cgroup\""),
    }
}

/// Returns the path in the unified hierarchy, or else the longest path. The root cgroup does not
/// count.
fn own(text: &str) -> Option<&str> {
    let paths = || text.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    let unified = text.lines().find_map(|line| line.strip_prefix("0::"));
    let longest = || paths().max_by_key(|path| path.len());
    unified.filter(|p| *p != "/").or_else(longest).filter(|p| *p != "/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_has_the_form_of_the_cgroup_manager() {
        #[rustfmt::skip]
        let cases = [
            ("cgroupfs", "/libpod_parent", "enabled", Some("/libpod_parent/libpod-ID")),
            ("cgroupfs", "", "", Some("/libpod_parent/libpod-ID")),
            ("", "/foo/", "no-conmon", Some("/foo/libpod-ID")),
            ("systemd", "machine.slice", "enabled", Some("machine.slice:libpod:ID")),
            ("systemd", "", "enabled", Some("machine.slice:libpod:ID")),
            ("systemd", "/a/my-foo.slice", "enabled", Some("my-foo.slice:libpod:ID")),
            ("systemd", "foo", "disabled", None),
        ];
        for (manager, parent, mode, expected) in cases {
            let container = Container {
                id: "ID".into(),
                cgroup_manager: manager.into(),
                cgroup_parent: parent.into(),
                cgroups_mode: mode.into(),
                ..Container::default()
            };
            assert_eq!(path(&container).unwrap().as_deref(), expected, "{manager} {parent}");
        }
        for (manager, parent, mode) in [("systemd", "foo", ""), ("lxc", "", ""), ("cgroupfs", "", "some")] {
            let container = Container {
                id: "ID".into(),
                cgroup_manager: manager.into(),
                cgroup_parent: parent.into(),
                cgroups_mode: mode.into(),
                ..Container::default()
            };
            assert!(path(&container).is_err(), "{manager} {parent} {mode}");
        }
    }

    #[test]
    fn a_new_id_keeps_the_parent_and_the_form_of_the_path() {
        let old = "ab".repeat(32);
        #[rustfmt::skip]
        let cases = [
            (format!("/p/libpod-{old}"), Some("/p/libpod-NEW")),
            (format!("my-foo.slice:libpod:{old}"), Some("my-foo.slice:libpod:NEW")),
            (format!("/docker/{old}"), Some("/docker/NEW")),
            (format!("/p/{old}"), Some("/p/NEW")),
            (format!("system.slice:docker:{old}"), Some("system.slice:docker:NEW")),
            (format!("/kubepods/burstable/pod1/crio-{old}"), Some("/kubepods/burstable/pod1/crio-NEW")),
            (format!("kubepods-pod1.slice:cri-containerd:{old}"), Some("kubepods-pod1.slice:cri-containerd:NEW")),
            (format!("/k8s.io/{old}"), Some("/k8s.io/NEW")),
            ("/default/web".to_owned(), Some("/default/NEW")),
            ("/p/libpod-web".to_owned(), None),
            ("/docker/web".to_owned(), None),
            ("/default/..".to_owned(), None),
            ("/default/".to_owned(), None),
            ("/web".to_owned(), None),
            (String::new(), None),
        ];
        for (path, expected) in cases {
            assert_eq!(with_id(&path, "NEW").as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn only_default_parents_are_the_same_on_every_host() {
        let id = "ab".repeat(32);
        for (path, expected) in [
            (format!("/libpod_parent/libpod-{id}"), true),
            (format!("machine.slice:libpod:{id}"), true),
            (format!("/libpod_parent/../libpod-{id}"), false),
            (format!("/libpod_parent/libpod-{id}/libpod-{id}"), false),
            (format!("/system.slice/sshd.service/libpod-{id}"), false),
            (format!("system.slice:libpod:{id}"), false),
            (format!("/docker/{id}"), true),
            (format!("system.slice:docker:{id}"), true),
            (format!("system.slice:nerdctl:{id}"), true),
            (format!("/k8s.io/{id}"), true),
            ("/default/web".into(), true),
            ("/default/../web".into(), false),
            (format!("system.slice/docker/{id}"), false),
            (format!("system.slice:sshd:{id}"), false),
            (format!("/docker/libpod-{id}"), false),
            (format!("/kubepods/besteffort/pod1/{id}"), false),
            ("/docker/web".into(), false),
            ("/libpod_parent/libpod-web".into(), false),
            ("/".into(), false),
        ] {
            assert_eq!(is_default_path(&path), expected, "{path}");
        }
    }

    #[test]
    fn the_current_cgroup_is_the_unified_or_the_longest_path() {
        assert_eq!(own("0::/user.slice/x\n"), Some("/user.slice/x"));
        assert_eq!(own("2:cpu:/a\n1:name=systemd:/a/bb\n0::/\n"), Some("/a/bb"));
        assert_eq!(own("1:cpu:/\n0::/\n"), None);
    }
}
