//! What the host is: for the annotations of an image, and for the question whether it can checkpoint.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// The first CRIU that podman takes (pkg/criu: MinCriuVersion), and the first for pods (PodCriuVersion).
pub const MIN_CRIU: u32 = 31_100;
/// For pods, whose containers join the namespaces of another.
pub const MIN_CRIU_POD: u32 = 31_600;

/// What a program prints; its exit status must be 0.
///
/// # Errors
/// A short reason, for a message behind the program's name.
pub fn output(program: &str, args: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output().map_err(|e| {
        if e.kind() == std::io::ErrorKind::NotFound { "not found".into() } else { e.to_string() }
    })?;
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned());
    match output.status.success() {
        true => Ok(text[0].clone()),
        false => {
            Err(text.into_iter().rev().find(|t| !t.is_empty()).unwrap_or_else(|| output.status.to_string()))
        }
    }
}

/// CRIU's version as the number podman and go-criu make of it: 4.1.1 is 40101.
pub fn criu_number(version_text: &str) -> Option<u32> {
    let version = version_text.lines().find_map(|line| line.trim().strip_prefix("Version:"))?.trim();
    let mut parts = version.split(['.', '-', '+']).map_while(|part| part.parse::<u32>().ok());
    let (major, minor, patch) = (parts.next()?, parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    major.checked_mul(10_000)?.checked_add(minor.checked_mul(100)?)?.checked_add(patch)
}

/// The host, as far as an image tells of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// Names of `oci::ANNOTATIONS` and their values.
    pub facts: Vec<(&'static str, String)>,
}

impl Host {
    /// Asks the kernel, `criu`, `conmon`, and the runtime if it is one that may be run.
    pub fn ask(criu: &str, runtime: Option<&str>) -> Host {
        let mut facts = Vec::new();
        let mut add = |name, value: Option<String>| facts.extend(value.map(|value| (name, value)));
        let criu = output(criu, &["--version"]).ok();
        add("criu.version", criu.as_deref().and_then(criu_number).map(|number| number.to_string()));
        add("runtime.version", runtime.and_then(|runtime| output(runtime, &["--version"]).ok()));
        add("conmon.version", output("conmon", &["--version"]).ok().map(|text| text.replace('\n', ", ")));
        add("host.arch", Some(crate::architecture().into()));
        add("host.kernel", read("/proc/sys/kernel/osrelease"));
        // The file is only in a unified hierarchy's root (cgroups(7)).
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

/// A value of os-release(5), without its quotes.
fn os_release_value(text: &str, key: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
    Some(value.trim().trim_matches(['"', '\'']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_criu_become_podmans_number() {
        assert_eq!(criu_number("Version: 4.1.1"), Some(40_101));
        assert_eq!(criu_number("Warn: x\nVersion: 3.17"), Some(31_700));
        assert_eq!(criu_number("Version: 4.2-dev\nGitID: x"), Some(40_200));
        assert_eq!(criu_number("criu?"), None);
        assert_eq!(criu_number("Version: 4294967295.1"), None);
    }

    #[test]
    fn os_release_is_unquoted() {
        let text = "NAME=x\nID=debian\nVERSION_ID=\"13\"\n";
        assert_eq!(os_release_value(text, "VERSION_ID").as_deref(), Some("13"));
        assert_eq!(os_release_value(text, "ID").as_deref(), Some("debian"));
        assert_eq!(os_release_value(text, "VARIANT"), None);
    }

    #[test]
    fn a_program_that_is_missing_or_fails_says_so() {
        assert_eq!(output("no-such-program", &[]), Err("not found".into()));
        assert_eq!(output("sh", &["-c", "echo why >&2; exit 3"]), Err("why".into()));
        assert_eq!(output("sh", &["-c", "echo yes"]), Ok("yes".into()));
    }
}
