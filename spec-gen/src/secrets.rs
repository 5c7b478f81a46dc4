//! Secrets as files and as variables, and the sockets a service manager hands over.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use cli::{Hint, usage};

use crate::actions::Action;
use crate::args::ManagerArgs;
use crate::bindmap::Files;
use crate::mounts::Mount;
use crate::run::Job;
use crate::spec::Spec;
use crate::{env, flags, idmap, mounts};

/// Longer than any one variable the kernel takes (MAX_ARG_STRLEN).
const MAX_SECRET: u64 = 128 << 10;

/// Where secrets are that do not say it themselves.
const DIR: &str = "/run/secrets";

/// What `--secret` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    pub name: String,
    pub to: Target,
    /// The file it is in, where the flag says that.
    pub file: Option<PathBuf>,
}

/// Where a secret goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Variable(String),
    File { destination: String, owner: Option<Owner> },
}

/// Who may read a secret's file, in ids of the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    pub uid: u32,
    pub gid: u32,
    pub mode: u32,
}

/// podman's owner of a secret for which nobody says one.
const EVERYBODY: Owner = Owner { uid: 0, gid: 0, mode: 0o444 };

impl Secret {
    /// Reads podman's `NAME[,type=mount|env][,target=T][,uid=N][,gid=N][,mode=M]`; `src=FILE` (buildah's word) is the file.
    ///
    /// # Errors
    /// With what would have been accepted.
    pub fn parse(text: &str) -> Result<Secret, String> {
        let (mut name, mut kind, mut target, mut file) = ("", "mount", None, None);
        let (mut uid, mut gid, mut mode) = (None, None, None);
        for (i, field) in text.split(',').enumerate() {
            let (key, value) = match field.split_once('=') {
                None if i == 0 => ("source", field),
                None => return Err(format!("{field}: OPT=VALUE is wanted")),
                Some(field) => field,
            };
            let number = || value.parse::<u32>().ok().filter(|n| *n != u32::MAX).ok_or("an id is wanted");
            match key {
                "source" => name = value,
                "type" => kind = value,
                "target" if value.is_empty() => return Err("target= wants a value".into()),
                "target" => target = Some(value),
                "src" => file = Some(PathBuf::from(value)),
                "uid" | "UID" => uid = Some(number()?),
                "gid" | "GID" => gid = Some(number()?),
                "mode" => {
                    let octal = u32::from_str_radix(value, 8).ok().filter(|mode| *mode <= 0o7777);
                    mode = Some(octal.ok_or("mode= wants an octal number")?);
                }
                other => return Err(format!("{other}: not an option of a secret")),
            }
        }
        let is_name = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || !name.chars().all(is_name) {
            return Err("a secret's name is a letter or digit, then letters, digits, '_', '.' and '-'".into());
        }
        let owned = uid.is_some() || gid.is_some() || mode.is_some();
        let to = match kind {
            "env" if owned => return Err("uid=, gid= and mode= are for files".into()),
            "env" => Target::Variable(variable(target.unwrap_or(name))?),
            "mount" => {
                let owner = Owner {
                    uid: uid.unwrap_or(EVERYBODY.uid),
                    gid: gid.unwrap_or(EVERYBODY.gid),
                    mode: mode.unwrap_or(EVERYBODY.mode),
                };
                Target::File {
                    destination: destination(target.unwrap_or(name))?,
                    owner: owned.then_some(owner),
                }
            }
            other => return Err(format!("type={other}: mount or env is wanted")),
        };
        Ok(Secret { name: name.to_owned(), to, file })
    }

    /// The file it is in: what the flag says, or the one of its name in the directory of the secrets.
    ///
    /// # Errors
    /// When neither is given.
    fn file(&self, root: Option<&Path>) -> anyhow::Result<PathBuf> {
        let file = self.file.clone().or_else(|| Some(root?.join(&self.name)));
        file.ok_or_else(|| {
            Hint::on(
                usage(format!("--secret {}: its file is not known", self.name)),
                format!("--secret {},src=FILE, or add --secret-root DIR", self.name),
            )
        })
    }
}

fn variable(name: &str) -> Result<String, String> {
    if name.contains('=') { Err(format!("{name}: a variable has no '='")) } else { Ok(name.to_owned()) }
}

fn destination(target: &str) -> Result<String, String> {
    let path = if target.starts_with('/') { target.to_owned() } else { format!("{DIR}/{target}") };
    let clean = mounts::clean(&path);
    let inside = target.starts_with('/') || clean.starts_with(&format!("{DIR}/"));
    if inside && clean != "/" { Ok(clean) } else { Err(format!("target={target}: a file is wanted")) }
}

/// The variables that are secrets and their files: those of `--secret-env` and of `--secret` with `type=env`.
///
/// # Errors
/// When a file is not given.
pub fn env_files(args: &ManagerArgs, env: &[(String, PathBuf)]) -> anyhow::Result<Vec<(String, PathBuf)>> {
    let mut all = env.to_vec();
    for secret in &args.secret {
        if let Target::Variable(name) = &secret.to {
            all.push((name.clone(), secret.file(args.secret_root.as_deref())?));
        }
    }
    Ok(all)
}

/// Binds the secrets that are files. Without a copy the file itself is bound, and the container must not write to it.
///
/// # Errors
/// When a file is not there, or is to have an owner and there is no directory for the copy.
pub fn bind(job: &mut Job<'_>, files: &mut Files) -> anyhow::Result<()> {
    let args = &job.args.manager;
    for secret in &args.secret {
        let Target::File { destination, owner } = &secret.to else { continue };
        let file = secret.file(args.secret_root.as_deref())?;
        let from = std::path::absolute(&file).with_context(|| cli::name(&file))?;
        if !from.metadata().with_context(|| cli::name(&file))?.is_file() {
            anyhow::bail!("{}: not a file", cli::name(&file));
        }
        let from = flags::utf8(from)?;
        let Some(copies) = &args.secret_copies else {
            if owner.is_some() {
                return Err(Hint::on(
                    usage(format!("--secret {}: uid=, gid= and mode= need a copy of it", secret.name)),
                    "add --secret-copies DIR --apply",
                ));
            }
            mounts::put(&mut job.spec, &Mount::host_file(&from, destination));
            continue;
        };
        let Owner { uid, gid, mode } = owner.unwrap_or(EVERYBODY);
        let (uid, gid) = idmap::process_on_host(&job.container.id_maps, uid, gid)?;
        let to = std::path::absolute(copies.join(&secret.name)).with_context(|| cli::name(copies))?;
        let to = flags::utf8(to)?;
        job.actions.push(Action::Copy { from, to: to.clone(), mode, uid, gid });
        files.insert(destination.clone(), to);
    }
    Ok(())
}

/// Sets the variables whose values are secrets. `wanted` is from the container config: variable and secret;
/// `files` from flags, under the variable's or the secret's name.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn at(destination: &str, owner: Option<Owner>) -> Target {
        Target::File { destination: destination.into(), owner }
    }

    #[test]
    fn a_secret_is_named_as_podman_names_it() {
        let owner = |uid, gid, mode| Some(Owner { uid, gid, mode });
        #[rustfmt::skip]
        let cases = [
            ("s1", "s1", at("/run/secrets/s1", None), None),
            ("source=s1", "s1", at("/run/secrets/s1", None), None),
            ("s1,target=foo,uid=5,gid=6,mode=0400", "s1", at("/run/secrets/foo", owner(5, 6, 0o400)), None),
            ("s1,uid=5", "s1", at("/run/secrets/s1", owner(5, 0, 0o444)), None),
            ("s1,target=/abs.txt,src=f", "s1", at("/abs.txt", None), Some("f".into())),
            ("s1,target=a/b", "s1", at("/run/secrets/a/b", None), None),
            ("s1,type=env", "s1", Target::Variable("s1".into()), None),
            ("s1,type=env,target=V", "s1", Target::Variable("V".into()), None),
        ];
        for (text, name, to, file) in cases {
            assert_eq!(Secret::parse(text), Ok(Secret { name: name.into(), to, file }), "{text}");
        }
    }

    #[test]
    fn a_secret_cannot_leave_its_directories() {
        #[rustfmt::skip]
        let bad = [
            "", "../x", "a/b", ".x", "s1,target=../../etc/passwd", "s1,target=..", "s1,target=/", "s1,target=", "s1,mode=9",
            "s1,mode=77777", "s1,uid=-1", "s1,uid=4294967295", "s1,type=foo", "s1,type=env,mode=0400", "s1,x=y", "s1,x",
            "s1,type=env,target=A=B",
        ];
        for text in bad {
            assert!(Secret::parse(text).is_err(), "{text}");
        }
    }
}
