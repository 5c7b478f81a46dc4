//! Applies a root file system diff: its tar, and its deletion list, which may come before or after
//! the tar.
//!
//! podman extracts the tar first and then deletes the listed paths. This also deletes files that
//! the diff re-creates below a deleted directory. If the deletion list comes after the tar,
//! [`RootfsApply`] keeps all paths that the tar has created, and their parents.

use std::io::Read;

use tartree::{
    Entry, Error as TarError, Extractor, Item, Keep, Kind, Limits, Meta, Notice, Notices, Reader, TarPath,
};

use super::made_paths::MadePaths;
use super::whiteout::{Whiteout, Whiteouts};
use crate::error::{Error, Result};
use crate::tar_kind::{Evidence, TarKind};

/// Applies a diff to the root of an [`Extractor`].
pub struct RootfsApply {
    extractor: Extractor,
    made: MadePaths,
    evidence: Evidence,
    /// The number of whiteouts that were applied.
    whiteouts: usize,
}

impl RootfsApply {
    /// Applies the diff to the root directory of `extractor`.
    pub fn new(extractor: Extractor) -> RootfsApply {
        RootfsApply { extractor, made: MadePaths::default(), evidence: Evidence::default(), whiteouts: 0 }
    }

    /// Applies `rootfs-diff.tar` in podman's format.
    ///
    /// # Errors
    /// Returns an error for the first entry that is malformed or cannot be created. The entries
    /// before it remain applied.
    pub fn tar(&mut self, input: impl Read, limits: Limits, notices: &mut dyn Notices) -> Result<()> {
        self.apply(input, limits, Whiteouts::Literal, notices)
    }

    /// Applies an OCI image layer, which containerd stores as `rootfs-diff.tar`. A file `.wh.NAME`
    /// deletes NAME, and a file `.wh..wh..opq` deletes the content of its directory (image-spec,
    /// layer.md: "Whiteouts").
    ///
    /// # Errors
    /// Returns an error for the first entry that is malformed or cannot be created or deleted. The
    /// entries before it remain applied.
    pub fn layer(&mut self, input: impl Read, limits: Limits, notices: &mut dyn Notices) -> Result<()> {
        self.apply(input, limits, Whiteouts::Named, notices)
    }

    /// Applies a diff. A whiteout does not delete the paths that the diff itself creates before or
    /// after the whiteout. Removal headers occur only in podman's format, so after a removal
    /// header, files `.wh.NAME` are no longer guessed to be whiteouts.
    ///
    /// # Errors
    /// Returns an error for the first entry that is malformed or cannot be created or deleted. The
    /// entries before it remain applied.
    pub fn apply(
        &mut self,
        input: impl Read,
        limits: Limits,
        mut whiteouts: Whiteouts,
        notices: &mut dyn Notices,
    ) -> Result<()> {
        let nested = |source| Error::Nested { member: "rootfs-diff.tar".into(), source };
        let mut reader = Reader::new(input, limits);
        let (mut deleted, mut opaque) = (Vec::new(), Vec::new());
        while let Some(item) = reader.next().map_err(nested)? {
            let entry = match item {
                Item::Entry(entry) => entry,
                // An OCI layer has no removal headers.
                Item::Removal(_) if whiteouts == Whiteouts::Named => continue,
                Item::Removal(path) => {
                    whiteouts = Whiteouts::Literal;
                    self.extractor.remove(&path, &mut |_| Keep::Remove).map_err(nested)?;
                    continue;
                }
            };
            self.evidence.add(&entry);
            match whiteouts.in_entry(&entry) {
                Some(Whiteout::File(path)) => deleted.push(path),
                Some(Whiteout::Opaque(dir)) => opaque.push(dir),
                Some(Whiteout::Reserved) => {}
                None => {
                    self.extractor.apply(&entry, &mut reader.content(), notices).map_err(nested)?;
                    if whiteouts == Whiteouts::Named || !is_tombstone(&entry) {
                        self.made.add(&entry.path);
                    }
                }
            }
        }
        self.whiteouts += deleted.len() + opaque.len();
        self.delete(&deleted, notices)?;
        opaque.iter().try_for_each(|dir| self.empty(dir))
    }

    /// Returns the number of whiteouts that were applied.
    pub fn whiteouts(&self) -> usize {
        self.whiteouts
    }

    /// Returns the kind of the applied tars if their names prove that they are not diffs.
    pub fn kind(&self) -> Option<TarKind> {
        self.evidence.kind()
    }

    /// Deletes the content of `dir`, except the paths that the tar has created.
    fn empty(&mut self, dir: &TarPath) -> Result<()> {
        let made = &self.made;
        let mut keep = |path: &TarPath| {
            if path == dir || made.has_at_or_below(path) { Keep::KeepEmpty } else { Keep::Remove }
        };
        if dir.is_root() {
            for path in self.extractor.top_level()? {
                self.extractor.remove(&path, &mut keep)?;
            }
            return Ok(());
        }
        self.extractor.remove(dir, &mut keep)?;
        Ok(())
    }

    /// Deletes the listed paths, except the paths that the tar has created. A path below a symbolic
    /// link is not deleted but reported: following the link would delete another file.
    ///
    /// # Errors
    /// Returns an error if a path cannot be deleted.
    pub fn delete(&mut self, paths: &[TarPath], notices: &mut dyn Notices) -> Result<()> {
        self.made.sort();
        for path in paths {
            let made = &self.made;
            let mut keep =
                |path: &TarPath| if made.has_at_or_below(path) { Keep::KeepEmpty } else { Keep::Remove };
            match self.extractor.remove(path, &mut keep) {
                Ok(_) => {}
                Err(TarError::ThroughLink { .. }) => notices.notice(Notice::NotApplied {
                    path: path.clone(),
                    what: "deletion".into(),
                    why: "a parent path component is a symbolic link".into(),
                }),
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }

    /// Sets the metadata of directories. Call this function last, since every other operation
    /// changes the times of directories.
    ///
    /// # Errors
    /// Returns an error if the metadata of a directory cannot be set.
    pub fn finish(self, notices: &mut dyn Notices) -> Result<()> {
        Ok(self.extractor.finish(notices)?)
    }
}

/// Returns whether `entry` is a tombstone: an empty file that rootfs-diff writes, without in-band
/// removals, for a deleted symbolic link ([`Plan::add_tombstone`](tartree::Plan::add_tombstone)).
/// The deletion list must delete the file, so it does not count as created. podman never lists a
/// file that it has archived.
fn is_tombstone(entry: &Entry) -> bool {
    matches!(entry.kind, Kind::File { size: 0, .. }) && entry.meta == Meta { mode: 0o600, ..Meta::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use tartree::{END_OF_ARCHIVE, ExtractOptions, Root, RootName, Timestamp};

    fn path(name: &str) -> TarPath {
        TarPath::parse(name.as_bytes()).unwrap()
    }

    fn tar(names: &[&str]) -> Vec<u8> {
        let mut tar = Vec::new();
        for name in names {
            let mut entry = Entry::file(path(name), 0, 0o644, Timestamp::default());
            if name.ends_with('/') {
                entry = Entry { kind: Kind::Dir, meta: Meta { mode: 0o755, ..entry.meta }, path: entry.path };
            }
            tartree::encode(&mut tar, &entry, RootName::Slash);
        }
        [tar, END_OF_ARCHIVE.to_vec()].concat()
    }

    /// In podman's order, "A /d/n" in the tar precedes "D /d" for the directory that was deleted
    /// and re-created.
    #[ignore = "needs root"]
    #[test]
    fn a_recreated_directory_keeps_only_new_files() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("d/old")).unwrap();
        fs::write(dir.path().join("d/f"), "").unwrap();
        fs::write(dir.path().join("g"), "").unwrap();
        let extractor = Extractor::new(Root::open(dir.path()).unwrap(), ExtractOptions::default());
        let mut apply = RootfsApply::new(extractor);
        let mut notices = |notice: Notice| panic!("{notice}");
        apply.tar(&tar(&["d/", "d/n"])[..], Limits::default(), &mut notices).unwrap();
        apply.delete(&[path("d"), path("g"), path("missing/x")], &mut notices).unwrap();
        apply.finish(&mut notices).unwrap();
        let names: Vec<_> =
            fs::read_dir(dir.path().join("d")).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["n"]);
        assert!(!dir.path().join("g").exists());
    }

    /// In containerd's format, a layer has no fixed order, so a whiteout may precede or follow the
    /// paths that it must not delete.
    #[ignore = "needs root"]
    #[test]
    fn whiteouts_spare_the_paths_of_their_own_layer() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("d/sub")).unwrap();
        fs::create_dir_all(dir.path().join("e/sub")).unwrap();
        for name in ["d/old", "d/sub/old", "e/old", "e/sub/old", "gone", "stays"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let extractor = Extractor::new(Root::open(dir.path()).unwrap(), ExtractOptions::default());
        let mut apply = RootfsApply::new(extractor);
        let mut notices = |notice: Notice| panic!("{notice}");
        let layer = tar(&["d/", "d/new", "d/.wh..wh..opq", ".wh.gone", "e/.wh.sub", "e/sub/", "e/sub/new"]);
        apply.layer(&layer[..], Limits::default(), &mut notices).unwrap();
        apply.finish(&mut notices).unwrap();
        let mut left: Vec<_> =
            ["d/old", "d/sub", "d/new", "e/old", "e/sub/old", "e/sub/new", "gone", "stays"].to_vec();
        left.retain(|name| dir.path().join(name).exists());
        assert_eq!(left, ["d/new", "e/old", "e/sub/new", "stays"]);
    }

    #[test]
    fn a_deletion_through_a_link_is_reported_and_skipped() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("real")).unwrap();
        fs::write(dir.path().join("real/f"), "").unwrap();
        std::os::unix::fs::symlink("real", dir.path().join("link")).unwrap();
        let extractor = Extractor::new(Root::open(dir.path()).unwrap(), ExtractOptions::default());
        let mut apply = RootfsApply::new(extractor);
        let mut noticed = Vec::new();
        apply.delete(&[path("link/f"), path("link")], &mut |n: Notice| noticed.push(n.to_string())).unwrap();
        assert_eq!(noticed.len(), 1);
        assert!(dir.path().join("real/f").exists());
        assert!(fs::symlink_metadata(dir.path().join("link")).is_err());
    }
}
