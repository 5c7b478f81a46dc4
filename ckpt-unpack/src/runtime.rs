//! Converts images for the runtime that will restore them, or reports which runtime made them.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use checkpoint::external_mounts::{self, Maker};
use cli::{Hint, Session, usage};

/// Reads `--runtime` for unpacking.
///
/// # Errors
/// Returns a usage error if the runtime is neither runc nor crun.
pub fn requested(runtime: Option<&str>) -> anyhow::Result<Option<Maker>> {
    let Some(runtime) = runtime else { return Ok(None) };
    match Maker::of(runtime) {
        Some(maker) => Ok(Some(maker)),
        None => Err(usage(format!("--runtime {runtime}: expected runc or crun"))),
    }
}

/// Converts the images in `dir` for the runtime of `--runtime`. Without that flag, warns if runc
/// cannot restore them.
///
/// # Errors
/// Returns an error if an image is damaged or cannot be converted.
pub fn fit_images(dir: &Path, runtime: Option<Maker>, session: &Session) -> anyhow::Result<()> {
    for path in mountpoints(dir)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let file = File::open(&path).with_context(|| format!("checkpoint/{name}"))?;
        let image = cli::read_document(file, &name, external_mounts::LIMIT)?;
        let maker = match external_mounts::maker(&name, &image) {
            // Without --runtime, this function does not need the image; --verify and CRIU report
            // the damage.
            Err(_) if runtime.is_none() => continue,
            maker => maker?,
        };
        let Some(maker) = maker else { continue };
        match runtime {
            Some(runtime) if runtime != maker => {
                let converted = external_mounts::convert(&name, &image, runtime).map_err(|e| {
                    Hint::on(anyhow::Error::from(e), format!("restore with {}, without --runtime", maker.name()))
                })?;
                replace(&path, &converted).with_context(|| format!("checkpoint/{name}"))?;
                session.note(format_args!(
                    "checkpoint/{name}: made by {}, converted for {}",
                    maker.name(),
                    runtime.name()
                ));
            }
            Some(_) => {}
            None if maker == Maker::Crun => session.warn(format_args!(
                "checkpoint/{name}: crun made the images and runc cannot restore them: restore with crun, or unpack with --runtime runc"
            )),
            None => session.note(format_args!("checkpoint/{name}: made by {}", maker.name())),
        }
    }
    Ok(())
}

/// Lists the images of mounts, one for each mount namespace. They are regular files that were just
/// unpacked, in a directory with mode 0700.
fn mountpoints(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let object = || cli::display_path(dir);
    let mut found = Vec::new();
    let entries = match fs::read_dir(dir) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(found),
        entries => entries.with_context(object)?,
    };
    for entry in entries {
        let entry = entry.with_context(object)?;
        let is_mountpoints = entry.file_name().to_str().is_some_and(external_mounts::is_mountpoints);
        if is_mountpoints && entry.file_type().with_context(object)?.is_file() {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    fs::remove_file(path)?;
    File::options().write(true).create_new(true).mode(0o600).open(path)?.write_all(bytes)
}
