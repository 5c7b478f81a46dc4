//! `--images`: reports what CRIU's images require of the host, and how they were dumped.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::Context;
use checkpoint::external_mounts::{self, Maker};
use checkpoint::root_process::{self, Namespace, Origin, RootProcess};
use cli::Session;

/// What the images say about the first process of the container.
#[derive(Default)]
pub struct Dumped {
    network: Option<Origin>,
    pid: Option<Origin>,
    root_mode: Option<u32>,
}

impl Dumped {
    /// Reads the images in `dir`.
    ///
    /// # Errors
    /// Returns an error if an image is damaged.
    pub fn read(dir: &Path) -> anyhow::Result<Dumped> {
        let object = || cli::display_path(dir);
        let read = root_process::reader(dir).with_context(object)?;
        let Some(mut process) = RootProcess::find(read).with_context(object)? else {
            return Ok(Dumped::default());
        };
        Ok(Dumped {
            network: process.origin(Namespace::Network).with_context(object)?,
            pid: process.origin(Namespace::Pid).with_context(object)?,
            root_mode: process.root_mode().with_context(object)?,
        })
    }

    /// Returns how CRIU dumped the namespace of this type, if the images say so.
    pub fn origin(&self, kind: &str) -> Option<Origin> {
        match Namespace::of(kind)? {
            Namespace::Network => self.network,
            Namespace::Pid => self.pid,
        }
    }

    /// Warns if the root directory `path` has not the mode that CRIU requires.
    pub fn check_root_mode(&self, path: &Path, session: &Session) {
        let (Some(mode), Ok(meta)) = (self.root_mode, path.metadata()) else { return };
        let found = meta.permissions().mode() & 0o7777;
        if found != mode {
            let path = cli::display_path(path);
            session.warn(format_args!(
                "{path}: mode {found:04o}, but CRIU requires {mode:04o} to restore: chmod {mode:04o} {path}"
            ));
        }
    }
}

/// Warns if crun made the images in `dir`.
///
/// # Errors
/// Returns an error if there are no images of mounts, or if one is damaged.
pub fn report_maker(dir: &Path, session: &Session) -> anyhow::Result<()> {
    let object = || cli::display_path(dir);
    let mut found = false;
    for entry in fs::read_dir(dir).with_context(object)? {
        let entry = entry.with_context(object)?;
        let Some(name) = entry
            .file_name()
            .to_str()
            .filter(|name| external_mounts::is_mountpoints(name))
            .map(str::to_owned)
        else {
            continue;
        };
        // Skips a FIFO, which would block, and links.
        if !entry.file_type().with_context(object)?.is_file() {
            continue;
        }
        found = true;
        let path = entry.path();
        let file = File::open(&path).with_context(|| cli::display_path(&path))?;
        let image = cli::read_document(file, &cli::display_path(&path), external_mounts::LIMIT)?;
        if external_mounts::maker(&name, &image).with_context(object)? == Some(Maker::Crun) {
            session.warn(format_args!(
                "{}: crun made the images and runc cannot restore them: restore with crun, or unpack with ckpt-unpack --runtime runc",
                cli::display_path(&path)
            ));
        }
    }
    if !found {
        anyhow::bail!("{}: expected CRIU's images, found no mountpoints-*.img", object());
    }
    Ok(())
}
