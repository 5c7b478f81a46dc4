//! A tree that must not be touched, watched from outside of the program that must not touch it.
//!
//! Twice: the kernel reports every access as it happens (inotify), also one that is undone before the program ends; and
//! a second look afterwards compares all that can be seen, also what the kernel does not report.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};

/// The watch on a tree.
pub struct Watch {
    dir: PathBuf,
    inotify: Inotify,
    watched: BTreeMap<WatchDescriptor, PathBuf>,
    before: BTreeMap<PathBuf, String>,
}

/// What counts as a touch: besides every change, that an object is opened, for what is read leaves the tree. Not that one is
/// closed: a descriptor of this process is open in its children until they call exec.
fn touches() -> AddWatchFlags {
    (AddWatchFlags::IN_ALL_EVENTS - AddWatchFlags::IN_CLOSE) | AddWatchFlags::IN_DONT_FOLLOW
}

impl Watch {
    /// Watches `dir` and all below it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn new(dir: &Path) -> io::Result<Watch> {
        let before = seen(dir)?;
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        let mut watched = BTreeMap::new();
        for path in before.keys() {
            let is_dir = fs::symlink_metadata(path)?.is_dir();
            // A directory reports for what is in it.
            if is_dir {
                watched.insert(inotify.add_watch(path, touches())?, path.clone());
            }
        }
        Ok(Watch { dir: dir.to_owned(), inotify, watched, before })
    }

    /// All that has happened to it.
    ///
    /// # Errors
    /// When it cannot be read any more.
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

/// Every object with all that `stat` tells of it, times of access excepted: looking changes them.
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
