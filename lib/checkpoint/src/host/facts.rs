//! The facts about the host for the annotations of an image.

use std::fs;
use std::path::Path;

use super::criu_version::criu_number;
use super::program::output;
use crate::architecture::architecture;

/// The facts about the host that an image records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// The facts, by their names in `oci::ANNOTATIONS`.
    pub facts: Vec<(&'static str, String)>,
}

impl Host {
    /// Collects the facts from the kernel, `criu`, `conmon` and `runtime`. A runtime that must not
    /// be run is `None`.
    pub fn ask(criu: &str, runtime: Option<&str>) -> Host {
        let mut facts = Vec::new();
        let mut add = |name, value: Option<String>| facts.extend(value.map(|value| (name, value)));
        let criu = output(criu, &["--version"]).ok();
        add("criu.version", criu.as_deref().and_then(criu_number).map(|number| number.to_string()));
        add("runtime.version", runtime.and_then(|runtime| output(runtime, &["--version"]).ok()));
        add("conmon.version", output("conmon", &["--version"]).ok().map(|text| text.replace('\n', ", ")));
        add("host.arch", Some(architecture().into()));
        add("host.kernel", read("/proc/sys/kernel/osrelease"));
        // Only the root of a unified hierarchy has this file (cgroups(7)).
        let unified = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
        add("cgroups.version", Some(if unified { "v2" } else { "v1" }.into()));
        let os_release = read("/etc/os-release").unwrap_or_default();
        add("distribution.version", os_release_value(&os_release, "VERSION_ID"));
        add("distribution.name", os_release_value(&os_release, "ID"));
        Host { facts }
    }
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// Returns a value of os-release(5) without its quotes.
fn os_release_value(text: &str, key: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
    Some(value.trim().trim_matches(['"', '\'']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_os_release_are_unquoted() {
        let text = "NAME=x\nID=debian\nVERSION_ID=\"13\"\n";
        assert_eq!(os_release_value(text, "VERSION_ID").as_deref(), Some("13"));
        assert_eq!(os_release_value(text, "ID").as_deref(), Some("debian"));
        assert_eq!(os_release_value(text, "VARIANT"), None);
    }

    #[test]
    fn the_release_of_the_kernel_is_a_fact() {
        let release = read("/proc/sys/kernel/osrelease").expect("the kernel has a release");
        assert_eq!(format!("{release}\n").as_bytes(), fs::read("/proc/sys/kernel/osrelease").unwrap());
        assert_eq!(read("/nonexistent"), None);
        let host = Host::ask("no-such-criu", None);
        assert!(host.facts.contains(&("host.kernel", release)), "{host:?}");
    }
}
