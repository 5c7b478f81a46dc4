//! Systemd mode: the mounts that systemd needs as the first process of the container.

use anyhow::bail;
use nix::errno::Errno;
use nix::sys::statvfs::{FsFlags, statvfs};
use serde_json::json;

use crate::input::cgroup_version::CgroupVersion;
use crate::input::container::Container;
use crate::runtime_spec::key;
use crate::runtime_spec::mounts::{self, Mount};
use crate::runtime_spec::{Spec, env, namespaces};

/// The tmpfs mounts that systemd needs, in podman's order.
const TMPFS: [&str; 4] = ["/run", "/run/lock", "/tmp", "/var/log/journal"];

/// systemd's named hierarchy on cgroup v1.
const HIERARCHY: &str = "/sys/fs/cgroup/systemd";

/// The state of systemd's hierarchy on the host on which the container starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hierarchy {
    /// It is mounted with these options. A bind mount by an ordinary user must keep them, or the
    /// kernel rejects it.
    Mounted(Vec<&'static str>),
    /// The host has none.
    Absent,
}

impl Hierarchy {
    /// Reads the state from this host. If it cannot be read, returns all options, as podman does.
    pub fn of_host() -> Hierarchy {
        match statvfs(HIERARCHY) {
            Ok(status) => Hierarchy::Mounted(mount_options(status.flags())),
            Err(Errno::ENOENT) => Hierarchy::Absent,
            Err(_) => Hierarchy::Mounted(vec!["nodev", "noexec", "nosuid"]),
        }
    }
}

fn mount_options(flags: FsFlags) -> Vec<&'static str> {
    let all = [
        (FsFlags::ST_NODEV, "nodev"),
        (FsFlags::ST_NOEXEC, "noexec"),
        (FsFlags::ST_NOSUID, "nosuid"),
        (FsFlags::ST_RDONLY, "ro"),
    ];
    all.into_iter().filter(|(flag, _)| flags.contains(*flag)).map(|(_, option)| option).collect()
}

/// Prepares the spec for systemd. `hierarchy` is used on cgroup v1.
///
/// # Errors
/// Returns an error on cgroup v1 with a cgroup namespace, in which systemd's hierarchy cannot be
/// mounted.
pub fn apply(
    spec: &mut Spec,
    container: &Container,
    cgroups: CgroupVersion,
    hierarchy: &Hierarchy,
) -> anyhow::Result<()> {
    if !container.id.is_empty() {
        let uuid: String = container.id.chars().take(32).collect();
        env::set_default(spec, "container_uuid", &uuid);
    }
    for destination in TMPFS {
        if mounts::find(spec, destination).is_none() {
            let mut options = vec!["rw", "rprivate", "nosuid", "nodev", "tmpcopyup"];
            let size = format!("size={}", container.shm_size_systemd);
            if container.shm_size_systemd != 0 {
                options.push(&size);
            }
            spec.mounts_mut().push(json!({
                "destination": destination, "type": "tmpfs", "source": "tmpfs", "options": options
            }));
        }
    }
    match cgroups {
        CgroupVersion::V2 => unified(spec),
        CgroupVersion::V1 => named_hierarchy(spec, hierarchy)?,
    }
    Ok(())
}

/// cgroup v2: makes the container's own tree writable.
fn unified(spec: &mut Spec) {
    mounts::remove(spec, "/sys/fs/cgroup");
    let mount = if namespaces::find(spec, "cgroup").is_some() {
        Mount {
            destination: "/sys/fs/cgroup".into(),
            kind: "cgroup".into(),
            source: "cgroup".into(),
            options: vec!["private".into(), "rw".into()],
        }
    } else {
        Mount::bind("/sys/fs/cgroup", "/sys/fs/cgroup", &["bind", "private", "rw"])
    };
    spec.mounts_mut().push(mount.to_value());
}

/// cgroup v1: binds systemd's named hierarchy. `release_agent` in it names a program that the
/// kernel starts as root on the host.
fn named_hierarchy(spec: &mut Spec, hierarchy: &Hierarchy) -> anyhow::Result<()> {
    let has_mount = mounts::find(spec, HIERARCHY).is_some();
    if namespaces::find(spec, "cgroup").is_some() {
        if has_mount {
            return Ok(());
        }
        bail!("cgroup namespace is not supported with cgroup v1 and systemd mode");
    }
    if let (false, Hierarchy::Mounted(more)) = (has_mount, hierarchy) {
        let options = [&["bind", "rprivate"], &more[..]].concat();
        spec.mounts_mut().push(Mount::bind(HIERARCHY, HIERARCHY, &options).to_value());
    }
    let agent = json!("/sys/fs/cgroup/systemd/release_agent");
    let masked = spec.list_mut(key::LINUX_MASKED_PATHS);
    if !masked.contains(&agent) {
        masked.push(agent);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn cgroup_mounts(spec: &Spec) -> Vec<&Value> {
        spec.mounts().iter().filter(|m| mounts::destination(m).starts_with("/sys/fs/cgroup")).collect()
    }

    #[test]
    fn cgroup_v2_replaces_the_read_only_cgroup_mount() {
        let old = json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "options": ["ro"]});
        for (namespaces, kind, options) in [
            (json!([{"type": "cgroup"}]), "cgroup", json!(["private", "rw"])),
            (json!([]), "bind", json!(["bind", "private", "rw"])),
        ] {
            let mut spec = Spec::new(json!({"mounts": [old], "linux": {"namespaces": namespaces}}));
            apply(&mut spec, &Container::default(), CgroupVersion::V2, &Hierarchy::Absent).unwrap();
            let mounts = cgroup_mounts(&spec);
            assert_eq!(mounts.len(), 1);
            assert_eq!((mounts::kind(mounts[0]), &mounts[0]["options"]), (kind, &options));
        }
    }

    #[test]
    fn cgroup_v1_mounts_name_systemd_and_masks_release_agent() {
        let mut spec = Spec::new(json!({"mounts": [{"destination": "/run", "type": "bind"}]}));
        let container =
            Container { shm_size_systemd: 10_485_760, id: "ab".repeat(32), ..Container::default() };
        apply(&mut spec, &container, CgroupVersion::V1, &Hierarchy::Mounted(vec![])).unwrap();
        assert_eq!(spec.mounts().len(), 5);
        assert_eq!(spec.mounts()[1]["options"][5], "size=10485760");
        assert_eq!(spec.texts(key::LINUX_MASKED_PATHS), ["/sys/fs/cgroup/systemd/release_agent"]);
        assert_eq!(spec.texts(key::PROCESS_ENV), ["container_uuid=abababababababababababababababab"]);
        let mut spec = Spec::new(json!({"linux": {"namespaces": [{"type": "cgroup"}]}}));
        assert!(apply(&mut spec, &Container::default(), CgroupVersion::V1, &Hierarchy::Absent).is_err());
    }

    #[test]
    fn a_bind_mounted_hierarchy_keeps_the_hosts_mount_flags() {
        for (hierarchy, options) in [
            (Hierarchy::Mounted(vec![]), Some(json!(["bind", "rprivate"]))),
            (Hierarchy::Mounted(vec!["nodev", "ro"]), Some(json!(["bind", "rprivate", "nodev", "ro"]))),
            (Hierarchy::Absent, None),
        ] {
            let mut spec = Spec::new(json!({}));
            apply(&mut spec, &Container::default(), CgroupVersion::V1, &hierarchy).unwrap();
            assert_eq!(cgroup_mounts(&spec).first().map(|m| m["options"].clone()), options, "{hierarchy:?}");
        }
        assert_eq!(mount_options(FsFlags::ST_NOSUID | FsFlags::ST_NODEV), ["nodev", "nosuid"]);
        assert_eq!(mount_options(FsFlags::all()), ["nodev", "noexec", "nosuid", "ro"]);
    }
}
