//! Parses `-v` and `--tmpfs`, podman's short notations of mounts. [`mount_flag`](super::mount_flag)
//! parses `--mount`.

use anyhow::{Context, bail};
use cli::usage;

use crate::notation::mounts::mount_options::{self, MountClass};
use crate::runtime_spec::mounts::{Mount, check_destination};

/// The mount or volume that one flag requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Volume {
    /// A complete mount: bind, tmpfs, devpts, …
    Mount(Mount),
    /// A named volume. The caller knows its directory.
    Named { name: String, destination: String, options: Vec<String>, subpath: String },
    /// A directory below an overlay (`:O`): writes of the container do not reach the directory.
    Overlay { source: String, destination: String, options: Vec<String> },
    /// The tree of an image.
    Image { reference: String, destination: String, writable: bool, subpath: String },
}

impl Volume {
    /// Returns the destination.
    pub fn destination(&self) -> &str {
        match self {
            Volume::Mount(Mount { destination, .. })
            | Volume::Named { destination, .. }
            | Volume::Overlay { destination, .. }
            | Volume::Image { destination, .. } => destination,
        }
    }
}

/// Reads `SRC:DST[:OPTIONS]` of `-v`.
///
/// # Errors
/// Returns an error that names the flag if the value is not valid.
pub fn parse_volume(flag: &str) -> anyhow::Result<Volume> {
    parse_volume_parts(flag).map_err(|e| usage(format!("--volume {flag}: {e:#}")))
}

fn parse_volume_parts(flag: &str) -> anyhow::Result<Volume> {
    let parts: Vec<&str> = flag.split(':').collect();
    let (source, destination, options) = match parts[..] {
        // Only a destination: an anonymous volume, as in podman.
        [destination] if destination.starts_with('/') => return anonymous(destination, Vec::new()),
        [source, destination] => (source, destination, ""),
        [source, destination, options] => (source, destination, options),
        [pair] if pair.contains("=/") => {
            bail!("expected [SRC:]DST[:OPTIONS], write {}", pair.replacen('=', ":", 1))
        }
        _ => bail!("expected [SRC:]DST[:OPTIONS]"),
    };
    if source.is_empty() {
        bail!("no source before the first ':'");
    }
    check_destination(destination)?;
    let options: Vec<String> = options.split(',').filter(|o| !o.is_empty()).map(str::to_owned).collect();
    build(source, destination, options)
}

/// Returns a volume without a name; the caller derives one from the container and the destination.
///
/// # Errors
/// Returns an error if the destination is not absolute, or an option is invalid.
pub fn anonymous(destination: &str, options: Vec<String>) -> anyhow::Result<Volume> {
    check_destination(destination)?;
    Ok(Volume::Named {
        name: String::new(),
        destination: destination.to_owned(),
        options: mount_options::complete(options, MountClass::Named)?,
        subpath: String::new(),
    })
}

fn build(source: &str, destination: &str, options: Vec<String>) -> anyhow::Result<Volume> {
    let destination = destination.to_owned();
    // podman's rule: a source with a slash or a leading dot is a path, any other is a volume name.
    let is_path = source.starts_with(['/', '.']) || source.contains('/');
    let overlay = options.iter().any(|o| o == "O");
    match (is_path, overlay) {
        (true, true) => Ok(Volume::Overlay { source: absolute(source)?, destination, options }),
        (true, false) => Ok(Volume::Mount(Mount {
            destination,
            kind: "bind".into(),
            source: absolute(source)?,
            options: mount_options::complete(options, MountClass::Bind)?,
        })),
        (false, true) => {
            Ok(Volume::Named { name: source.into(), destination, options, subpath: String::new() })
        }
        (false, false) => Ok(Volume::Named {
            name: source.into(),
            destination,
            options: mount_options::complete(options, MountClass::Named)?,
            subpath: String::new(),
        }),
    }
}

/// Makes a source path absolute. A relative path is relative to the working directory of the user,
/// not to the bundle that the runtime starts in.
pub fn absolute(source: &str) -> anyhow::Result<String> {
    let path = std::path::absolute(source).with_context(|| source.to_owned())?;
    path.into_os_string().into_string().map_err(|p| anyhow::anyhow!("{}: not UTF-8", cli::display_path(p)))
}

/// Reads `DST[:OPTIONS]` of `--tmpfs`.
///
/// # Errors
/// Returns an error that names the flag if the value is not valid.
pub fn parse_tmpfs(flag: &str) -> anyhow::Result<Mount> {
    let (destination, options) = flag.split_once(':').unwrap_or((flag, ""));
    let options = options.split(',').filter(|o| !o.is_empty()).map(str::to_owned).collect();
    let mount = || {
        check_destination(destination)?;
        Ok(tmpfs(destination, mount_options::complete(options, MountClass::Tmpfs)?))
    };
    let mount: anyhow::Result<Mount> = mount();
    mount.map_err(|e| usage(format!("--tmpfs {flag}: {e:#}")))
}

/// Returns a tmpfs mount with these options.
pub fn tmpfs(destination: &str, options: Vec<String>) -> Mount {
    Mount { destination: destination.into(), kind: "tmpfs".into(), source: "tmpfs".into(), options }
}

/// Returns the error for a named volume whose directory is not known.
pub fn unknown_directory(name: &str) -> anyhow::Error {
    if name.is_empty() {
        return cli::usage("--volume: expected SRC:DST, because a volume without a name has no content");
    }
    cli::Hint::on(
        anyhow::anyhow!("volume {name}: its directory is not known"),
        format!("add --volume-path {name}=DIR"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(volume: Volume) -> Vec<String> {
        match volume {
            Volume::Mount(m) => m.options,
            Volume::Named { options, .. } | Volume::Overlay { options, .. } => options,
            Volume::Image { .. } => Vec::new(),
        }
    }

    #[test]
    fn options_are_completed_as_podman_completes_them() {
        #[rustfmt::skip]
        let cases = [
            ("/h:/mnt", "rw,rprivate,rbind"), ("/h:/mnt:ro", "ro,rprivate,rbind"), ("/h:/mnt:Z,ro", "Z,ro,rprivate,rbind"),
            ("/h:/mnt:slave,bind", "slave,bind,rw"), ("vol:/mnt:nocopy", "rw,rprivate,nosuid,nodev,rbind"), ("vol:/mnt:suid,dev,exec", "suid,dev,exec,rw,rprivate,rbind"),
            ("vol:/mnt:bind", "bind,rw,private,nosuid,nodev"), ("/mnt", "rw,rprivate,nosuid,nodev,rbind"), ("/h:/mnt:ro,cached", "ro,rprivate,rbind"),
            ("/h:/mnt:idmap=uids=0-1-2;gids=0-1-2", "idmap=uids=0-1-2;gids=0-1-2,rw,rprivate,rbind"),
        ];
        for (flag, expected) in cases {
            assert_eq!(options(parse_volume(flag).unwrap()).join(","), expected, "{flag}");
        }
        assert_eq!(parse_tmpfs("/t").unwrap().options.join(","), "rw,rprivate,nosuid,nodev,tmpcopyup");
        assert_eq!(
            parse_tmpfs("/t:size=1m,notmpcopyup,exec").unwrap().options.join(","),
            "size=1m,exec,rw,rprivate,nosuid,nodev"
        );
    }

    #[test]
    fn invalid_volume_flags_are_reported() {
        #[rustfmt::skip]
        let cases = [
            ("a:/b:ro:z", "expected [SRC:]DST[:OPTIONS]"), ("h", "expected [SRC:]DST[:OPTIONS]"), ("/h:rel", "rel: a mount's destination must be an absolute path"),
            (":/x", "no source before"), ("/h:/m:rw,ro", "more than one option of rw or ro"), ("/h:/m:rshred", "rshred: not a mount option"),
            ("/h:/m:tmpcopyup", "only for tmpfs"), ("/h:/m:size=1m", "size=1m: not a mount option"),
        ];
        for (flag, message) in cases {
            let error = format!("{:#}", parse_volume(flag).unwrap_err());
            assert!(error.starts_with(&format!("--volume {flag}: ")) && error.contains(message), "{error}");
        }
    }
}
