//! `--mount`: podman's long notation.

use anyhow::{Context, bail};
use cli::usage;

use super::glob::Pattern;
use super::mount_options::{MountClass, complete};
use super::volume::{self, Volume, absolute, tmpfs};
use crate::notation::boolean::boolean;
use crate::notation::csv;
use crate::path;
use crate::runtime_spec::mounts::{Mount, check_destination};

/// Parses the `type=…,src=…,dst=…` of `--mount`. For `type=glob`, returns one mount for each path
/// that matches.
///
/// # Errors
/// Returns an error that names the flag if the value is not valid.
pub fn parse(flag: &str) -> anyhow::Result<Vec<Volume>> {
    match parse_fields(flag).map_err(|e| usage(format!("--mount {flag}: {e:#}")))? {
        ParsedMount::Volume(volume) => Ok(vec![volume]),
        ParsedMount::Paths(paths) => paths.mounts().with_context(|| format!("--mount {flag}")),
    }
}

enum ParsedMount {
    Volume(Volume),
    Paths(Paths),
}

/// The host paths that match a `type=glob` mount. Each path is bound to its own path in the
/// container, or into one directory.
struct Paths {
    pattern: Pattern,
    destination: Option<String>,
    options: Vec<String>,
}

impl Paths {
    fn mounts(self) -> anyhow::Result<Vec<Volume>> {
        let paths = self.pattern.paths()?;
        if paths.is_empty() {
            bail!("no path matches");
        }
        let mounts = paths.into_iter().map(|source| {
            let name = source.rsplit('/').next().unwrap_or_default();
            let destination = match &self.destination {
                Some(dir) => path::clean(&format!("{dir}/{name}")),
                None => source.clone(),
            };
            Volume::Mount(Mount { destination, kind: "bind".into(), source, options: self.options.clone() })
        });
        Ok(mounts.collect())
    }
}

#[derive(Default)]
struct Fields {
    source: String,
    destination: String,
    subpath: String,
    options: Vec<String>,
    writable: Option<bool>,
    nonrecursive: bool,
}

fn parse_fields(flag: &str) -> anyhow::Result<ParsedMount> {
    let words = csv::fields(flag).map_err(anyhow::Error::msg)?;
    let mut kinds = words.iter().filter_map(|f| f.strip_prefix("type="));
    let kind = kinds.next().unwrap_or("volume");
    if kinds.next().is_some() {
        bail!("type= is given twice");
    }
    let mut fields = Fields::default();
    for field in words.iter().filter(|f| !f.starts_with("type=")) {
        let (key, value) = field.split_once('=').map_or((field.as_str(), None), |(k, v)| (k, Some(v)));
        read_field(&mut fields, kind, key, value)?;
    }
    if !(fields.destination.is_empty() && kind == "glob") {
        if fields.destination.is_empty() {
            bail!("dst=PATH is missing");
        }
        check_destination(&fields.destination)?;
    }
    let Fields { source, destination, subpath, mut options, writable, nonrecursive } = fields;
    // Rejects options that this mount type does not support.
    if !subpath.is_empty() && !matches!(kind, "volume" | "image") {
        bail!("subpath: only for volumes and images");
    }
    if !source.is_empty() && matches!(kind, "tmpfs" | "ramfs" | "devpts") {
        bail!("src={source}: a {kind} mount has no source");
    }
    if nonrecursive && kind != "bind" {
        bail!("bind-nonrecursive: only for type=bind");
    }
    if let (Some(option), "image") = (options.first(), kind) {
        bail!("{option}: not an option of type=image");
    }
    if let (Some(writable), true) = (writable, kind != "image") {
        options.insert(0, if writable { "rw" } else { "ro" }.into());
    }
    Ok(ParsedMount::Volume(match kind {
        "glob" if source.is_empty() => bail!("src= is missing"),
        // podman's rule: without a source, the host path equals the destination.
        "bind" if source.is_empty() => {
            let options = complete(options, MountClass::Bind)?;
            Volume::Mount(Mount { source: destination.clone(), destination, kind: "bind".into(), options })
        }
        "volume" if source.is_empty() => volume::anonymous(&destination, options)?,
        "glob" => {
            if destination.is_empty() && !source.starts_with('/') {
                bail!("{source}: expected an absolute path, or dst=DIR");
            }
            let destination = Some(destination).filter(|dir| !dir.is_empty());
            let (pattern, options) = (Pattern::parse(&source)?, complete(options, MountClass::Bind)?);
            return Ok(ParsedMount::Paths(Paths { pattern, destination, options }));
        }
        "bind" => {
            if nonrecursive && !options.iter().any(|o| o == "bind") {
                options.push("bind".into());
            }
            let options = complete(options, MountClass::Bind)?;
            Volume::Mount(Mount { destination, kind: "bind".into(), source: absolute(&source)?, options })
        }
        "volume" => {
            let options = if options.iter().any(|o| o == "O") {
                options
            } else {
                complete(options, MountClass::Named)?
            };
            Volume::Named { name: source, destination, options, subpath }
        }
        "tmpfs" | "ramfs" => {
            let mut mount = tmpfs(&destination, complete(options, MountClass::Tmpfs)?);
            if kind == "ramfs" {
                (mount.kind, mount.source) = ("ramfs".into(), "ramfs".into());
                // ramfs has no quota and takes no mount data but mode.
                mount.options.retain(|o| !o.starts_with("size=") && o != "tmpcopyup");
            }
            Volume::Mount(mount)
        }
        "devpts" => {
            let options = complete(options, MountClass::Other)?;
            Volume::Mount(Mount { destination, kind: "devpts".into(), source: "devpts".into(), options })
        }
        "image" if source.is_empty() => bail!("src=IMAGE is missing"),
        "image" => {
            Volume::Image { reference: source, destination, writable: writable.unwrap_or(false), subpath }
        }
        other => bail!("type {other:?} is not one of bind, volume, tmpfs, ramfs, devpts, image, glob"),
    }))
}

fn read_field(fields: &mut Fields, kind: &str, key: &str, value: Option<&str>) -> anyhow::Result<()> {
    let needed = || value.filter(|v| !v.is_empty()).with_context(|| format!("{key}=: expected a value"));
    match key {
        "source" | "src" => once(&mut fields.source, key, needed()?)?,
        "destination" | "dst" | "dest" | "target" => once(&mut fields.destination, key, needed()?)?,
        "subpath" | "volume-subpath" => once(&mut fields.subpath, key, needed()?)?,
        "ro" | "readonly" | "rw" | "readwrite" if fields.writable.is_some() => {
            bail!("{key}: more than one of ro and rw");
        }
        "ro" | "readonly" => fields.writable = Some(!truth(key, value)?),
        "rw" | "readwrite" => fields.writable = Some(truth(key, value)?),
        "z" | "Z" if value.is_some() => {
            if truth(key, value)? {
                fields.options.push(key.to_owned());
            }
        }
        "bind-propagation" => fields.options.push(needed()?.to_owned()),
        "bind-nonrecursive" => fields.nonrecursive = truth(key, value)?,
        "relabel" => fields.options.push(
            match needed()? {
                "shared" => "z",
                "private" => "Z",
                other => bail!("relabel={other}: expected shared or private"),
            }
            .into(),
        ),
        "U" | "chown" => {
            if truth(key, value)? {
                fields.options.push("U".into());
            }
        }
        "tmpfs-size" => fields.options.push(format!("size={}", needed()?)),
        "tmpfs-mode" => fields.options.push(format!("mode={}", needed()?)),
        "consistency" => {}
        "notmpcopyup" if kind == "tmpfs" => fields.options.push("notmpcopyup".into()),
        _ => fields.options.push(value.map_or_else(|| key.to_owned(), |v| format!("{key}={v}"))),
    }
    Ok(())
}

/// Sets a field, and rejects a second value for it, because one of the two values would be lost.
fn once(field: &mut String, key: &str, value: &str) -> anyhow::Result<()> {
    if !field.is_empty() {
        bail!("{key}= is given twice");
    }
    value.clone_into(field);
    Ok(())
}

fn truth(key: &str, value: Option<&str>) -> anyhow::Result<bool> {
    match value.map(boolean) {
        None => Ok(true),
        Some(Ok(truth)) => Ok(truth),
        Some(Err(expected)) => bail!("{key}={}: {expected}", value.unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_parsed_as_podman_parses_them() {
        let all = parse("type=bind,src=/h,dst=/m,ro,bind-propagation=rslave,bind-nonrecursive").unwrap();
        let [Volume::Mount(mount)] = &all[..] else { panic!("{all:?}") };
        assert_eq!(mount.options.join(","), "ro,rslave,bind");
        #[rustfmt::skip]
        let cases = [
            ("type=bind,\"src=/a,b\",dst=/m", "/a,b", "rw,rprivate,rbind"), ("type=bind,\"source=/a\"\"b\",target=/m,Z=false,z=1", "/a\"b", "z,rw,rprivate,rbind"),
            ("type=bind,dest=/m,readonly=T", "/m", "ro,rprivate,rbind"), ("type=bind,src=/h,dst=/m,rw=f,consistency=cached,chown=true", "/h", "ro,U,rprivate,rbind"),
        ];
        for (flag, source, options) in cases {
            let all = parse(flag).unwrap();
            let [Volume::Mount(mount)] = &all[..] else { panic!("{all:?}") };
            assert_eq!(
                (mount.source.as_str(), mount.options.join(",").as_str()),
                (source, options),
                "{flag}"
            );
        }
    }

    #[test]
    fn invalid_mount_flags_are_reported() {
        for (flag, message) in [
            ("type=bind,src=/h", "dst=PATH is missing"),
            ("type=nfs,src=a,dst=/m", "\"nfs\" is not one of"),
            ("type=bind,src=/a,dst=/m,ro=maybe", "true or false"),
            ("type=bind,src=/a,src=/b,dst=/m", "src= is given twice"),
            ("type=bind,src=/a,dst=/m,target=/n", "target= is given twice"),
            ("type=bind,type=tmpfs,dst=/m", "type= is given twice"),
            ("type=bind,src=/a,dst=/m,ro,rw", "more than one of ro and rw"),
            ("type=bind,src=\"/a,b\",dst=/m", "quoted completely"),
            ("type=bind,\"src=/a,b,dst=/m", "no closing quote"),
            ("type=glob,dst=/m", "src= is missing"),
            ("type=glob,src=/[,dst=/m", "not a pattern"),
            ("type=glob,src=a*", "expected an absolute path"),
            ("type=glob,src=/a*,dst=m", "must be an absolute path"),
            ("type=glob,src=/a*,dst=/m,bind-nonrecursive", "only for type=bind"),
        ] {
            let error = parse(flag).unwrap_err();
            assert!(error.is::<cli::Usage>() && format!("{error:#}").contains(message), "{flag}: {error:#}");
        }
    }
}
