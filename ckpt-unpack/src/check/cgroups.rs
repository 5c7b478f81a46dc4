//! `--check`: the version of cgroups, and the cgroup of the restored processes.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use checkpoint::criu::requirements::Requirements;
use checkpoint::external_mounts::Maker;

use super::restore::{Findings, Form, Restore};
use super::trees;

/// Where the hierarchy of version 2 is mounted if there is no other one.
const UNIFIED: &str = "/sys/fs/cgroup";

/// The variable with the path of a configuration that CRIU reads in addition to its own files.
const CONFIGURATION: &str = "CRIU_CONFIG_FILE";

/// Checks that the host has the version of cgroups that the container used, and that runc restores
/// the processes into the cgroup of `config.json`.
pub fn check(required: &Requirements, restore: &Restore, runtime: &str, findings: &mut Findings) {
    // Only the root of a unified hierarchy has this file (cgroups(7)).
    let host = if Path::new(UNIFIED).join("cgroup.controllers").exists() { 2 } else { 1 };
    if let Some(version) = required.cgroup.filter(|version| *version != host) {
        findings.fails(
            format!("the container used cgroups v{version}, and this host has v{host}"),
            format!("boot with systemd.unified_cgroup_hierarchy={}", version - 1),
        );
    }
    let is_runc = Maker::of(runtime) == Some(Maker::Runc);
    if host == 2 && is_runc && matches!(restore.form, Form::Bundle(_)) && !is_configured() {
        path(&required.cgroups, restore.cgroup.as_deref(), Path::new(UNIFIED), findings);
    }
}

/// Checks the path of the cgroup. With version 2 of cgroups, runc does not pass the path in
/// `config.json` to CRIU, which restores the processes into the cgroup in `cgroup.img`
/// (opencontainers/runc#3546). If that cgroup is paused, the restore never ends.
fn path(images: &BTreeSet<Vec<u8>>, spec: Option<&str>, unified: &Path, findings: &mut Findings) {
    // The path for systemd, SLICE:PREFIX:NAME, has no slash at its start.
    let spec = spec.filter(|path| path.starts_with('/'));
    let remedy = |path: &str| {
        let path = cli::escape(path);
        format!("echo 'cgroup-root :{path}' >criu.conf, and restore with {CONFIGURATION}=criu.conf")
    };
    for cgroup in images {
        let name = trees::text(cgroup);
        let given = spec.filter(|path| path.as_bytes() == cgroup);
        let is_paused = trees::below(cgroup, b"/").is_some_and(|below| {
            let state = PathBuf::from(below.as_os_str()).join("cgroup.freeze");
            fs::read(unified.join(state)).is_ok_and(|state| state.starts_with(b"1"))
        });
        match (spec, given, is_paused) {
            (_, None, false) if images.len() > 1 => {}
            (Some(path), None, false) => findings.needs(
                format!(
                    "checkpoint/cgroup.img: runc restores into the cgroup {name}, not {}",
                    cli::escape(path)
                ),
                remedy(path),
            ),
            (Some(path), None, true) => {
                let text = "checkpoint/cgroup.img: runc restores into the cgroup";
                findings.fails(format!("{text} {name}, which is paused, and never ends"), remedy(path));
            }
            (_, _, true) => findings.fails(
                format!("cgroup {name}: is paused, and the restore into it never ends"),
                "choose another one with spec-gen --restore --cgroups-path PATH",
            ),
            _ => {}
        }
    }
}

/// Returns whether a configuration of CRIU names the cgroup.
fn is_configured() -> bool {
    let files = ["/etc/criu/default.conf", "/etc/criu/runc.conf"].map(PathBuf::from);
    let files = files.into_iter().chain(std::env::var_os(CONFIGURATION).map(PathBuf::from));
    files
        .filter_map(|file| fs::read_to_string(file).ok())
        .any(|text| text.lines().any(|line| line.trim_start().starts_with("cgroup-root")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_or_a_paused_cgroup_is_named() {
        let dir = tempfile::tempdir().unwrap();
        for (cgroup, state) in [("paused", "1\n"), ("old", "0\n")] {
            fs::create_dir(dir.path().join(cgroup)).unwrap();
            fs::write(dir.path().join(cgroup).join("cgroup.freeze"), state).unwrap();
        }
        let remedy = "echo 'cgroup-root :/new' >criu.conf, and restore with CRIU_CONFIG_FILE=criu.conf";
        let other = "choose another one with spec-gen --restore --cgroups-path PATH";
        for (image, spec, text, hint) in [
            (
                "/old",
                Some("/new"),
                "checkpoint/cgroup.img: runc restores into the cgroup /old, not /new",
                remedy,
            ),
            (
                "/paused",
                Some("/new"),
                "checkpoint/cgroup.img: runc restores into the cgroup /paused, which is paused, and never ends",
                remedy,
            ),
            ("/paused", None, "cgroup /paused: is paused, and the restore into it never ends", other),
            (
                "/paused",
                Some("/paused"),
                "cgroup /paused: is paused, and the restore into it never ends",
                other,
            ),
            ("/old", Some("/old"), "", ""),
            ("/old", None, "", ""),
            ("/old", Some("a.slice:b:c"), "", ""),
            ("/gone/../paused", None, "", ""),
        ] {
            let mut findings = Findings::default();
            path(&BTreeSet::from([image.into()]), spec, dir.path(), &mut findings);
            let found = findings.found.first().map_or(("", ""), |f| (f.text.as_str(), f.hint.as_ref()));
            assert_eq!(found, (text, hint), "{image} {spec:?}");
        }
    }
}
