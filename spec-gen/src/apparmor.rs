//! `--check-host`: whether this host can give the container its AppArmor profile.
//!
//! podman asks when it generates the spec; spec-gen only when it is told that the container starts on this host, for the
//! result must not depend on the machine it is made on.

use std::fs;
use std::io;

use anyhow::{Context, bail};
use nix::unistd::geteuid;

use crate::spec::Spec;

const ENABLED: &str = "/sys/module/apparmor/parameters/enabled";
const PROFILES: &str = "/sys/kernel/security/apparmor/profiles";

/// Profiles of this name podman makes and loads itself when it starts a container.
const PODMANS_OWN: &str = "containers-default-";

/// Asks this host for the profile in the spec; a warning where another tool has to load it first.
///
/// # Errors
/// When the profile cannot be applied here.
pub fn check(spec: &Spec, rootless: bool) -> anyhow::Result<Option<String>> {
    let Some(profile) = spec.text("process.apparmorProfile").filter(|p| !p.is_empty()) else {
        return Ok(None);
    };
    let host = Host {
        rootless: rootless || !geteuid().is_root(),
        enabled: read(ENABLED)?.is_some_and(|text| text.trim_start().starts_with('Y')),
        loaded: &|| Ok(read(PROFILES)?.unwrap_or_default()),
    };
    host.check(profile).context("process.apparmorProfile")
}

fn read(path: &str) -> anyhow::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e).with_context(|| path.to_owned()),
    }
}

struct Host<'a> {
    rootless: bool,
    enabled: bool,
    /// The kernel's list: `NAME (MODE)` on each line.
    loaded: &'a dyn Fn() -> anyhow::Result<String>,
}

impl Host<'_> {
    fn check(&self, profile: &str) -> anyhow::Result<Option<String>> {
        if profile == "unconfined" {
            return Ok(None);
        }
        if self.rootless {
            bail!("cannot load AppArmor profile {profile:?} as an ordinary user");
        }
        if !self.enabled {
            bail!("profile {profile:?} specified but AppArmor is disabled on the host");
        }
        let loaded = (self.loaded)()?;
        let is_loaded = loaded.lines().any(|l| l.rsplit_once(" (").is_some_and(|(name, _)| name == profile));
        match is_loaded {
            true => Ok(None),
            false if profile.starts_with(PODMANS_OWN) => Ok(Some(format!(
                "process.apparmorProfile: {profile:?} is not loaded: podman loads it, other runtimes fail without it"
            ))),
            false => bail!("AppArmor profile {profile:?} specified but not loaded"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_must_be_one_this_host_has() {
        const LOADED: &str = "docker-default (enforce)\n/usr/bin/man (complain)\nmy profile (enforce)\n";
        let answer = |profile: &str, rootless: bool, enabled: bool| {
            let host = Host { rootless, enabled, loaded: &|| Ok(LOADED.into()) };
            match host.check(profile) {
                Ok(warning) => warning.unwrap_or_default(),
                Err(e) => format!("error: {e}"),
            }
        };
        #[rustfmt::skip]
        let cases = [
            ("unconfined", true, false, ""),
            ("docker-default", false, true, ""),
            ("my profile", false, true, ""),
            ("/usr/bin/man", false, true, ""),
            ("docker", false, true, "error: AppArmor profile \"docker\" specified but not loaded"),
            ("docker-default", false, false, "error: profile \"docker-default\" specified but AppArmor is disabled on the host"),
            ("docker-default", true, true, "error: cannot load AppArmor profile \"docker-default\" as an ordinary user"),
        ];
        for (profile, rootless, enabled, expected) in cases {
            assert_eq!(answer(profile, rootless, enabled), expected);
        }
        assert!(answer("containers-default-0.62.2", false, true).contains("is not loaded: podman loads it"));
    }
}
