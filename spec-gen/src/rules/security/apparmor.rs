//! `--check-host`: checks whether this host can apply the container's AppArmor profile.
//!
//! podman checks this when it generates the spec. spec-gen checks it only on request, because its
//! output must not depend on the host that it runs on.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::{Context, bail};
use nix::unistd::geteuid;

use crate::job::Job;
use crate::runtime_spec::Spec;
use crate::runtime_spec::key;

/// The file below /sys that states whether AppArmor is enabled.
const ENABLED: &str = "module/apparmor/parameters/enabled";
const PROFILES: &str = "kernel/security/apparmor/profiles";

/// The value that means no profile.
const UNCONFINED: &str = "unconfined";

/// podman creates and loads profiles with this prefix when it starts a container.
const PODMANS_OWN: &str = "containers-default-";

/// On a host without AppArmor, removes a profile with which no container can start, as podman does:
/// runc and crun reject even `unconfined` there. A profile of the input that no flag refers to is
/// kept.
///
/// # Errors
/// Returns an error if a flag names a profile and the host has no AppArmor: otherwise the container
/// would silently be unconfined.
pub fn settle(job: &mut Job<'_>) -> anyhow::Result<()> {
    let flag = job.args.security.apparmor.as_deref();
    let concerns_us = flag.is_some() || job.container.is_libpod;
    let Some(profile) =
        job.spec.text(key::PROCESS_APPARMOR_PROFILE).filter(|_| concerns_us).map(str::to_owned)
    else {
        return Ok(());
    };
    let is_profile = profile != UNCONFINED;
    // --check-host reports a profile that the host cannot apply.
    if Host::of_process(false).is_enabled()? || is_profile && job.args.security.check_host {
        return Ok(());
    }
    if is_profile && flag.is_some() {
        return Err(cli::Hint::on(
            anyhow::anyhow!("--apparmor {profile}: AppArmor is disabled on the host"),
            "to start the container without a profile: --apparmor unconfined",
        ));
    }
    if is_profile {
        job.session.warn(format_args!(
            "{}: process.apparmorProfile: {profile} dropped: AppArmor is disabled on the host",
            job.name
        ));
    }
    job.spec.remove(key::PROCESS_APPARMOR_PROFILE);
    job.trace.because(&job.spec, || "no AppArmor on the host".into());
    Ok(())
}

/// Checks whether this host can apply the profile in the spec. Returns a warning if another tool
/// must load it first.
///
/// # Errors
/// Returns an error if the host cannot apply the profile.
pub fn check(spec: &Spec, rootless: bool) -> anyhow::Result<Option<String>> {
    let Some(profile) = spec.text(key::PROCESS_APPARMOR_PROFILE).filter(|p| !p.is_empty()) else {
        return Ok(None);
    };
    Host::of_process(rootless).check(profile).context(key::PROCESS_APPARMOR_PROFILE)
}

struct Host<'a> {
    rootless: bool,
    sys: &'a Path,
}

impl Host<'_> {
    fn of_process(rootless: bool) -> Host<'static> {
        Host { rootless: rootless || !geteuid().is_root(), sys: Path::new("/sys") }
    }

    fn is_enabled(&self) -> anyhow::Result<bool> {
        Ok(self.read(ENABLED)?.starts_with('Y'))
    }

    /// Reads a file of the kernel. Returns an empty string if it does not exist.
    fn read(&self, file: &str) -> anyhow::Result<String> {
        let path = self.sys.join(file);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(text),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(String::new()),
            Err(e) => Err(e).with_context(|| cli::display_path(&path)),
        }
    }

    fn check(&self, profile: &str) -> anyhow::Result<Option<String>> {
        if profile == UNCONFINED {
            return Ok(None);
        }
        if self.rootless {
            bail!("cannot load AppArmor profile {profile:?} as an ordinary user");
        }
        if !self.is_enabled()? {
            bail!("profile {profile:?} specified but AppArmor is disabled on the host");
        }
        // Each line is `NAME (MODE)`.
        let profiles = self.read(PROFILES)?;
        let is_loaded =
            profiles.lines().any(|l| l.rsplit_once(" (").is_some_and(|(name, _)| name == profile));
        match is_loaded {
            true => Ok(None),
            false if profile.starts_with(PODMANS_OWN) => Ok(Some(format!(
                "process.apparmorProfile: {profile:?} is not loaded; podman loads it, but other runtimes fail without it"
            ))),
            false => bail!("AppArmor profile {profile:?} specified but not loaded"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_must_be_loaded_on_the_host() {
        const LOADED: &str = "docker-default (enforce)\n/usr/bin/man (complain)\nmy profile (enforce)\n";
        let sys = tempfile::tempdir().unwrap();
        let put = |file: &str, text: &str| {
            let path = sys.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put(PROFILES, LOADED);
        let answer = |profile: &str, rootless: bool, enabled: bool| {
            put(ENABLED, if enabled { "Y\n" } else { "N\n" });
            let host = Host { rootless, sys: sys.path() };
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
        assert!(answer("containers-default-0.62.2", false, true).contains("is not loaded; podman loads it"));
        // A kernel without AppArmor has neither file.
        fs::remove_dir_all(sys.path().join("module")).unwrap();
        let error =
            Host { rootless: false, sys: sys.path() }.check("docker-default").unwrap_err().to_string();
        assert!(error.ends_with("AppArmor is disabled on the host"), "{error}");
        // An unreadable list must not count as an empty list.
        put(ENABLED, "Y\n");
        fs::remove_file(sys.path().join(PROFILES)).unwrap();
        fs::create_dir(sys.path().join(PROFILES)).unwrap();
        let error = Host { rootless: false, sys: sys.path() }.check("docker-default").unwrap_err();
        assert!(format!("{error:#}").ends_with("profiles: Is a directory (os error 21)"), "{error:#}");
    }
}
