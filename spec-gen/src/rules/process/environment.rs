//! Applies the flags for the environment of the process.

use anyhow::bail;
use cli::usage;

use crate::input::lines::each_line;
use crate::job::Job;
use crate::rules::process::env_merge;
use crate::runtime_spec::key;
use crate::runtime_spec::{Spec, env};

const HOME: &str = "HOME";

/// Applies the flags for the environment, and records whether a flag sets HOME: in this case HOME
/// does not follow the user.
pub fn apply_flags(job: &mut Job<'_>) -> anyhow::Result<()> {
    let args = &job.args.process;
    let Job { spec, trace, container, .. } = job;
    for flag in &args.env_merge {
        env_merge::apply(spec, flag).map_err(|e| usage(format!("{e:#}")))?;
        container.home_is_given |= env::name_of(flag) == HOME;
        container.secret_env.remove(env::name_of(flag));
        trace.because(spec, || format!("--env-merge {flag}"));
    }
    if args.unsetenv_all == Some(true) {
        spec.remove(key::PROCESS_ENV);
        container.secret_env.clear();
        trace.because(spec, || "--unsetenv-all".into());
    }
    for name in &args.unsetenv {
        env::unset(spec, name);
        container.secret_env.remove(name);
        trace.because(spec, || format!("--unsetenv {name}"));
    }
    if args.http_proxy == Some(true) {
        set_proxies(spec);
        trace.because(spec, || "--http-proxy".into());
    }
    if args.env_host == Some(true) {
        set_own(spec);
        trace.because(spec, || "--env-host".into());
    }
    for file in &args.env_file {
        each_line(file, "NAME=VALUE lines", &mut |at, line| {
            apply_flag(spec, line)?;
            container.home_is_given |= gives(line, HOME);
            container.secret_env.retain(|variable, _| !gives(line, variable));
            trace.because(spec, || format!("--env-file: {at}"));
            Ok(())
        })?;
    }
    for flag in &args.env {
        apply_flag(spec, flag).map_err(|e| usage(format!("{e:#}")))?;
        container.home_is_given |= gives(flag, HOME);
        container.secret_env.retain(|variable, _| !gives(flag, variable));
        trace.because(spec, || format!("--env {flag}"));
    }
    Ok(())
}

/// Sets the variables of spec-gen's own environment that are not set.
fn set_own(spec: &mut Spec) {
    for (name, value) in own() {
        env::set_default(spec, &name, &value);
    }
}

/// Returns spec-gen's own environment, ordered by name. Omits variables that are not UTF-8, which a
/// spec cannot hold.
fn own() -> Vec<(String, String)> {
    let mut own: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    own.sort();
    own
}

/// The proxy variables, each of which exists in lower and upper case.
const PROXIES: [&str; 4] = ["http_proxy", "https_proxy", "ftp_proxy", "no_proxy"];

/// Sets the proxy variables of spec-gen's own environment that are not set.
fn set_proxies(spec: &mut Spec) {
    for (name, value) in own() {
        if PROXIES.iter().any(|proxy| name == *proxy || name == proxy.to_ascii_uppercase()) {
            env::set_default(spec, &name, &value);
        }
    }
}

/// Reports whether `-e FLAG` sets the variable.
fn gives(flag: &str, name: &str) -> bool {
    let flag = flag.trim_start();
    match flag.split_once('=') {
        Some((given, _)) => given == name,
        None => {
            let named = flag.strip_suffix('*').map_or(flag == name, |prefix| name.starts_with(prefix));
            named && std::env::var_os(name).is_some()
        }
    }
}

/// Applies `-e`: `NAME=VALUE`, or `NAME` and `PREFIX*` for variables of spec-gen's own environment.
///
/// # Errors
/// Returns an error if there is no name before the `=`.
fn apply_flag(spec: &mut Spec, flag: &str) -> anyhow::Result<()> {
    // podman trims only the start of a name.
    let flag = flag.trim_start();
    match flag.split_once('=') {
        Some(("", _)) => bail!("--env {flag}: no name before the '='"),
        Some((name, value)) => env::set(spec, name, value),
        None => {
            let prefix = flag.strip_suffix('*');
            for (name, value) in own() {
                if prefix.map_or(name == flag, |p| name.starts_with(p)) {
                    env::set(spec, &name, &value);
                }
            }
        }
    }
    Ok(())
}

/// Passes on the variables of socket activation: `LISTEN_FDS`, `LISTEN_FDNAMES`, and `LISTEN_PID` with
/// the value 1, the PID of the first process in the PID namespace of the container.
pub fn listen_fds(spec: &mut Spec) {
    let own = |name: &str| std::env::var(name).ok();
    if own("LISTEN_PID").is_some() {
        env::set(spec, "LISTEN_PID", "1");
    }
    for name in ["LISTEN_FDS", "LISTEN_FDNAMES"] {
        if let Some(value) = own(name) {
            env::set(spec, name, &value);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(env: &[&str]) -> Spec {
        Spec::new(json!({ "process": { "env": env } }))
    }

    #[test]
    fn an_invalid_line_of_an_env_file_is_reported() {
        let mut spec = spec(&[]);
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        std::fs::write(&file, "# c\nA=1\n\n=x\n").unwrap();
        let error = each_line(&file, "lines", &mut |_, line| apply_flag(&mut spec, line)).unwrap_err();
        let expected = format!("{}:4: --env =x: no name before the '='", file.display());
        assert_eq!(format!("{error:#}"), expected);
    }
}
