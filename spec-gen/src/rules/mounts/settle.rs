//! Orders the mounts, and applies the rules that depend on the complete list.

use serde_json::{Value, json};

use crate::input::rootfs::Rootfs;
use crate::job::Job;
use crate::path;
use crate::runtime_spec::key;
use crate::runtime_spec::{Spec, mounts};

/// Applies the rules that depend on the complete list of mounts.
pub fn apply(job: &mut Job<'_>) -> anyhow::Result<()> {
    for destination in resolve_tmpfs(&mut job.spec, &job.rootfs)? {
        job.session.warn(format_args!(
            "{destination}: two tmpfs mounts have this destination; only the later mount is kept"
        ));
    }
    job.trace.because(&job.spec, || "links in the destinations of tmpfs mounts".into());
    sort(&mut job.spec);
    job.trace.because(&job.spec, || "parents are mounted before children".into());
    root_propagation(&mut job.spec);
    job.trace.because(&job.spec, || "mount propagation".into());
    Ok(())
}

/// Resolves symbolic links in the destinations of tmpfs mounts, as podman does: `--tmpfs /var/run`
/// in an image whose /var/run is a link to /run.
///
/// This comes before [`sort`]. podman resolves afterwards, so that a resolved destination can
/// precede its parent.
fn resolve_tmpfs(spec: &mut Spec, rootfs: &Rootfs) -> anyhow::Result<Vec<String>> {
    let mut dropped = Vec::new();
    if !spec.mounts().iter().any(|m| mounts::kind(m) == "tmpfs") {
        return Ok(dropped);
    }
    for mount in spec.mounts_mut().iter_mut().filter(|m| mounts::kind(m) == "tmpfs") {
        let resolved = rootfs.resolve(mounts::destination(mount))?;
        if resolved != path::clean(mounts::destination(mount)) {
            mount["destination"] = json!(resolved);
        }
    }
    // Two destinations may have become equal. The later mount would hide the earlier mount.
    let mounts = spec.mounts_mut();
    for i in (0..mounts.len()).rev() {
        let hidden = mounts::kind(&mounts[i]) == "tmpfs"
            && mounts[i + 1..].iter().any(|m| {
                mounts::kind(m) == "tmpfs"
                    && path::clean(mounts::destination(m)) == path::clean(mounts::destination(&mounts[i]))
            });
        if hidden {
            dropped.push(mounts::destination(&mounts.remove(i)).to_owned());
        }
    }
    dropped.reverse();
    Ok(dropped)
}

/// Sorts parents before children. Mounts of equal depth keep their order.
///
/// podman up to 5.5 sorts unstably and gives `/` the same depth as `/proc` (podman#26161).
pub fn sort(spec: &mut Spec) {
    let depth = |m: &Value| match path::clean(mounts::destination(m)).as_str() {
        "/" => 0,
        path => path.matches('/').count(),
    };
    if !spec.mounts().is_empty() {
        spec.mounts_mut().sort_by_key(depth);
    }
}

/// Sets the propagation of the root: a mount with `shared` or `slave` propagation needs a root file
/// system that allows it.
fn root_propagation(spec: &mut Spec) {
    let mut found = None;
    for option in spec.mounts().iter().flat_map(mounts::options) {
        match (option, found) {
            ("shared" | "rshared", _) => found = Some("shared"),
            ("slave" | "rslave", None) => found = Some("rslave"),
            _ => {}
        }
    }
    if let Some(propagation) = found {
        spec.set(key::LINUX_ROOTFS_PROPAGATION, propagation);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(destinations: &[&str]) -> Spec {
        let mounts: Vec<Value> =
            destinations.iter().map(|d| json!({ "destination": d, "type": "tmpfs" })).collect();
        Spec::new(json!({ "mounts": mounts }))
    }

    fn destinations(spec: &Spec) -> Vec<&str> {
        spec.mounts().iter().map(mounts::destination).collect()
    }

    #[test]
    fn mounts_are_sorted_stably_by_depth() {
        let mut spec = spec(&["/sys/fs/cgroup", "/z/", "/a/b", "/a", "/", "/proc"]);
        sort(&mut spec);
        assert_eq!(destinations(&spec), ["/", "/z/", "/a", "/proc", "/a/b", "/sys/fs/cgroup"]);
    }

    #[test]
    fn the_strongest_propagation_applies_to_the_root() {
        #[rustfmt::skip]
        let cases = [
            (vec!["rslave", "rshared"], Some("shared")), (vec!["shared", "slave"], Some("shared")),
            (vec!["slave"], Some("rslave")), (vec!["rprivate", "unbindable"], None),
        ];
        for (options, propagation) in cases {
            let mut spec = Spec::new(json!({"mounts": [{"destination": "/x", "options": options}]}));
            root_propagation(&mut spec);
            assert_eq!(spec.text(key::LINUX_ROOTFS_PROPAGATION), propagation);
        }
    }

    #[test]
    fn only_a_tmpfs_below_another_tmpfs_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("var")).unwrap();
        std::fs::create_dir(dir.path().join("run")).unwrap();
        std::os::unix::fs::symlink("/run", dir.path().join("var/run")).unwrap();
        let rootfs = Rootfs::probe(dir.path());
        // The mounts, the destinations that are left, and those that are dropped.
        type Case<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str], &'a [&'a str]);
        #[rustfmt::skip]
        let cases: [Case; 5] = [
            (&[("tmpfs", "/run"), ("tmpfs", "/var/run")], &["/run"], &["/run"]),
            (&[("tmpfs", "/run/"), ("bind", "/run")], &["/run/", "/run"], &[]),
            (&[("bind", "/run"), ("tmpfs", "/var/run")], &["/run", "/run"], &[]),
            (&[("bind", "/run"), ("bind", "/run")], &["/run", "/run"], &[]),
            (&[("tmpfs", "/var/run"), ("bind", "/var/run"), ("tmpfs", "/a")], &["/run", "/var/run", "/a"], &[]),
        ];
        for (mounts, expected, dropped) in cases {
            let list: Vec<Value> =
                mounts.iter().map(|(kind, path)| json!({"destination": path, "type": kind})).collect();
            let mut spec = Spec::new(json!({"mounts": list}));
            assert_eq!(resolve_tmpfs(&mut spec, &rootfs).unwrap(), dropped, "{mounts:?}");
            assert_eq!(destinations(&spec), expected, "{mounts:?}");
        }
    }
}
