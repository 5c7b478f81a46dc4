//! A bundle under construction: it is built beside or inside its place and moved there when it is whole.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use checkpoint::Member;
use cli::Hint;
use cli::args::Durable;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use tartree::TarPath;

/// Members that every archive has: a bundle that holds one is somebody's checkpoint.
const ALWAYS: [&[u8]; 3] = [b"checkpoint", b"config.dump", b"spec.dump"];

/// A directory for the members, removed unless [`commit`](Staging::commit) is reached.
pub struct Staging {
    dir: PathBuf,
    bundle: PathBuf,
    /// The bundle was there before, with other things in it.
    existing: bool,
    done: bool,
}

impl Staging {
    /// Makes the directory, mode 0700: what is in it is all memory of a process.
    pub fn new(bundle: &Path) -> anyhow::Result<Staging> {
        let object = || cli::display_path(bundle);
        let existing = match fs::metadata(bundle) {
            Ok(meta) if !meta.is_dir() => bail!("{}: is there already, and is not a directory", object()),
            Ok(_) => true,
            Err(e) if e.kind() == io::ErrorKind::NotFound => false,
            Err(e) => return Err(e).with_context(object),
        };
        for name in ALWAYS {
            is_free(bundle, &Member::of(&TarPath::root().child(name)))?;
        }
        let name = bundle.file_name().unwrap_or(OsStr::new("bundle")).to_owned();
        let place = place_for(bundle);
        let mut prefix = OsString::from(if existing { "" } else { "." });
        prefix.push(if existing { OsStr::new(".ckpt-unpack-") } else { &name });
        if !existing {
            prefix.push(".ckpt-");
        }
        let remove = |dir: &PathBuf| {
            let dir = dir.clone();
            move || {
                // The main thread creates files in it until the process dies, so that one attempt may fail.
                let _ = (0..1000).find(|_| fs::remove_dir_all(&dir).is_ok() || !dir.exists());
            }
        };
        let dir = cli::signal::make_with_cleanup(|| make(&place, &prefix), remove)
            .with_context(|| cli::display_path(&place))?;
        Ok(Staging { dir, bundle: bundle.to_owned(), existing, done: false })
    }

    /// Where the members are built.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Gives the members their place. All of them arrive there, or none.
    pub fn commit(mut self, durable: &Durable) -> anyhow::Result<()> {
        durable.sync(&self.dir)?;
        // A signal in the middle would leave half of the members, or half of a staging directory under the bundle's name.
        cli::signal::uninterrupted(|| self.move_members())?;
        self.done = true;
        if durable.fsync { cli::sync::directory(&place_for(&self.bundle)) } else { Ok(()) }
    }

    fn move_members(&self) -> anyhow::Result<()> {
        let object = || cli::display_path(&self.bundle);
        if !self.existing {
            return rename(&self.dir, &self.bundle).with_context(object);
        }
        let mut moved: Vec<PathBuf> = Vec::new();
        let mut names: Vec<_> = fs::read_dir(&self.dir)
            .and_then(|entries| entries.map(|entry| entry.map(|e| e.file_name())).collect())
            .with_context(object)?;
        names.sort();
        for name in names {
            let to = self.bundle.join(&name);
            if let Err(e) = rename(&self.dir.join(&name), &to) {
                for path in moved.iter().rev() {
                    // Back into what is removed: a bundle with half of the members would look like one.
                    let back = path.file_name().map(|name| self.dir.join(name)).unwrap_or_default();
                    let _ = rename(path, &back);
                }
                return Err(e).with_context(|| cli::display_path(&to));
            }
            moved.push(to);
        }
        fs::remove_dir(&self.dir).with_context(object)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.done {
            // The error that led here is the one to tell. An empty directory goes without a descriptor, of which there may be none left.
            if fs::remove_dir(&self.dir).is_err() {
                let _ = fs::remove_dir_all(&self.dir);
            }
        }
    }
}

/// Where a bundle's data may lie until it is whole: in the bundle that is there, else beside its place.
pub fn place_for(bundle: &Path) -> PathBuf {
    match bundle.parent() {
        _ if bundle.is_dir() => bundle.into(),
        Some(parent) if !parent.as_os_str().is_empty() => parent.into(),
        _ => PathBuf::from("."),
    }
}

/// Fails when the bundle already has what `member` would become.
pub fn is_free(bundle: &Path, member: &Member) -> anyhow::Result<()> {
    let path = member.path();
    let top = path.as_bytes().split(|&b| b == b'/').next().unwrap_or_default();
    let there = bundle.join(OsStr::from_bytes(top));
    if fs::symlink_metadata(&there).is_ok() {
        let e = anyhow!("{}: is there already", cli::display_path(&there));
        return Err(Hint::on(e, "name another bundle, or remove it"));
    }
    Ok(())
}

fn make(place: &Path, prefix: &OsStr) -> io::Result<PathBuf> {
    for attempt in 0..1000 {
        let mut name = prefix.to_owned();
        name.push(format!("{}-{attempt}", std::process::id()));
        let dir = place.join(name);
        if cli::private::dir(&dir)? {
            return Ok(dir);
        }
    }
    Err(io::Error::from(io::ErrorKind::AlreadyExists))
}

/// Never over something that appeared meanwhile.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match renameat2(AT_FDCWD, from, AT_FDCWD, to, RenameFlags::RENAME_NOREPLACE) {
        // Not every file system can (NFS): then only the check before stands between.
        Err(nix::errno::Errno::EINVAL) if fs::symlink_metadata(to).is_err() => fs::rename(from, to),
        renamed => Ok(renamed?),
    }
}
