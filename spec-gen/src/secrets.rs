//! Secrets as variables, and the sockets a service manager hands over.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context;
use cli::Hint;

use crate::env;
use crate::spec::Spec;

/// Longer than any one variable the kernel takes (MAX_ARG_STRLEN).
const MAX_SECRET: u64 = 128 << 10;

/// Sets the variables whose values are secrets. `wanted` is from the container config: variable and secret;
/// `files` from `--secret-env`, under the variable's or the secret's name.
///
/// # Errors
/// When a secret's file is not given or holds what a variable cannot.
pub fn apply(
    spec: &mut Spec,
    wanted: &BTreeMap<String, String>,
    files: &[(String, PathBuf)],
) -> anyhow::Result<()> {
    let mut values: BTreeMap<&str, &PathBuf> = BTreeMap::new();
    for (variable, secret) in wanted {
        let by_name = |name: &str| files.iter().find(|(n, _)| n == name).map(|(_, file)| file);
        let Some(file) = by_name(variable).or_else(|| by_name(secret)) else {
            return Err(Hint::on(
                anyhow::anyhow!(
                    "secret {secret}: its value for the variable {variable} is not in the container config"
                ),
                format!("add --secret-env {variable}=FILE"),
            ));
        };
        values.insert(variable, file);
    }
    for (name, file) in files {
        if !wanted.values().any(|secret| secret == name) {
            values.insert(name, file);
        }
    }
    for (variable, file) in values {
        let shown = || cli::name(file);
        let input = cli::Input::open(Some(file), "a secret")?;
        let value = cli::read_document(input, &shown(), MAX_SECRET)?;
        let value = String::from_utf8(value).ok().filter(|v| !v.contains('\0'));
        let value =
            value.with_context(|| format!("{}: not text, and a variable holds only text", shown()))?;
        env::set(spec, variable, &value);
    }
    Ok(())
}

/// Passes on `LISTEN_PID`, `LISTEN_FDS` and `LISTEN_FDNAMES`; the container's first process is pid 1 in its namespace.
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
