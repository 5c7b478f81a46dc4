//! The process's environment: one value for each name.
//!
//! runtime-tools looks a name up in a cache keyed by `NAME=VALUE` and so never finds it: podman's
//! containers get the name twice and the shell decides (opencontainers/runtime-tools#798).

use std::path::Path;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use crate::spec::Spec;

const ENV: &str = "process.env";

/// The name of an entry: what stands before the first `=`.
pub fn name_of(entry: &str) -> &str {
    entry.split_once('=').map_or(entry, |(name, _)| name)
}

/// Whether the variable is set; `NAME=` counts.
pub fn is_set(spec: &Spec, name: &str) -> bool {
    spec.list(ENV).iter().filter_map(Value::as_str).any(|e| e.contains('=') && name_of(e) == name)
}

/// The value of a variable.
pub fn value<'a>(spec: &'a Spec, name: &str) -> Option<&'a str> {
    let pairs = spec.list(ENV).iter().filter_map(|e| e.as_str()?.split_once('='));
    pairs.into_iter().find(|(n, _)| *n == name).map(|(_, value)| value)
}

/// Sets a variable in the place where it stands, or at the end; a second entry of the name goes.
pub fn set(spec: &mut Spec, name: &str, value: &str) {
    let entry = json!(format!("{name}={value}"));
    let list = spec.list_mut(ENV);
    let is_name = |v: &Value| v.as_str().is_some_and(|e| name_of(e) == name);
    match list.iter().position(is_name) {
        Some(first) => {
            let mut at = 0;
            list.retain(|v| {
                at += 1;
                at - 1 <= first || !is_name(v)
            });
            list[first] = entry;
        }
        None => list.push(entry),
    }
}

/// Sets a variable unless it is set.
pub fn set_default(spec: &mut Spec, name: &str, value: &str) {
    if !is_set(spec, name) {
        set(spec, name, value);
    }
}

/// Sets what spec-gen's own environment holds, unless it is set.
pub fn set_own(spec: &mut Spec) {
    for (name, value) in own() {
        set_default(spec, &name, &value);
    }
}

/// spec-gen's own environment in the order of the names; what is not UTF-8 cannot stand in a spec.
fn own() -> Vec<(String, String)> {
    let mut own: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    own.sort();
    own
}

/// The proxy variables, each in lower and upper case.
const PROXIES: [&str; 4] = ["http_proxy", "https_proxy", "ftp_proxy", "no_proxy"];

/// Sets the proxy variables that spec-gen's own environment holds, unless they are set.
pub fn set_proxies(spec: &mut Spec) {
    for (name, value) in own() {
        if PROXIES.iter().any(|proxy| name == *proxy || name == proxy.to_ascii_uppercase()) {
            set_default(spec, &name, &value);
        }
    }
}

/// Returns whether `-e FLAG` sets the variable.
pub fn gives(flag: &str, name: &str) -> bool {
    let flag = flag.trim_start();
    match flag.split_once('=') {
        Some((given, _)) => given == name,
        None => {
            let named = flag.strip_suffix('*').map_or(flag == name, |prefix| name.starts_with(prefix));
            named && std::env::var_os(name).is_some()
        }
    }
}

/// Removes a variable.
pub fn unset(spec: &mut Spec, name: &str) {
    if !spec.list(ENV).is_empty() {
        spec.list_mut(ENV).retain(|v| v.as_str().is_none_or(|e| name_of(e) != name));
    }
}

/// What `-e` asks for: `NAME=VALUE`, or `NAME` and `PREFIX*` for what spec-gen's own environment holds.
///
/// # Errors
/// When no name stands before the `=`.
pub fn apply_flag(spec: &mut Spec, flag: &str) -> anyhow::Result<()> {
    // podman trims the front of a name, and nothing else.
    let flag = flag.trim_start();
    match flag.split_once('=') {
        Some(("", _)) => bail!("--env {flag}: no name stands before the '='"),
        Some((name, value)) => set(spec, name, value),
        None => {
            let prefix = flag.strip_suffix('*');
            for (name, value) in own() {
                if prefix.map_or(name == flag, |p| name.starts_with(p)) {
                    set(spec, &name, &value);
                }
            }
        }
    }
    Ok(())
}

/// Calls `apply` with place and content of each line of an `--env-file` or `--label-file`; blank lines and `#` comments are
/// passed over. `what` is what the user is asked for at a terminal.
///
/// # Errors
/// When the file cannot be read; names the line.
pub fn each_line(
    file: &Path,
    what: &str,
    apply: &mut dyn FnMut(&str, &str) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let input = cli::Input::open(Some(file), what)?;
    let name = input.name().to_owned();
    let text = cli::read_document(input, &name, 1 << 20)?;
    let text = std::str::from_utf8(&text).with_context(|| name.clone())?;
    for (i, line) in text.lines().enumerate() {
        let (line, at) = (line.trim_start(), format!("{name}:{}", i + 1));
        if !line.is_empty() && !line.starts_with('#') {
            apply(&at, line).context(at.clone())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(env: &[&str]) -> Spec {
        Spec::new(json!({ "process": { "env": env } }))
    }

    #[test]
    fn a_variable_is_replaced_where_it_stands_and_never_doubled() {
        let mut spec = spec(&["A=1", "B=2", "A=3", "AB=4"]);
        set(&mut spec, "A", "x");
        set(&mut spec, "C", "");
        assert_eq!(spec.texts(ENV), ["A=x", "B=2", "AB=4", "C="]);
    }

    #[test]
    fn an_empty_value_is_set_and_a_longer_name_is_another() {
        let spec = spec(&["HOME=", "HOMEX=1"]);
        assert!(is_set(&spec, "HOME") && is_set(&spec, "HOMEX") && !is_set(&spec, "HOM"));
    }

    #[test]
    fn env_files_name_the_bad_line() {
        let mut spec = spec(&[]);
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        std::fs::write(&file, "# c\nA=1\n\n=x\n").unwrap();
        let error = each_line(&file, "lines", &mut |_, line| apply_flag(&mut spec, line)).unwrap_err();
        let expected = format!("{}:4: --env =x: no name stands before the '='", file.display());
        assert_eq!(format!("{error:#}"), expected);
    }
}
