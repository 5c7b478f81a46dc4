//! Detects accesses to a tree that the program under test must not touch.
//!
//! Two methods complement each other: inotify reports every access, including changes that the
//! program reverts; comparing stat(2) results before and after detects what inotify does not
//! report.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};

/// A watched tree.
pub struct Watch {
    dir: PathBuf,
    inotify: Inotify,
    watched: BTreeMap<WatchDescriptor, PathBuf>,
    before: BTreeMap<PathBuf, String>,
}

/// Returns the inotify events that count as an access: all changes, and opening a file, because
/// reading it could disclose its content. Closing is excluded, because children of this process
/// inherit its descriptors and close them when they call exec.
fn touches() -> AddWatchFlags {
    (AddWatchFlags::IN_ALL_EVENTS - AddWatchFlags::IN_CLOSE) | AddWatchFlags::IN_DONT_FOLLOW
}

impl Watch {
    /// Starts to watch `dir` and all directories below it.
    ///
    /// # Errors
    /// Returns an error if the tree cannot be read.
    pub fn new(dir: &Path) -> io::Result<Watch> {
        let before = seen(dir)?;
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        let mut watched = BTreeMap::new();
        for path in before.keys() {
            let is_dir = fs::symlink_metadata(path)?.is_dir();
            // A watch on a directory also reports events of its entries.
            if is_dir {
                watched.insert(inotify.add_watch(path, touches())?, path.clone());
            }
        }
        Ok(Watch { dir: dir.to_owned(), inotify, watched, before })
    }

    /// Returns all accesses and changes since [`Watch::new`].
    ///
    /// # Errors
    /// Returns an error if the tree cannot be read.
    pub fn touched(&self) -> io::Result<Vec<String>> {
        let mut found = Vec::new();
        loop {
            match self.inotify.read_events() {
                Ok(events) => found.extend(events.into_iter().map(|event| {
                    let dir = self.watched.get(&event.wd).map(|dir| dir.display().to_string());
                    let name = event.name.map(|name| name.to_string_lossy().into_owned());
                    format!("{:?} at {}/{}", event.mask, dir.unwrap_or_default(), name.unwrap_or_default())
                })),
                Err(Errno::EAGAIN) => break,
                Err(e) => return Err(e.into()),
            }
        }
        let after = seen(&self.dir)?;
        for path in self.before.keys().chain(after.keys()) {
            let (was, is) = (self.before.get(path), after.get(path));
            if was != is {
                found.push(format!("{}: {was:?} became {is:?}", path.display()));
            }
        }
        Ok(found)
    }
}

/// Returns the stat(2) result of every path, except access times, which reading changes.
fn seen(dir: &Path) -> io::Result<BTreeMap<PathBuf, String>> {
    let mut all = BTreeMap::new();
    let mut rest = vec![dir.to_owned()];
    while let Some(path) = rest.pop() {
        let m = fs::symlink_metadata(&path)?;
        if m.is_dir() {
            for entry in fs::read_dir(&path)? {
                rest.push(entry?.path());
            }
        }
        let facts = format!(
            "inode {} mode {:o} links {} owner {}:{} size {} mtime {}.{} ctime {}.{}",
            m.ino(),
            m.mode(),
            m.nlink(),
            m.uid(),
            m.gid(),
            m.size(),
            m.mtime(),
            m.mtime_nsec(),
            m.ctime(),
            m.ctime_nsec()
        );
        all.insert(path, facts);
    }
    Ok(all)
}
