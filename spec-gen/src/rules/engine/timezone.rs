//! `--tz`: binds the file of a time zone on this host.
//!
//! podman creates a link in the image if the image has the zone, and otherwise binds a copy of the
//! host's file. spec-gen writes nothing into the image, so it binds the host's file read-only.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use cli::usage;
use pathrs::Root;
use pathrs::flags::OpenFlags;

/// The directory of glibc's time zones. The variable TZDIR overrides it.
const ZONES: &str = "/usr/share/zoneinfo";

/// The time zone file of this host and of containers.
pub const LOCALTIME: &str = "/etc/localtime";

/// Much longer than any name in the tz database.
const MAX_NAME: usize = 255;

/// Returns the file of a time zone; `local` is the host's own.
///
/// # Errors
/// Returns an error if the name is invalid or there is no such zone.
pub fn file(zone: &str) -> anyhow::Result<PathBuf> {
    if zone == "local" {
        let path = std::fs::canonicalize(LOCALTIME).context(LOCALTIME)?;
        check(&mut File::open(&path).with_context(|| cli::display_path(&path))?)
            .with_context(|| cli::display_path(&path))?;
        return Ok(path);
    }
    let dir = std::env::var_os("TZDIR").filter(|dir| !dir.is_empty()).unwrap_or_else(|| ZONES.into());
    in_dir(Path::new(&dir), zone).with_context(|| format!("--tz {zone}"))
}

/// Looks up a zone in the directory. Neither the name nor a link can lead out of it.
fn in_dir(dir: &Path, zone: &str) -> anyhow::Result<PathBuf> {
    let is_part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-_".contains(&b))
    };
    if zone.len() > MAX_NAME || !zone.split('/').all(is_part) {
        return Err(usage("expected the name of a time zone, such as Europe/Berlin or UTC"));
    }
    let root = Root::open(dir).map_err(|e| anyhow::anyhow!("{e}")).with_context(|| cli::display_path(dir))?;
    let flags = OpenFlags::O_RDONLY | OpenFlags::O_NONBLOCK | OpenFlags::O_NOCTTY;
    let Ok(mut file) = root.open_subpath(zone, flags) else {
        bail!("no such time zone in {}", cli::display_path(dir));
    };
    check(&mut file)?;
    Ok(dir.join(zone))
}

/// Checks the magic number of files in the tz database (RFC 9636).
fn check(file: &mut File) -> anyhow::Result<()> {
    let mut magic = [0; 4];
    let is_zone = file.metadata()?.is_file() && file.read_exact(&mut magic).is_ok() && magic == *b"TZif";
    if is_zone { Ok(()) } else { bail!("not a time zone") }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn time_zones_outside_their_directory_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let zones = dir.path().join("zones");
        fs::create_dir_all(zones.join("Europe")).unwrap();
        fs::write(zones.join("Europe/Berlin"), "TZif2...").unwrap();
        fs::write(zones.join("tab"), "text").unwrap();
        fs::write(dir.path().join("secret"), "TZif").unwrap();
        symlink("Europe/Berlin", zones.join("CET")).unwrap();
        symlink("../secret", zones.join("Up")).unwrap();
        symlink(dir.path().join("secret"), zones.join("Abs")).unwrap();
        for zone in ["Europe/Berlin", "CET"] {
            assert_eq!(in_dir(&zones, zone).unwrap(), zones.join(zone), "{zone}");
        }
        let secret = dir.path().join("secret");
        for (zone, message) in [
            ("../secret", "expected the name of a time zone"),
            ("Europe/../../secret", "expected the name of a time zone"),
            (secret.to_str().unwrap(), "expected the name of a time zone"),
            ("", "expected the name of a time zone"),
            ("Europe//Berlin", "expected the name of a time zone"),
            ("Europe", "not a time zone"),
            ("tab", "not a time zone"),
            ("Up", "no such time zone"),
            ("Abs", "no such time zone"),
            ("Nowhere/X", "no such time zone"),
        ] {
            let error = format!("{:#}", in_dir(&zones, zone).unwrap_err());
            assert!(error.contains(message), "{zone}: {error}");
        }
    }

    #[test]
    fn a_long_name_is_looked_up_and_a_fifo_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        nix::unistd::mkfifo(&dir.path().join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let (longest, too_long) = ("a".repeat(MAX_NAME), "a".repeat(MAX_NAME + 1));
        for (zone, message) in [
            ("fifo", "not a time zone"),
            (longest.as_str(), "no such time zone"),
            (too_long.as_str(), "expected the name of a time zone"),
        ] {
            let error = format!("{:#}", in_dir(dir.path(), zone).unwrap_err());
            assert!(error.contains(message), "{zone}: {error}");
        }
    }
}
