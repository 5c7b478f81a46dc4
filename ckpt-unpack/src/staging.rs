//! Builds a bundle in a temporary directory and moves it to its path when it is complete.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use checkpoint::Member;
use cli::args::Durable;
use cli::private::dangling_link;
use cli::temporary_dir::{parent, rename};
use cli::{Hint, TemporaryDir};
use tartree::TarPath;

/// Members that every archive has. A directory with one of them already contains a checkpoint.
const ALWAYS: [&[u8]; 3] = [b"checkpoint", b"config.dump", b"spec.dump"];

/// The member that is moved into an existing bundle last. CRIU cannot restore without it, so that a
/// bundle to which not all members were moved before a power loss is not taken for a complete one.
const LAST: &str = "checkpoint";

/// The directory of the newest round.
const ROUND: &str = "pre-checkpoint";

/// A temporary directory for the members. It is removed unless [`commit`](Staging::commit)
/// succeeds.
pub struct Staging {
    dir: TemporaryDir,
    bundle: PathBuf,
    /// The directory in which `commit` creates names: the bundle if it existed, else its parent.
    parent: PathBuf,
    /// Whether the bundle existed before. It may contain other files.
    existing: bool,
}

impl Staging {
    /// Creates the directory with mode 0700, because the images contain all memory of the
    /// processes.
    pub fn new(bundle: &Path) -> anyhow::Result<Staging> {
        let object = || cli::display_path(bundle);
        let existing = match fs::metadata(bundle) {
            Ok(meta) if !meta.is_dir() => bail!("{}: already exists and is not a directory", object()),
            Ok(_) => true,
            Err(e) if e.kind() == io::ErrorKind::NotFound => match dangling_link(bundle) {
                Some(e) => return Err(e).with_context(object),
                None => false,
            },
            Err(e) => return Err(e).with_context(object),
        };
        for name in ALWAYS {
            check_is_free(bundle, &Member::of(&TarPath::root().child(name)))?;
        }
        let name = bundle.file_name().unwrap_or(OsStr::new("bundle")).to_owned();
        let parent = directory_for(bundle);
        let mut prefix = OsString::from(if existing { "" } else { "." });
        prefix.push(if existing { OsStr::new(".ckpt-unpack-") } else { &name });
        if !existing {
            prefix.push(".ckpt-");
        }
        let dir = TemporaryDir::new(&parent, &prefix).with_context(|| cli::display_path(&parent))?;
        Ok(Staging { dir, bundle: bundle.to_owned(), parent, existing })
    }

    /// Returns the temporary directory.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Moves all members into the bundle, or none.
    pub fn commit(self, durable: &Durable) -> anyhow::Result<()> {
        durable.sync(self.dir())?;
        // A signal in between would leave a bundle with some of the members.
        cli::signal::uninterrupted(|| self.move_members(durable))?;
        self.dir.keep();
        if durable.fsync { cli::sync::directory(&self.parent) } else { Ok(()) }
    }

    /// Moves a round of a migration into the bundle. The round that the bundle holds becomes its
    /// directory `parent`.
    pub fn commit_round(self, durable: &Durable) -> anyhow::Result<()> {
        durable.sync(self.dir())?;
        let (old, new) = (self.bundle.join(ROUND), self.dir().join(ROUND));
        let parent = new.join("parent");
        cli::signal::uninterrupted(|| {
            let has_old = self.existing && fs::symlink_metadata(&old).is_ok();
            if has_old {
                rename(&old, &parent).with_context(|| cli::display_path(&old))?;
            }
            self.move_members(durable).inspect_err(|_| {
                if has_old {
                    let _ = rename(&parent, &old);
                }
            })
        })?;
        self.dir.keep();
        if durable.fsync { cli::sync::directory(&self.parent) } else { Ok(()) }
    }

    fn move_members(&self, durable: &Durable) -> anyhow::Result<()> {
        let object = || cli::display_path(&self.bundle);
        if !self.existing {
            return rename(self.dir(), &self.bundle).with_context(object);
        }
        let mut moved: Vec<PathBuf> = Vec::new();
        let mut names: Vec<_> = fs::read_dir(self.dir())
            .and_then(|entries| entries.map(|entry| entry.map(|e| e.file_name())).collect())
            .with_context(object)?;
        names.sort_by(|a, b| (a == LAST, a).cmp(&(b == LAST, b)));
        for name in names {
            let to = self.bundle.join(&name);
            let others_written =
                if durable.fsync && name == LAST { cli::sync::directory(&self.bundle) } else { Ok(()) };
            let renamed = others_written
                .and_then(|()| rename(&self.dir().join(&name), &to).with_context(|| cli::display_path(&to)));
            if let Err(e) = renamed {
                for path in moved.iter().rev() {
                    // A bundle with some of the members would look complete, so the members go back
                    // into the temporary directory, which is removed.
                    let back = path.file_name().map(|name| self.dir().join(name)).unwrap_or_default();
                    let _ = rename(path, &back);
                }
                return Err(e);
            }
            moved.push(to);
        }
        fs::remove_dir(self.dir()).with_context(object)
    }
}

/// Returns the directory for temporary files of a bundle: the bundle itself if it exists, else its
/// parent.
pub fn directory_for(bundle: &Path) -> PathBuf {
    if bundle.is_dir() { bundle.into() } else { parent(bundle).into() }
}

/// Checks that `member` would replace nothing in the bundle.
///
/// # Errors
/// Returns an error that names the existing file.
pub fn check_is_free(bundle: &Path, member: &Member) -> anyhow::Result<()> {
    let path = member.path();
    let top = path.as_bytes().split(|&b| b == b'/').next().unwrap_or_default();
    let existing = bundle.join(OsStr::from_bytes(top));
    if fs::symlink_metadata(&existing).is_ok() {
        let e = anyhow!("{}: already exists", cli::display_path(&existing));
        return Err(Hint::on(e, "choose another directory for --bundle, or remove this file"));
    }
    Ok(())
}
