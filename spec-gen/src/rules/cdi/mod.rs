//! Container Device Interface: injects devices by name (`vendor.com/gpu=0`), whose edits are in a
//! vendor's file.
//!
//! Faults in files must be visible. podman logs them at debug level and tells users only that the
//! device cannot be resolved (moby#47633). Here each fault is a warning, and an error if it
//! concerns a requested device.

mod container_edits;
mod edits;
mod spec_file;
mod version;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;

use anyhow::{Context, bail};
use serde_json::Value;

use crate::job::Job;
use crate::notation::device::split_name;
use crate::rules::cdi::container_edits::{Edits, HookEdit};
use crate::rules::cdi::spec_file::Vendor;
use crate::runtime_spec::{Spec, hooks};

pub use crate::notation::device::is_device_name;

/// The directories of vendors' files. The second is for files created at boot, and takes
/// precedence.
const DIRS: [&str; 2] = ["/etc/cdi", "/var/run/cdi"];

/// The files, and the faults of files that were skipped.
#[derive(Debug, Default)]
pub struct Registry {
    vendors: BTreeMap<String, Vec<Vendor>>,
    pub faults: Vec<String>,
}

impl Registry {
    /// Reads every `.json` and `.yaml` file in the directories. A missing directory counts as
    /// empty.
    pub fn read(dirs: &[PathBuf]) -> Registry {
        let mut registry = Registry::default();
        for dir in dirs {
            let entries = match fs::read_dir(dir) {
                Ok(entries) => entries,
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => {
                    registry.faults.push(format!("{}: {e}", cli::display_path(dir)));
                    continue;
                }
            };
            let mut files: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
            files.retain(|f| f.extension().is_some_and(|e| e == "json" || e == "yaml"));
            files.sort();
            let mut found: Vec<(String, Vendor)> = Vec::new();
            for file in files {
                match spec_file::read(&file) {
                    Ok((kind, vendor)) => found.push((kind, vendor)),
                    Err(e) => registry.faults.push(format!("{}: {e:#}", cli::display_path(&file))),
                }
            }
            registry.faults.extend(drop_conflicts(&mut found));
            for (kind, vendor) in found {
                registry.vendors.entry(kind).or_default().push(vendor);
            }
        }
        registry
    }

    /// Returns the devices of one file from its text.
    ///
    /// # Errors
    /// Returns an error if the text is not a CDI specification.
    pub fn of(text: &[u8], is_yaml: bool) -> anyhow::Result<Registry> {
        let (kind, vendor) = spec_file::document(text, is_yaml, "CDI specification".into())?;
        Ok(Registry { vendors: BTreeMap::from([(kind, vec![vendor])]), ..Registry::default() })
    }

    /// Returns the full names of all devices.
    pub fn names(&self) -> Vec<String> {
        let vendors = self.vendors.iter().flat_map(|(kind, all)| all.iter().map(move |v| (kind, v)));
        vendors.flat_map(|(kind, v)| v.devices.keys().map(move |device| format!("{kind}={device}"))).collect()
    }

    /// Returns the file that defines a device: if there are two, the one in the later directory.
    fn find(&self, kind: &str, device: &str) -> Option<(&Vendor, &Edits)> {
        let vendors = self.vendors.get(kind)?;
        vendors.iter().rev().find_map(|v| Some((v, v.devices.get(device)?)))
    }

    /// Applies the edits of the devices. The edits of a file are applied once.
    ///
    /// # Errors
    /// Returns an error that names the devices that no file defines, with the faults of the files.
    pub fn inject(&self, spec: &mut Spec, names: &[String]) -> anyhow::Result<()> {
        let mut edits = Vec::new();
        let mut seen: Vec<&str> = Vec::new();
        let mut unknown = Vec::new();
        for name in names {
            let found = split_name(name).and_then(|(kind, device)| self.find(kind, device));
            let Some((vendor, device)) = found else {
                unknown.push(name.as_str());
                continue;
            };
            if !seen.contains(&vendor.file.as_str()) {
                seen.push(&vendor.file);
                edits.push((&vendor.file, &vendor.edits));
            }
            edits.push((&vendor.file, device));
        }
        if !unknown.is_empty() {
            let faults =
                if self.faults.is_empty() { String::new() } else { format!(" ({})", self.faults.join("; ")) };
            bail!("unresolvable CDI devices {}{faults}", unknown.join(", "));
        }
        for (file, edits) in &edits {
            edits::apply(spec, edits).with_context(|| (*file).clone())?;
        }
        // Hooks are added together, because two devices may need the same hook.
        for stage in edits::HOOKS {
            let all = edits.iter().flat_map(|(_, edits)| &edits.hooks);
            let wanted: Vec<Value> = all.filter(|h| h.hook_name == stage).map(HookEdit::to_value).collect();
            if !wanted.is_empty() {
                hooks::add(spec, stage, wanted);
            }
        }
        Ok(())
    }
}

/// Removes devices that two files of one directory define, because neither takes precedence.
fn drop_conflicts(found: &mut [(String, Vendor)]) -> Vec<String> {
    let mut files: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for (kind, vendor) in found.iter() {
        for device in vendor.devices.keys() {
            files.entry((kind.clone(), device.clone())).or_default().push(vendor.file.clone());
        }
    }
    files.retain(|_, files| files.len() > 1);
    for (kind, vendor) in found.iter_mut() {
        vendor.devices.retain(|device, _| !files.contains_key(&(kind.clone(), device.clone())));
    }
    files
        .iter()
        .map(|((kind, device), files)| format!("{kind}={device}: in {}", files.join(" and in ")))
        .collect()
}

/// Applies the edits of the CDI devices that the container requests.
pub(crate) fn apply(job: &mut Job<'_>) -> anyhow::Result<()> {
    if job.container.cdi_devices.is_empty() {
        return Ok(());
    }
    let given = &job.args.devices.cdi_spec_dir;
    let dirs = if given.is_empty() { DIRS.map(PathBuf::from).to_vec() } else { given.clone() };
    let registry = Registry::read(&dirs);
    registry.inject(&mut job.spec, &job.container.cdi_devices)?;
    for fault in &registry.faults {
        job.session.warn(fault);
    }
    job.trace.because(&job.spec, || format!("CDI devices {}", job.container.cdi_devices.join(" ")));
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use crate::notation::device::is_device_name;

    use crate::runtime_spec::key;

    use super::*;

    const FILE: &str = r#"{"cdiVersion":"0.7.0","kind":"vendor.com/net","annotations":{"x":"y"},
        "containerEdits":{"env":["CDI=1"],"additionalGids":[4321,0]},
        "devices":[
          {"name":"dev0","containerEdits":{"env":["FOO=cdi"],"deviceNodes":[{"path":"/dev/n","hostPath":"/dev/null","permissions":"rw"}],
            "mounts":[{"hostPath":"/h","containerPath":"/opt/c","options":["ro"]},{"hostPath":"tmpfs","containerPath":"/t","type":"tmpfs"}],
            "hooks":[{"hookName":"createContainer","path":"/bin/true","timeout":3}]}},
          {"name":"dev1","containerEdits":{"env":["DEV1=1"]}}]}"#;

    fn registry(name: &str, text: &str) -> Registry {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(name), text).unwrap();
        Registry::read(&[dir.path().to_path_buf()])
    }

    #[test]
    fn edits_of_a_file_are_applied_once_before_its_devices() {
        let mut spec = Spec::new(json!({"process": {"env": ["FOO=user"], "user": {"uid": 1000, "gid": 0}}}));
        let names = ["vendor.com/net=dev0".to_owned(), "vendor.com/net=dev1".to_owned()];
        registry("v.json", FILE).inject(&mut spec, &names).unwrap();
        assert_eq!(spec.texts(key::PROCESS_ENV), ["FOO=cdi", "CDI=1", "DEV1=1"]);
        assert_eq!(
            spec.list(key::LINUX_DEVICES),
            [json!({"path": "/dev/n", "type": "c", "major": 1, "minor": 3, "uid": 1000})]
        );
        assert_eq!(spec.list(key::LINUX_RESOURCES_DEVICES)[0]["access"], "rw");
        assert_eq!(
            spec.mounts()[0],
            json!({"destination": "/opt/c", "source": "/h", "options": ["ro", "rbind"]})
        );
        assert_eq!(spec.mounts()[1], json!({"destination": "/t", "source": "tmpfs", "type": "tmpfs"}));
        assert_eq!(spec.list(key::PROCESS_USER_ADDITIONAL_GIDS), [json!(4321)]);
        assert_eq!(spec.value()["hooks"]["createContainer"], json!([{"path": "/bin/true", "timeout": 3}]));
    }

    #[test]
    fn yaml_files_are_read_like_json_files() {
        let yaml = "cdiVersion: \"0.5.0\"\nkind: v.com/gpu\ndevices:\n- name: \"0\"\n  containerEdits:\n    env: [GPU=0]\n";
        let mut spec = Spec::new(json!({}));
        registry("v.yaml", yaml).inject(&mut spec, &["v.com/gpu=0".to_owned()]).unwrap();
        assert_eq!(spec.texts(key::PROCESS_ENV), ["GPU=0"]);
    }

    #[test]
    fn the_error_in_a_cdi_file_is_reported_to_the_user() {
        #[rustfmt::skip]
        let cases = [
            ("v.json", r#"{"cdiVersion":"9.0.0","kind":"v.com/x","devices":[]}"#, "cdiVersion: \"9.0.0\" is not known"),
            ("v.json", r#"{"kind":"v.com/x","devices":[]}"#, "cdiVersion: missing"),
            ("v.json", r#"{"cdiVersion":"0.5.0","kind":"x","devices":[]}"#, "expected VENDOR/CLASS"),
            ("v.json", r#"{"cdiVersion":"0.6.0","kind":"v.com/x","containerEdits":{"additionalGids":[5]},"devices":[{"name":"d"}]}"#, "cdiVersion: 0.6.0 does not support additionalGids; 0.7.0 does"),
            ("v.json", r#"{"cdiVersion":"0.5.0","kind":"v.com/x","annotations":{"a":"b"},"devices":[]}"#, "0.5.0 does not support annotations"),
            ("v.json", r#"{"cdiVersion":"0.5.0","kind":"v.com/x.y","devices":[]}"#, "0.5.0 does not support a dot in the class of a kind; 0.6.0 does"),
            ("v.json", r#"{"cdiVersion":"0.4.0","kind":"v.com/x","devices":[{"name":"0"}]}"#, "0.4.0 does not support a device name that begins with a digit"),
            ("v.json", r#"{"cdiVersion":"0.4.0","kind":"v.com/x","devices":[{"name":"d","containerEdits":{"deviceNodes":[{"path":"/a","hostPath":"/b"}]}}]}"#, "0.4.0 does not support hostPath of deviceNodes"),
            ("v.json", r#"{"cdiVersion":"0.3.0","kind":"v.com/x","devices":[{"name":"d","containerEdits":{"mounts":[{"hostPath":"/a","containerPath":"/b","type":"bind"}]}}]}"#, "0.3.0 does not support type of mounts"),
            ("v.json", r#"{"cdiVersion":"1.0.0","kind":"v.com/x","devices":[{"name":"d","containerEdits":{"netDevices":[{"hostInterfaceName":"a","name":"b"}]}}]}"#, "1.0.0 does not support netDevices; 1.1.0 does"),
            ("v.yaml", "cdiVersion: 0.5.0\nkind: v.com/x\nkind: v.com/y\ndevices: []\n", "duplicate key \"kind\""),
            ("v.json", r#"{"cdiVersion":"0.5.0","kind":"v.com/x"}"#, "devices: missing"),
            ("v.json", r#"{"cdiVersion":"0.5.0","kind":"v.com/x","devices":[{"name":"d"},{"name":"d"}]}"#, "given twice"),
            ("v.json", r#"{"cdiVersion":"0.5.0","kind":"v.com/x","devices":[{"name":"d","containerEdits":{"env":[5]}}]}"#, "devices[0].containerEdits: env[0]: invalid type"),
            ("v.json", r#"{"cdiVersion":"0.5.0","kind":"v.com/x","devices":[{"name":"d","containerEdits":{"evn":[]}}]}"#, "unknown field `evn`"),
            ("v.json", "{", "not valid JSON"),
            ("v.yaml", "a: [", "not valid YAML"),
        ];
        for (name, text, message) in cases {
            let registry = registry(name, text);
            let error = registry
                .inject(&mut Spec::new(json!({})), &["v.com/x=d".to_owned()])
                .unwrap_err()
                .to_string();
            assert!(
                error.starts_with("unresolvable CDI devices v.com/x=d (") && error.contains(message),
                "{error}"
            );
        }
    }

    #[test]
    fn a_device_in_two_files_of_a_directory_is_an_error() {
        let file = |dir: &Path, name: &str, value: &str| {
            let text = format!(
                r#"{{"cdiVersion":"0.5.0","kind":"v.com/x","devices":[{{"name":"d","containerEdits":{{"env":["V={value}"]}}}}]}}"#
            );
            fs::write(dir.join(name), text).unwrap();
        };
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        file(first.path(), "a.json", "1");
        file(second.path(), "a.json", "2");
        let dirs = [first.path().to_path_buf(), second.path().to_path_buf()];
        let mut spec = Spec::new(json!({}));
        Registry::read(&dirs).inject(&mut spec, &["v.com/x=d".to_owned()]).unwrap();
        assert_eq!(spec.texts(key::PROCESS_ENV), ["V=2"]);
        file(first.path(), "b.json", "3");
        let registry = Registry::read(&dirs[..1]);
        let error =
            registry.inject(&mut Spec::new(json!({})), &["v.com/x=d".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("v.com/x=d: in ") && error.contains("a.json and in "), "{error}");
    }

    #[test]
    fn cdi_device_names_are_distinguished_from_paths() {
        for (text, expected) in [
            ("v.com/net=dev0", true),
            ("/dev/x=y", false),
            ("a/b=c:d", true),
            ("a/b", false),
            ("a/b=", false),
        ] {
            assert_eq!(is_device_name(text), expected, "{text}");
        }
    }

    #[test]
    fn a_missing_directory_of_cdi_files_is_not_a_fault() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), FILE).unwrap();
        let faults = |name: &str| Registry::read(&[dir.path().join(name)]).faults;
        assert_eq!(faults("missing"), [""; 0]);
        let found = faults("file");
        assert!(found.len() == 1 && found[0].contains("/file: Not a directory"), "{found:?}");
        let registry = Registry::of(FILE.as_bytes(), false).unwrap();
        assert_eq!(registry.names(), ["vendor.com/net=dev0", "vendor.com/net=dev1"]);
        assert!(Registry::of(b"{", false).is_err());
    }
}
