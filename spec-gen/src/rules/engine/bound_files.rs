//! The files that a container engine creates for each container and binds over the files of the
//! image.

use std::collections::BTreeMap;

use crate::input::container::Container;
use crate::path;
use crate::runtime_spec::key;
use crate::runtime_spec::mounts::{self, Mount};
use crate::runtime_spec::{Spec, namespaces};

/// Sources by destination.
pub type Files = BTreeMap<String, String>;

/// The destinations of the engine's files, and the name of each in the engine's directory.
const FILES: [(&str, &str); 12] = [
    ("/dev/shm", "shm"),
    ("/etc/group", "group"),
    ("/etc/hostname", "hostname"),
    ("/etc/hosts", "hosts"),
    ("/etc/localtime", "localtime"),
    ("/etc/passwd", "passwd"),
    ("/etc/resolv.conf", "resolv.conf"),
    ("/run/.containerenv", ".containerenv"),
    ("/run/notify", "notify"),
    ("/run/secrets", "run/secrets"),
    ("/var/run/.containerenv", ".containerenv"),
    ("/var/run/secrets", "run/secrets"),
];

/// Returns the name of the engine's file for a clean destination.
pub fn file_name(destination: &str) -> Option<&'static str> {
    FILES.iter().find(|(d, _)| *d == destination).map(|(_, file)| *file)
}

/// Returns the files that libpod creates, for a container that was not started yet, whose state
/// does not list them.
pub fn derive(spec: &Spec, container: &Container) -> Files {
    let mut files = BTreeMap::new();
    let mut add = |destination: &str, dir: &str, file: &str| {
        if !dir.is_empty() {
            files.insert(destination.to_owned(), format!("{dir}/{file}"));
        }
    };
    let run = container.run_dir.as_str();
    let network = namespaces::find(spec, "network");
    // A new namespace that no engine configures has no name servers.
    let has_network = container.create_netns && !container.late_netns
        || container.shares("network")
        || network.is_none_or(|n| namespaces::path(n).is_some());
    let mut network_files = Vec::new();
    if has_network && !container.image_resolv_conf {
        network_files.push("resolv.conf");
    }
    if !container.image_hosts {
        network_files.push("hosts");
    }
    for file in network_files {
        add(&format!("/etc/{file}"), run, file);
    }
    if !container.timezone.is_empty() {
        add("/etc/localtime", run, "localtime");
    }
    let own_run = |m: &serde_json::Value| {
        let destination = path::clean(mounts::destination(m));
        destination == "/run/.containerenv" || destination == "/run" && mounts::kind(m) != "tmpfs"
    };
    if !spec.mounts().iter().any(own_run) {
        add("/run/.containerenv", run, ".containerenv");
    }
    if !container.secret_files.is_empty() {
        add("/run/secrets", run, "run/secrets");
        for (destination, secret) in &container.secret_files {
            add(destination, &container.secrets_dir, secret);
        }
    }
    if !container.image_hostname {
        add("/etc/hostname", run, "hostname");
    }
    if container.sdnotify_container {
        add("/run/notify", &container.static_dir, "notify");
    }
    if !container.shm_dir.is_empty() {
        files.insert("/dev/shm".to_owned(), container.shm_dir.clone());
    }
    add_below(&mut files, &container.chroot_dirs);
    files
}

/// Also binds the network's files below the directories of `--chrootdirs`, for processes that call
/// chroot(2).
pub fn add_below(files: &mut Files, chroot_dirs: &[String]) {
    for file in ["/etc/hosts", "/etc/resolv.conf"] {
        let Some(source) = files.get(file).cloned() else { continue };
        for dir in chroot_dirs {
            files.entry(path::clean(&format!("{dir}{file}"))).or_insert_with(|| source.clone());
        }
    }
}

/// Keeps the image's file, also below the directories of `--chrootdirs`.
pub fn remove(files: &mut Files, file: &str, chroot_dirs: &[String]) {
    files.remove(file);
    for dir in chroot_dirs {
        files.remove(&path::clean(&format!("{dir}{file}")));
    }
}

/// Adds bind mounts of the files, ordered by destination. A mount that the user requested at the
/// same destination takes precedence.
///
/// `read_write_tmpfs`: /dev/shm is writable in a read-only container.
pub fn apply(spec: &mut Spec, files: &Files, shm_dir: &str, read_write_tmpfs: bool) {
    for (destination, source) in files {
        if mounts::find(spec, destination).is_some() {
            continue;
        }
        let is_shm = destination == "/dev/shm";
        let mut options = vec!["bind", "rprivate"];
        let read_only = spec.is_true(key::ROOT_READONLY) && !(is_shm && read_write_tmpfs);
        if read_only {
            options.push("ro");
        }
        if read_only || is_shm && source == shm_dir {
            options.extend(["nosuid", "noexec", "nodev"]);
        }
        spec.mounts_mut().push(Mount::bind(source, destination, &options).to_value());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn user_mounts_win_and_all_but_shm_become_read_only() {
        let mut spec = Spec::new(json!({
            "root": {"readonly": true}, "mounts": [{"destination": "/etc//hosts", "type": "bind", "source": "/mine"}]
        }));
        let files = ["/dev/shm", "/etc/hostname", "/etc/hosts"].map(|d| (d.to_owned(), "/s".to_owned()));
        apply(&mut spec, &BTreeMap::from(files), "/s", true);
        assert_eq!(spec.mounts().len(), 3);
        assert_eq!(spec.mounts()[1]["options"], json!(["bind", "rprivate", "nosuid", "noexec", "nodev"]));
        assert_eq!(
            spec.mounts()[2]["options"],
            json!(["bind", "rprivate", "ro", "nosuid", "noexec", "nodev"])
        );
    }

    #[test]
    fn only_a_container_with_a_network_gets_a_resolv_conf() {
        let container = Container { run_dir: "/r".into(), ..Container::default() };
        let none = Spec::new(json!({"linux": {"namespaces": [{"type": "network"}]}}));
        assert!(!derive(&none, &container).contains_key("/etc/resolv.conf"));
        for namespaces in [json!([]), json!([{"type": "network", "path": "/run/netns/x"}])] {
            let spec = Spec::new(json!({"linux": {"namespaces": namespaces}}));
            assert_eq!(derive(&spec, &container)["/etc/resolv.conf"], "/r/resolv.conf");
        }
    }
}
