//! Secrets, as files and as variables.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use cli::{Hint, usage};

use crate::actions::Action;
use crate::args::EngineArgs;
use crate::job::Job;
use crate::notation::secret::{EVERYBODY, FileOwner, Secret, Target};
use crate::path;
use crate::rules::engine::bound_files::Files;
use crate::runtime_spec::mounts::{self, Mount};
use crate::runtime_spec::{Spec, env, id_map};

/// Longer than any variable that the kernel accepts (MAX_ARG_STRLEN).
const MAX_SECRET: u64 = 128 << 10;

/// Returns the file with the secret: the one that the flag names, or the one in the directory of
/// secrets.
///
/// # Errors
/// Returns an error if neither is given.
fn file_of(secret: &Secret, root: Option<&Path>) -> anyhow::Result<PathBuf> {
    let file = secret.file.clone().or_else(|| Some(root?.join(&secret.name)));
    file.ok_or_else(|| {
        Hint::on(
            usage(format!("--secret {}: its file is not known", secret.name)),
            format!("--secret {},src=FILE, or add --secret-root DIR", secret.name),
        )
    })
}

/// Returns the variables that are secrets, with their files, from `--secret-env` and from
/// `--secret` with `type=env`.
///
/// # Errors
/// Returns an error if a file is not given.
pub fn env_files(args: &EngineArgs, env: &[(String, PathBuf)]) -> anyhow::Result<Vec<(String, PathBuf)>> {
    let mut all = env.to_vec();
    for secret in &args.secret {
        if let Target::Variable(name) = &secret.to {
            all.push((name.clone(), file_of(secret, args.secret_root.as_deref())?));
        }
    }
    Ok(all)
}

/// Adds bind mounts of the secrets that are files. Without a copy, the file itself is bound
/// read-only.
///
/// # Errors
/// Returns an error if a file does not exist, or if a secret needs an owner and there is no
/// directory for the copy.
pub fn bind(job: &mut Job<'_>, files: &mut Files) -> anyhow::Result<()> {
    let args = &job.args.engine;
    for secret in &args.secret {
        let Target::File { destination, owner } = &secret.to else { continue };
        let file = file_of(secret, args.secret_root.as_deref())?;
        let from = std::path::absolute(&file).with_context(|| cli::display_path(&file))?;
        if !from.metadata().with_context(|| cli::display_path(&file))?.is_file() {
            anyhow::bail!("{}: not a file", cli::display_path(&file));
        }
        let from = path::utf8(from)?;
        let Some(copies) = &args.secret_copies else {
            if owner.is_some() {
                return Err(Hint::on(
                    usage(format!(
                        "--secret {}: uid=, gid= and mode= need a copy of the secret",
                        secret.name
                    )),
                    "add --secret-copies DIR --apply",
                ));
            }
            mounts::put(&mut job.spec, &Mount::host_file(&from, destination));
            continue;
        };
        let FileOwner { uid, gid, mode } = owner.unwrap_or(EVERYBODY);
        let (uid, gid) = id_map::process_on_host(&job.container.id_maps, uid, gid)?;
        let to = std::path::absolute(copies.join(&secret.name)).with_context(|| cli::display_path(copies))?;
        let to = path::utf8(to)?;
        job.actions.push(Action::Copy { from, to: to.clone(), mode, uid, gid });
        files.insert(destination.clone(), to);
    }
    Ok(())
}

/// Sets the variables whose values are secrets. `wanted` comes from the container config: variable
/// and secret. `files` comes from flags, by the name of the variable or of the secret.
///
/// # Errors
/// Returns an error if a secret's file is not given, or if its content cannot be the value of a
/// variable.
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
        let shown = || cli::display_path(file);
        let input = cli::Input::open(Some(file), "a secret")?;
        let value = cli::read_document(input, &shown(), MAX_SECRET)?;
        let value = String::from_utf8(value).ok().filter(|v| !v.contains('\0'));
        let value = value
            .with_context(|| format!("{}: not UTF-8, so it cannot be the value of a variable", shown()))?;
        env::set(spec, variable, &value);
    }
    Ok(())
}
