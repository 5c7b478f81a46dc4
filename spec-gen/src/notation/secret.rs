//! The value of `--secret`.

use std::path::PathBuf;

use crate::path;

/// The directory of secrets that have no absolute target.
const DIR: &str = "/run/secrets";

/// The value of `--secret`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    pub name: String,
    pub to: Target,
    /// The file with the content, if the flag names one.
    pub file: Option<PathBuf>,
}

/// The form in which the container gets a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Variable(String),
    File { destination: String, owner: Option<FileOwner> },
}

/// Owner and mode of a secret's file, in IDs of the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileOwner {
    pub uid: u32,
    pub gid: u32,
    pub mode: u32,
}

/// podman's default: owned by root, readable by every user.
pub const EVERYBODY: FileOwner = FileOwner { uid: 0, gid: 0, mode: 0o444 };

impl Secret {
    /// Reads podman's `NAME[,type=mount|env][,target=T][,uid=N][,gid=N][,mode=M]`; `src=FILE`,
    /// which is buildah's option, names the file with the content.
    ///
    /// # Errors
    /// Returns an error that states what was expected.
    pub fn parse(text: &str) -> Result<Secret, String> {
        let (mut name, mut kind, mut target, mut file) = ("", "mount", None, None);
        let (mut uid, mut gid, mut mode) = (None, None, None);
        for (i, field) in text.split(',').enumerate() {
            let (key, value) = match field.split_once('=') {
                None if i == 0 => ("source", field),
                None => return Err(format!("{field}: expected OPTION=VALUE")),
                Some(field) => field,
            };
            let number = || value.parse::<u32>().ok().filter(|n| *n != u32::MAX).ok_or("expected an ID");
            match key {
                "source" => name = value,
                "type" => kind = value,
                "target" if value.is_empty() => return Err("target=: expected a value".into()),
                "target" => target = Some(value),
                "src" => file = Some(PathBuf::from(value)),
                "uid" | "UID" => uid = Some(number()?),
                "gid" | "GID" => gid = Some(number()?),
                "mode" => {
                    let octal = u32::from_str_radix(value, 8).ok().filter(|mode| *mode <= 0o7777);
                    mode = Some(octal.ok_or("mode=: expected an octal number")?);
                }
                other => return Err(format!("{other}: not an option of a secret")),
            }
        }
        let is_name = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || !name.chars().all(is_name) {
            return Err(
                "expected a name of letters, digits, '_', '.' and '-' that starts with a letter or digit"
                    .into(),
            );
        }
        let owned = uid.is_some() || gid.is_some() || mode.is_some();
        let to = match kind {
            "env" if owned => return Err("uid=, gid= and mode= conflict with type=env".into()),
            "env" => Target::Variable(variable(target.unwrap_or(name))?),
            "mount" => {
                let owner = FileOwner {
                    uid: uid.unwrap_or(EVERYBODY.uid),
                    gid: gid.unwrap_or(EVERYBODY.gid),
                    mode: mode.unwrap_or(EVERYBODY.mode),
                };
                Target::File {
                    destination: destination(target.unwrap_or(name))?,
                    owner: owned.then_some(owner),
                }
            }
            other => return Err(format!("type={other}: expected mount or env")),
        };
        Ok(Secret { name: name.to_owned(), to, file })
    }
}

fn variable(name: &str) -> Result<String, String> {
    if name.contains('=') {
        Err(format!("{name}: the name of a variable must not contain '='"))
    } else {
        Ok(name.to_owned())
    }
}

fn destination(target: &str) -> Result<String, String> {
    let path = if target.starts_with('/') { target.to_owned() } else { format!("{DIR}/{target}") };
    let clean = path::clean(&path);
    let inside = target.starts_with('/') || clean.starts_with(&format!("{DIR}/"));
    if inside && clean != "/" {
        Ok(clean)
    } else {
        Err(format!("target={target}: expected the path of a file"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(destination: &str, owner: Option<FileOwner>) -> Target {
        Target::File { destination: destination.into(), owner }
    }

    #[test]
    fn secrets_are_parsed_as_podman_parses_them() {
        let owner = |uid, gid, mode| Some(FileOwner { uid, gid, mode });
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
    fn paths_outside_the_secret_directories_are_refused() {
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
