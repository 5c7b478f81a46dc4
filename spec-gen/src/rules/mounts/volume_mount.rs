//! Returns the mount for a volume: a bind mount, or an overlay for overlays and images.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use cli::Hint;

use crate::actions::{self, Action};
use crate::input::rootfs::Rootfs;
use crate::notation::mounts::volume::{self, Volume};
use crate::runtime_spec::mounts::Mount;

/// Paths and IDs on the host that a mount needs.
pub struct HostPaths<'a> {
    /// Returns the directory of a named volume.
    pub volume: &'a dyn Fn(&str) -> Option<PathBuf>,
    /// Returns the mounted root file system of an image.
    pub image: &'a dyn Fn(&str) -> Option<PathBuf>,
    /// The directory for the upper and work directories of overlays.
    pub overlays: Option<String>,
    /// Owner of the container's writes: the host IDs of its root.
    pub root: (u32, u32),
    /// Returns the host IDs of the process, for `U`.
    pub owner: &'a dyn Fn() -> anyhow::Result<(u32, u32)>,
    /// The SELinux label of the container's mounts; empty without SELinux.
    pub mount_label: &'a str,
    /// Whether an ordinary user mounts the overlay, which may not set `trusted.` xattrs.
    pub rootless: bool,
}

/// The phase in which a mount is added. podman adds bind mounts before the engine's files, then
/// overlays, then images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    Bind,
    Overlay,
    Image,
}

/// Returns the phase of a volume.
pub fn phase(volume: &Volume) -> Phase {
    match volume {
        Volume::Image { .. } => Phase::Image,
        Volume::Overlay { .. } => Phase::Overlay,
        Volume::Mount(_) | Volume::Named { .. } => Phase::Bind,
    }
}

/// Returns the mount of a volume. `number` makes the name of its overlay directory unique.
///
/// # Errors
/// Returns an error if a directory is not known or the options are invalid.
pub fn mount(
    volume: &Volume,
    places: &HostPaths<'_>,
    number: usize,
    todo: &mut Vec<Action>,
) -> anyhow::Result<Mount> {
    match volume {
        Volume::Mount(mount) => Ok(mount.clone()),
        Volume::Named { name, destination, options, subpath } => {
            let dir = (places.volume)(name).ok_or_else(|| volume::unknown_directory(name))?;
            let source = below(&dir, subpath).with_context(|| format!("volume {name}"))?;
            if options.iter().any(|o| o == "O") {
                return overlay(&source, destination, options, true, places, number, todo);
            }
            let options =
                options.iter().filter(|o| !matches!(o.as_str(), "copy" | "nocopy")).cloned().collect();
            Ok(Mount { destination: destination.clone(), kind: "bind".into(), source, options })
        }
        Volume::Overlay { source, destination, options } => {
            overlay(source, destination, options, true, places, number, todo)
        }
        Volume::Image { reference, destination, writable, subpath } => {
            let Some(dir) = (places.image)(reference) else {
                return Err(Hint::on(
                    anyhow::anyhow!(
                        "image {reference}: the mount point of its root file system is not known"
                    ),
                    format!("add --image-mount {reference}=DIR"),
                ));
            };
            let source = below(&dir, subpath).with_context(|| format!("image {reference}"))?;
            overlay(&source, destination, &[], *writable, places, number, todo)
        }
    }
}

/// Returns a subpath of a volume, with symbolic links resolved inside the volume. podman 4.4
/// concatenates the strings, so that a link in the volume can lead outside.
///
/// # Errors
/// Returns an error if the subpath leads out of the volume.
pub fn below(dir: &Path, subpath: &str) -> anyhow::Result<String> {
    let dir = match dir.to_str() {
        Some(dir) => dir,
        None => bail!("{}: not UTF-8, which config.json cannot hold", cli::display_path(dir)),
    };
    if subpath.is_empty() {
        return Ok(dir.to_owned());
    }
    let mut depth = 0i32;
    for part in subpath.split('/') {
        depth += match part {
            "" | "." => 0,
            ".." => -1,
            _ => 1,
        };
        if depth < 0 {
            bail!("subpath \"{subpath}\" is outside of the volume");
        }
    }
    let inside = Rootfs::probe(Path::new(dir)).resolve(subpath)?;
    Ok(format!("{}{}", dir.trim_end_matches('/'), inside.trim_end_matches('/')))
}

fn overlay(
    lower: &str,
    destination: &str,
    options: &[String],
    writable: bool,
    places: &HostPaths<'_>,
    number: usize,
    todo: &mut Vec<Action>,
) -> anyhow::Result<Mount> {
    let shown = || format!("overlay at {destination}");
    let given = upper_and_work(options).with_context(shown)?;
    let Some(content) = places.overlays.as_ref().map(|dir| format!("{dir}/{number}")) else {
        return Err(Hint::on(
            anyhow::anyhow!("overlay at {destination}: no directory for the writes of the container"),
            "add --overlay-dir DIR",
        ));
    };
    let writable = writable && !options.iter().any(|o| o == "ro");
    let (uid, gid) = places.root;
    let mut directory = |name: &str, mode: u32, like: Option<&str>| {
        let path = format!("{content}/{name}");
        todo.push(Action::Directory { path: path.clone(), mode, uid, gid, like: like.map(str::to_owned) });
        path
    };
    let source = directory("merge", 0o700, None);
    let mut mount_options = if writable {
        let (upper, work) = match given {
            Some((upper, work)) => (absolute(&content, upper), absolute(&content, work)),
            None => (directory("upper", 0o700, Some(lower)), directory("work", 0o700, None)),
        };
        vec![
            format!("lowerdir={}", escape(lower)?),
            format!("upperdir={}", plain(&upper)?),
            format!("workdir={}", plain(&work)?),
        ]
    } else {
        // Without an upper directory, overlayfs requires two lower directories.
        let empty = directory("lower", 0o755, None);
        vec![format!("lowerdir={}:{}", escape(lower)?, escape(&empty)?)]
    };
    mount_options.push("private".into());
    if places.rootless {
        mount_options.push("userxattr".into());
    }
    if !places.mount_label.is_empty() {
        mount_options.push(format!("context=\"{}\"", places.mount_label));
    }
    if options.iter().any(|o| o == "U") {
        let (uid, gid) = (places.owner)()?;
        todo.push(actions::chown(lower, uid, gid).with_context(shown)?);
        todo.push(Action::Chown { path: content, uid, gid });
    }
    Ok(Mount { destination: destination.into(), kind: "overlay".into(), source, options: mount_options })
}

/// Returns the values of `upperdir=` and `workdir=`: both or none.
///
/// podman accepts every option that begins with these words, such as `upperdirs=/x`.
fn upper_and_work(options: &[String]) -> anyhow::Result<Option<(&str, &str)>> {
    let value = |key: &str| -> anyhow::Result<Option<&str>> {
        let mut found = None;
        for option in options {
            if let Some((name, value)) = option.split_once('=') {
                if name == key {
                    if value.is_empty() {
                        bail!("cannot accept empty value for {key}");
                    }
                    found = Some(value);
                }
            }
        }
        Ok(found)
    };
    match (value("upperdir")?, value("workdir")?) {
        (None, None) => Ok(None),
        (Some(upper), Some(work)) => Ok(Some((upper, work))),
        _ => bail!("must specify both upperdir and workdir"),
    }
}

fn absolute(content: &str, path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("{content}/{path}") }
}

/// Escapes a path for `lowerdir`, which separates paths by colons.
fn escape(path: &str) -> anyhow::Result<String> {
    Ok(plain(path)?.replace(':', "\\:"))
}

/// Checks a path for a mount option. The runtime joins options with commas, and the kernel splits
/// them there.
fn plain(path: &str) -> anyhow::Result<&str> {
    if path.contains([',', '\\']) {
        bail!("{path}: a path of an overlay cannot hold a comma or backslash");
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(volume: &Volume) -> anyhow::Result<(Mount, Vec<Action>)> {
        let places = HostPaths {
            volume: &|name| (name == "v").then(|| PathBuf::from("/vol/v/_data")),
            image: &|_| Some(PathBuf::from("/img")),
            overlays: Some("/o".into()),
            root: (0, 0),
            owner: &|| Ok((1000, 1000)),
            mount_label: "",
            rootless: false,
        };
        let mut todo = Vec::new();
        Ok((mount(volume, &places, 3, &mut todo)?, todo))
    }

    fn overlay_of(options: &[&str]) -> Volume {
        Volume::Overlay {
            source: "/srv/a:b".into(),
            destination: "/ov".into(),
            options: options.iter().map(|o| (*o).to_owned()).collect(),
        }
    }

    #[test]
    fn an_overlay_creates_its_missing_directories() {
        let (mount, todo) = made(&overlay_of(&["O"])).unwrap();
        assert_eq!(mount.source, "/o/3/merge");
        assert_eq!(
            mount.options,
            ["lowerdir=/srv/a\\:b", "upperdir=/o/3/upper", "workdir=/o/3/work", "private"]
        );
        assert_eq!(todo.len(), 3);
        let (mount, todo) = made(&overlay_of(&["O", "upperdir=/u", "workdir=w", "upperdirs=/x"])).unwrap();
        assert_eq!(mount.options, ["lowerdir=/srv/a\\:b", "upperdir=/u", "workdir=/o/3/w", "private"]);
        assert_eq!(todo.len(), 1);
    }

    #[test]
    fn a_read_only_overlay_has_no_upper_directory() {
        let (mount, _) = made(&overlay_of(&["O", "ro"])).unwrap();
        assert_eq!(mount.options, ["lowerdir=/srv/a\\:b:/o/3/lower", "private"]);
    }

    #[test]
    fn invalid_volumes_are_reported() {
        #[rustfmt::skip]
        let cases = [
            (overlay_of(&["O", "upperdir=/u"]), "overlay at /ov: must specify both upperdir and workdir"),
            (overlay_of(&["O", "upperdir=", "workdir=/w"]), "overlay at /ov: cannot accept empty value for upperdir"),
            (overlay_of(&["O", "upperdir=/a,b", "workdir=/w"]), "/a,b: a path of an overlay cannot hold a comma or backslash"),
            (Volume::Named { name: "x".into(), destination: "/d".into(), options: vec![], subpath: String::new() }, "volume x: its directory is not known"),
            (Volume::Named { name: "v".into(), destination: "/d".into(), options: vec![], subpath: "a/../../x".into() }, "volume v: subpath \"a/../../x\" is outside of the volume"),
        ];
        for (volume, message) in cases {
            assert_eq!(format!("{:#}", made(&volume).unwrap_err()), message);
        }
    }

    #[test]
    fn empty_parts_of_a_subpath_do_not_make_it_deeper() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
        let volume = dir.path().to_str().unwrap();
        for (subpath, inside) in
            [("", ""), ("a", "/a"), ("./a//b", "/a/b"), ("a/../a", "/a"), ("a/..", ""), (".", "")]
        {
            assert_eq!(below(dir.path(), subpath).unwrap(), format!("{volume}{inside}"), "{subpath}");
        }
        for subpath in ["..", "./..", "/..", "a/./../..", "a//../../a"] {
            let error = below(dir.path(), subpath).unwrap_err().to_string();
            assert_eq!(error, format!("subpath \"{subpath}\" is outside of the volume"));
        }
    }
}
