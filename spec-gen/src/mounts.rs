//! The list of mounts: reading and making one, the options a manager translates, the order.

use anyhow::bail;
use serde_json::{Value, json};

use crate::rootfs::Rootfs;
use crate::spec::Spec;

/// A mount as flags and rules make one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mount {
    pub destination: String,
    pub kind: String,
    pub source: String,
    pub options: Vec<String>,
}

impl Mount {
    /// A bind mount.
    pub fn bind(source: &str, destination: &str, options: &[&str]) -> Mount {
        Mount {
            destination: destination.to_owned(),
            kind: "bind".to_owned(),
            source: source.to_owned(),
            options: options.iter().map(|o| (*o).to_owned()).collect(),
        }
    }

    /// A file of the host itself, and not a copy of the container's own: it may read it.
    pub fn host_file(source: &str, destination: &str) -> Mount {
        Mount::bind(source, destination, &["bind", "rprivate", "ro", "nosuid", "noexec", "nodev"])
    }

    /// The mount as the runtime-spec writes it; what is empty is left out.
    pub fn to_value(&self) -> Value {
        let mut mount = json!({ "destination": self.destination });
        if !self.kind.is_empty() {
            mount["type"] = json!(self.kind);
        }
        if !self.source.is_empty() {
            mount["source"] = json!(self.source);
        }
        if !self.options.is_empty() {
            mount["options"] = json!(self.options);
        }
        mount
    }
}

/// Where a mount goes, as it is written.
pub fn destination(mount: &Value) -> &str {
    mount.get("destination").and_then(Value::as_str).unwrap_or_default()
}

/// What is mounted.
pub fn source(mount: &Value) -> &str {
    mount.get("source").and_then(Value::as_str).unwrap_or_default()
}

/// The file system type as it is written; runtimes take a mount with `bind` or `rbind` for a bind mount whatever it is.
pub fn kind(mount: &Value) -> &str {
    mount.get("type").and_then(Value::as_str).unwrap_or_default()
}

/// The options.
pub fn options(mount: &Value) -> impl Iterator<Item = &str> {
    mount.get("options").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// Whether a host path stands behind the mount.
pub fn is_bind(mount: &Value) -> bool {
    kind(mount) == "bind" || options(mount).any(|o| o == "bind" || o == "rbind")
}

/// Replaces the options; an empty list removes the key, as Go's `omitempty` does.
pub fn set_options(mount: &mut Value, options: Vec<String>) {
    let Some(map) = mount.as_object_mut() else { return };
    if options.is_empty() {
        map.shift_remove("options");
    } else {
        map.insert("options".to_owned(), json!(options));
    }
}

/// The mount at `destination`, both sides cleaned: podman compares the strings and so mounts twice on `/etc/hosts/`.
pub fn find<'a>(spec: &'a Spec, destination: &str) -> Option<&'a Value> {
    let wanted = clean(destination);
    spec.mounts().iter().find(|m| clean(self::destination(m)) == wanted)
}

/// Adds a mount, or puts it in the place of the one at the same destination.
pub fn put(spec: &mut Spec, mount: &Mount) {
    put_value(spec, mount.to_value());
}

/// The same with a mount as the runtime-spec writes it.
pub fn put_value(spec: &mut Spec, value: Value) {
    let wanted = clean(destination(&value));
    match spec.mounts_mut().iter_mut().find(|m| clean(destination(m)) == wanted) {
        Some(there) => *there = value,
        None => spec.mounts_mut().push(value),
    }
}

/// Removes every mount at `destination`; whether there was one.
pub fn remove(spec: &mut Spec, destination: &str) -> bool {
    let wanted = clean(destination);
    let before = spec.mounts().len();
    if before > 0 {
        spec.mounts_mut().retain(|m| clean(self::destination(m)) != wanted);
    }
    spec.mounts().len() < before
}

/// An absolute path without `.`, `..`, double or trailing slashes, as text alone.
pub fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// Whether `path` is `dir` or lies below it.
pub fn is_below(path: &str, dir: &str) -> bool {
    let (path, dir) = (clean(path), clean(dir));
    dir == "/" || path == dir || path.strip_prefix(dir.as_str()).is_some_and(|rest| rest.starts_with('/'))
}

/// Resolves the symbolic links in the destinations of tmpfs mounts, as podman does: `--tmpfs /var/run`
/// in an image whose /var/run leads to /run.
///
/// This comes before [`sort`]; podman does it after, so that a resolved path may stand before its parent.
pub fn resolve_tmpfs(spec: &mut Spec, rootfs: &Rootfs) -> anyhow::Result<Vec<String>> {
    let mut dropped = Vec::new();
    if !spec.mounts().iter().any(|m| kind(m) == "tmpfs") {
        return Ok(dropped);
    }
    for mount in spec.mounts_mut().iter_mut().filter(|m| kind(m) == "tmpfs") {
        let resolved = rootfs.resolve(destination(mount))?;
        if resolved != clean(destination(mount)) {
            mount["destination"] = json!(resolved);
        }
    }
    // Two destinations may have become one. The later one would hide the earlier.
    let mounts = spec.mounts_mut();
    for i in (0..mounts.len()).rev() {
        let hidden = kind(&mounts[i]) == "tmpfs"
            && mounts[i + 1..]
                .iter()
                .any(|m| kind(m) == "tmpfs" && clean(destination(m)) == clean(destination(&mounts[i])));
        if hidden {
            dropped.push(destination(&mounts.remove(i)).to_owned());
        }
    }
    dropped.reverse();
    Ok(dropped)
}

/// Parents before children; mounts of one depth keep their order.
///
/// podman up to 5.5 sorts unstably and takes `/` for as deep as `/proc` (podman#26161).
pub fn sort(spec: &mut Spec) {
    let depth = |m: &Value| match clean(destination(m)).as_str() {
        "/" => 0,
        path => path.matches('/').count(),
    };
    if !spec.mounts().is_empty() {
        spec.mounts_mut().sort_by_key(depth);
    }
}

/// A mount that must be visible on the host side needs a root file system that lets it through.
pub fn root_propagation(spec: &mut Spec) {
    let mut found = None;
    for option in spec.mounts().iter().flat_map(options) {
        match (option, found) {
            ("shared" | "rshared", _) => found = Some("shared"),
            ("slave" | "rslave", None) => found = Some("rslave"),
            _ => {}
        }
    }
    if let Some(propagation) = found {
        spec.set("linux.rootfsPropagation", propagation);
    }
}

/// A destination must be absolute for every runtime; runc only warns and joins it to `/`.
pub fn check_destination(destination: &str) -> anyhow::Result<()> {
    if !destination.starts_with('/') {
        bail!("{destination}: a mount's destination must be an absolute path");
    }
    Ok(())
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
        spec.mounts().iter().map(destination).collect()
    }

    #[test]
    fn parents_come_first_and_equals_keep_their_order() {
        let mut spec = spec(&["/sys/fs/cgroup", "/z/", "/a/b", "/a", "/", "/proc"]);
        sort(&mut spec);
        assert_eq!(destinations(&spec), ["/", "/z/", "/a", "/proc", "/a/b", "/sys/fs/cgroup"]);
    }

    #[test]
    fn paths_are_cleaned_before_they_are_compared() {
        let spec = spec(&["/etc//hosts/"]);
        assert!(find(&spec, "/etc/hosts").is_some());
        assert!(is_below("/data/../data/x", "/data/") && !is_below("/database", "/data"));
    }

    #[test]
    fn the_strongest_propagation_wins() {
        #[rustfmt::skip]
        let cases = [
            (vec!["rslave", "rshared"], Some("shared")), (vec!["shared", "slave"], Some("shared")),
            (vec!["slave"], Some("rslave")), (vec!["rprivate", "unbindable"], None),
        ];
        for (options, propagation) in cases {
            let mut spec = Spec::new(json!({"mounts": [{"destination": "/x", "options": options}]}));
            root_propagation(&mut spec);
            assert_eq!(spec.text("linux.rootfsPropagation"), propagation);
        }
    }
}
