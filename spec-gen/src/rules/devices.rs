//! Device nodes, and the cgroup rules that allow the container to use them.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use anyhow::{Context, bail};
use cli::usage;
use nix::sys::stat::{major, minor};
use serde_json::{Value, json};

use crate::job::Job;
use crate::notation::device::{DeviceFlag, is_device_name};
use crate::runtime_spec::key::{self, Key};
use crate::runtime_spec::mounts::{self, Mount};
use crate::runtime_spec::{Spec, namespaces};

const DEVICES: Key = key::LINUX_DEVICES;

const RULES: Key = key::LINUX_RESOURCES_DEVICES;

/// A device node of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// `c`, `b` or `p`.
    pub kind: &'static str,
    pub major: u64,
    pub minor: u64,
    /// The mode with the file type, as in stat(2): podman writes it in this form, and runtimes mask
    /// the type.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
}

impl Node {
    /// Reads a device node. Returns `None` if the file is not a device node.
    ///
    /// # Errors
    /// Returns an error if the file does not exist.
    pub fn read(path: &Path) -> io::Result<Option<Node>> {
        let meta = fs::metadata(path)?;
        Ok(Node::of(&meta))
    }

    fn of(meta: &fs::Metadata) -> Option<Node> {
        let file_type = meta.file_type();
        let kind = if file_type.is_char_device() {
            "c"
        } else if file_type.is_block_device() {
            "b"
        } else if file_type.is_fifo() {
            "p"
        } else {
            return None;
        };
        let rdev = if kind == "p" { 0 } else { meta.rdev() };
        Some(Node {
            kind,
            major: major(rdev),
            minor: minor(rdev),
            mode: meta.mode(),
            uid: meta.uid(),
            gid: meta.gid(),
        })
    }

    fn to_value(&self, path: &str) -> Value {
        json!({
            "path": path, "type": self.kind, "major": self.major, "minor": self.minor,
            "fileMode": self.mode, "uid": self.uid, "gid": self.gid
        })
    }
}

/// Applies `--device` and `--device-cgroup-rule`.
///
/// # Errors
/// Returns an error if a device does not exist.
pub fn apply_flags(job: &mut Job<'_>) -> anyhow::Result<()> {
    let args = &job.args.devices;
    let with_rule = namespaces::find(&job.spec, "user").is_none();
    for flag in args.device.iter().filter(|d| !is_device_name(d)) {
        let wanted = DeviceFlag::parse(flag)?;
        if job.container.rootless {
            bind(&mut job.spec, &wanted)?;
        } else {
            add(&mut job.spec, &wanted, with_rule)?;
        }
    }
    for rule in &args.device_cgroup_rule {
        add_rule(&mut job.spec, rule)?;
    }
    job.trace.because(&job.spec, || "--device".into());
    Ok(())
}

/// Adds a device, or all devices below a directory.
///
/// # Errors
/// Returns an error if there is none.
pub fn add(spec: &mut Spec, wanted: &DeviceFlag, with_rule: bool) -> anyhow::Result<()> {
    let shown = || format!("--device {}", wanted.source);
    let source = Path::new(&wanted.source);
    if fs::metadata(source).with_context(shown)?.is_dir() {
        let mut found = Vec::new();
        walk(source, &mut found).with_context(shown)?;
        for (path, node) in found {
            let below = path.strip_prefix(wanted.source.as_str()).unwrap_or(&path);
            let path = format!("{}{below}", wanted.destination.trim_end_matches('/'));
            put(spec, &path, &node, with_rule.then_some(wanted.access.as_str()));
        }
        return Ok(());
    }
    match Node::read(source).with_context(shown)? {
        Some(node) => {
            put(spec, &wanted.destination, &node, with_rule.then_some(wanted.access.as_str()));
            Ok(())
        }
        None => bail!("--device {}: not a device node", wanted.source),
    }
}

fn put(spec: &mut Spec, path: &str, node: &Node, access: Option<&str>) {
    put_value(spec, node.to_value(path));
    if let Some(access) = access {
        allow(spec, node.kind, node.major, node.minor, access);
    }
}

/// Adds a device, and replaces one with the same path.
pub fn put_value(spec: &mut Spec, device: Value) {
    let devices = spec.list_mut(DEVICES);
    match devices.iter_mut().find(|d| d["path"] == device["path"]) {
        Some(there) => *there = device,
        None => devices.push(device),
    }
}

/// Adds a rule to the device cgroup unless an equal rule exists.
pub fn allow(spec: &mut Spec, kind: &str, major: u64, minor: u64, access: &str) {
    if matches!(kind, "b" | "c") {
        let rule = json!({ "allow": true, "type": kind, "major": major, "minor": minor, "access": access });
        let rules = spec.list_mut(RULES);
        if !rules.contains(&rule) {
            rules.push(rule);
        }
    }
}

/// Adds the rule of `--device-cgroup-rule`: `TYPE MAJOR:MINOR ACCESS`, where `*` means any number.
///
/// # Errors
/// Returns an error for any other form.
pub fn add_rule(spec: &mut Spec, flag: &str) -> anyhow::Result<()> {
    let parts: Vec<&str> = flag.split_whitespace().collect();
    let rule = match parts[..] {
        [kind @ ("a" | "b" | "c"), numbers, access]
            if access.chars().all(|c| "rwm".contains(c)) && !access.is_empty() =>
        {
            numbers.split_once(':').and_then(|(major, minor)| {
                let mut rule = json!({ "allow": true, "type": kind });
                // An omitted number matches every number.
                for (key, number) in [("major", major), ("minor", minor)] {
                    if number != "*" {
                        rule[key] = json!(number.parse::<u32>().ok()?);
                    }
                }
                rule["access"] = json!(access);
                Some(rule)
            })
        }
        _ => None,
    };
    let rule = rule.ok_or_else(|| {
        usage(format!(
            "--device-cgroup-rule {flag:?}: expected 'TYPE MAJOR:MINOR ACCESS', such as 'c 10:200 rwm'"
        ))
    })?;
    spec.list_mut(RULES).push(rule);
    Ok(())
}

/// Adds a bind mount of a host device, because an ordinary user cannot create device nodes.
///
/// # Errors
/// Returns an error if the device does not exist.
pub fn bind(spec: &mut Spec, wanted: &DeviceFlag) -> anyhow::Result<()> {
    fs::metadata(&wanted.source).with_context(|| format!("--device {}", wanted.source))?;
    let access = if wanted.access.contains('w') { "rw" } else { "ro" };
    mounts::put(spec, &bind_mount(&wanted.source, &wanted.destination, access));
    Ok(())
}

fn bind_mount(source: &str, destination: &str, access: &str) -> Mount {
    Mount::bind(source, destination, &["slave", "nosuid", "noexec", access, "rbind"])
}

/// Adds bind mounts of every device of the host, before all other mounts, for a privileged rootless
/// container. Omits consoles, and /dev/ptmx, because the host's /dev/ptmx creates terminals of the
/// host.
///
/// # Errors
/// Returns an error if /dev cannot be read.
pub fn bind_all(spec: &mut Spec) -> anyhow::Result<()> {
    let mut found = Vec::new();
    walk(Path::new("/dev"), &mut found).context("/dev")?;
    found.retain(|(path, _)| {
        !matches!(path.as_str(), "/dev/ptmx" | "/dev/tty")
            && !is_console(path)
            && mounts::find(spec, path).is_none()
    });
    let mut all: Vec<Value> = found.iter().map(|(path, _)| bind_mount(path, path, "rw").to_value()).collect();
    all.append(spec.mounts_mut());
    *spec.mounts_mut() = all;
    spec.remove(RULES);
    Ok(())
}

/// Reports whether the path is a virtual console, such as /dev/tty1.
fn is_console(path: &str) -> bool {
    path.strip_prefix("/dev/tty").is_some_and(|n| n.parse::<u16>().is_ok())
}

/// Adds every device of the host, for a privileged container. In systemd mode, consoles are
/// omitted, because systemd would start a login on the host's console.
///
/// # Errors
/// Returns an error if /dev cannot be read.
pub fn add_all(spec: &mut Spec, systemd: bool) -> anyhow::Result<()> {
    let mut found = Vec::new();
    walk(Path::new("/dev"), &mut found).context("/dev")?;
    for (path, node) in found {
        if !(systemd && is_console(&path)) {
            put_value(spec, node.to_value(&path));
        }
    }
    spec.set(RULES, json!([{ "allow": true, "access": "rwm" }]));
    Ok(())
}

/// Appends the device nodes below a directory, ordered by name.
fn walk(dir: &Path, found: &mut Vec<(String, Node)>) -> io::Result<()> {
    // Other filesystems, and directories that belong to other containers.
    const SKIPPED: [&str; 6] = ["pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts"];
    let mut names: Vec<_> =
        fs::read_dir(dir)?.map(|e| e.map(|e| e.file_name())).collect::<io::Result<_>>()?;
    names.sort();
    for name in names {
        let path = dir.join(&name);
        let meta = match fs::symlink_metadata(&path) {
            Ok(meta) => meta,
            // The device was removed since the directory was listed.
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(e),
        };
        if meta.is_dir() {
            if !SKIPPED.iter().any(|s| name == *s) {
                walk(&path, found)?;
            }
        } else if let (Some(node), Some(path)) = (Node::of(&meta), path.to_str()) {
            if name != "console" {
                found.push((path.to_owned(), node));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_adds_its_rule_and_replaces_the_same_path() {
        let mut spec = Spec::new(json!({"linux": {"devices": [{"path": "/dev/x", "type": "b"}]}}));
        let wanted = DeviceFlag::parse("/dev/null:/dev/x:rw").unwrap();
        add(&mut spec, &wanted, true).unwrap();
        add(&mut spec, &wanted, true).unwrap();
        assert_eq!(spec.list(DEVICES).len(), 1);
        assert_eq!(spec.list(DEVICES)[0]["minor"], 3);
        assert_eq!(
            spec.list(RULES),
            [json!({"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rw"})]
        );
    }

    #[test]
    fn a_device_cgroup_rule_has_three_fields() {
        let mut spec = Spec::new(json!({}));
        add_rule(&mut spec, "c 10:* rwm").unwrap();
        assert_eq!(spec.list(RULES), [json!({"allow": true, "type": "c", "major": 10, "access": "rwm"})]);
        for bad in ["", "c 10 rwm", "x 1:1 r", "c 1:1 q", "c 1:1:1 r", "c -1:1 r"] {
            assert!(add_rule(&mut spec, bad).is_err(), "{bad}");
        }
    }

    /// Creates a FIFO, the only kind of device node that every user can create.
    fn fifo(path: &Path) {
        nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    }

    #[test]
    fn a_directory_stands_for_its_devices_except_consoles() {
        let dir = tempfile::tempdir().unwrap();
        for sub in ["", "sub", "pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts"] {
            fs::create_dir_all(dir.path().join(sub)).unwrap();
            fifo(&dir.path().join(sub).join("b"));
        }
        fifo(&dir.path().join("a"));
        fifo(&dir.path().join("console"));
        fs::write(dir.path().join("file"), "").unwrap();
        let mut spec = Spec::new(json!({}));
        let flag = format!("{}:/dev/x/:r", dir.path().display());
        add(&mut spec, &DeviceFlag::parse(&flag).unwrap(), true).unwrap();
        let found: Vec<&Value> = spec.list(DEVICES).iter().map(|d| &d["path"]).collect();
        assert_eq!(found, ["/dev/x/a", "/dev/x/b", "/dev/x/sub/b"]);
        for device in spec.list(DEVICES) {
            assert_eq!(
                (&device["type"], &device["major"], &device["minor"]),
                (&json!("p"), &json!(0), &json!(0))
            );
        }
        // The device cgroup has no rules for FIFOs.
        assert_eq!(spec.list(RULES), [] as [Value; 0]);
        for (source, message) in [("file", "not a device node"), ("none", "No such file or directory")] {
            let flag = format!("{}/{source}", dir.path().display());
            let error = add(&mut spec, &DeviceFlag::parse(&flag).unwrap(), true).unwrap_err();
            assert!(format!("{error:#}").contains(message), "{error:#}");
        }
    }

    #[test]
    fn a_device_without_a_rule_changes_only_the_list() {
        let mut spec = Spec::new(json!({}));
        add(&mut spec, &DeviceFlag::parse("/dev/null").unwrap(), false).unwrap();
        assert_eq!((spec.list(DEVICES).len(), spec.list(RULES).len()), (1, 0));
        for (major, access) in [(1, "r"), (1, "r"), (2, "r"), (2, "w")] {
            allow(&mut spec, "c", major, 3, access);
        }
        allow(&mut spec, "p", 0, 0, "r");
        assert_eq!(spec.list(RULES).len(), 3, "equal rules are added once");
    }

    #[test]
    fn a_privileged_container_gets_devices_also_with_systemd() {
        for systemd in [false, true] {
            let mut spec = Spec::new(json!({"linux": {"resources": {"devices": [{"allow": false}]}}}));
            add_all(&mut spec, systemd).unwrap();
            let paths: Vec<&str> = spec.list(DEVICES).iter().filter_map(|d| d["path"].as_str()).collect();
            assert!(paths.contains(&"/dev/null") && !paths.contains(&"/dev/console"), "{paths:?}");
            let names = fs::read_dir("/dev").unwrap().map(|entry| entry.unwrap().path());
            let has_consoles = names.filter_map(|path| path.to_str().map(is_console)).any(|found| found);
            let are_added = paths.iter().any(|path| is_console(path));
            assert_eq!(are_added, has_consoles && !systemd, "{paths:?}");
            assert_eq!(spec.list(RULES), [json!({"allow": true, "access": "rwm"})]);
        }
        for (path, expected) in [
            ("/dev/tty1", true),
            ("/dev/tty63", true),
            ("/dev/tty", false),
            ("/dev/ttyS0", false),
            ("/tty1", false),
        ] {
            assert_eq!(is_console(path), expected, "{path}");
        }
    }
}
