//! A root file system diff put into effect: the tar, and the deletion list on whichever side of it.
//!
//! podman writes the tar first and then deletes, which destroys what the diff re-creates below a deleted
//! directory. Here a deletion that arrives after the tar spares every path the tar has made, with its parents.

use std::io::Read;

use tartree::{
    Entry, Error as TarError, Extractor, Item, Keep, Kind, Limits, Meta, Notice, Notices, Reader, TarPath,
};

use crate::error::{Error, Result};
use crate::tar_kind::{Evidence, TarKind};
use crate::whiteout::{Whiteout, Whiteouts};

/// Applies a diff to the root of an [`Extractor`].
pub struct RootfsApply {
    extractor: Extractor,
    made: Made,
    evidence: Evidence,
    /// Whiteouts that were carried out.
    whiteouts: usize,
}

impl RootfsApply {
    /// Applies to the root that `extractor` extracts below.
    pub fn new(extractor: Extractor) -> RootfsApply {
        RootfsApply { extractor, made: Made::default(), evidence: Evidence::default(), whiteouts: 0 }
    }

    /// Applies `rootfs-diff.tar` in podman's form.
    ///
    /// # Errors
    /// At the first entry that is malformed or cannot be made; what was applied before it stays.
    pub fn tar(&mut self, input: impl Read, limits: Limits, notices: &mut dyn Notices) -> Result<()> {
        self.apply(input, limits, Whiteouts::Literal, notices)
    }

    /// Applies an OCI image layer, which is what containerd stores as `rootfs-diff.tar`: a file `.wh.NAME` deletes NAME, and
    /// `.wh..wh..opq` all that was in its directory (image-spec, layer.md: "Whiteouts").
    ///
    /// # Errors
    /// At the first entry that is malformed or cannot be made or deleted; what was applied before it stays.
    pub fn layer(&mut self, input: impl Read, limits: Limits, notices: &mut dyn Notices) -> Result<()> {
        self.apply(input, limits, Whiteouts::Named, notices)
    }

    /// Applies a diff. Whiteouts delete nothing that the diff itself makes, wherever in it they are. A removal header is
    /// podman's form: after one, no whiteout is guessed.
    ///
    /// # Errors
    /// At the first entry that is malformed or cannot be made or deleted; what was applied before it stays.
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
                // A layer has none.
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

    /// How many whiteouts were carried out.
    pub fn whiteouts(&self) -> usize {
        self.whiteouts
    }

    /// What the tars that were applied are instead of diffs, by all of their names.
    pub fn kind(&self) -> Option<TarKind> {
        self.evidence.kind()
    }

    /// Deletes what is in `dir`, except what the tar has made.
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

    /// Deletes the listed paths, except what the tar has made. A path whose parent is a symbolic link is left alone and noticed:
    /// to follow it would delete something else.
    ///
    /// # Errors
    /// When something cannot be deleted.
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
                    why: "a directory on the way is a symbolic link".into(),
                }),
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }

    /// Sets the metadata of directories; last of all, since everything else changes their times.
    ///
    /// # Errors
    /// When one cannot be set.
    pub fn finish(self, notices: &mut dyn Notices) -> Result<()> {
        Ok(self.extractor.finish(notices)?)
    }
}

/// An empty file that rootfs-diff writes, without in-band removals, where a symbolic link was deleted
/// ([`Plan::add_tombstone`](tartree::Plan::add_tombstone)): it is there to be deleted by the list. No program of podman's family lists a file it has archived.
fn is_tombstone(entry: &Entry) -> bool {
    matches!(entry.kind, Kind::File { size: 0, .. }) && entry.meta == Meta { mode: 0o600, ..Meta::default() }
}

/// The paths a tar has made, packed: the length of the name and eight bytes each.
#[derive(Default)]
struct Made {
    names: Vec<u8>,
    /// Where each name ends; it starts where the one before it ends.
    spans: Vec<(usize, u32)>,
}

impl Made {
    fn add(&mut self, path: &TarPath) {
        let start = self.names.len();
        self.names.extend_from_slice(path.as_bytes());
        // Names are limited to a mebibyte by the reader.
        self.spans.push((start, path.as_bytes().len() as u32));
    }

    /// By bytes, with `/` before all others, so that what is below a directory follows it.
    fn sort(&mut self) {
        let names = &self.names;
        let name = |&(start, len): &(usize, u32)| components(&names[start..start + len as usize]);
        if !self.spans.is_sorted_by(|a, b| name(a).le(name(b))) {
            self.spans.sort_by(|a, b| name(a).cmp(name(b)));
        }
    }

    fn has_at_or_below(&self, path: &TarPath) -> bool {
        let name = |&(start, len): &(usize, u32)| &self.names[start..start + len as usize];
        let at = self.spans.partition_point(|span| components(name(span)).lt(components(path.as_bytes())));
        self.spans.get(at).is_some_and(|span| {
            name(span)
                .strip_prefix(path.as_bytes())
                .is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
        })
    }
}

fn components(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    name.split(|&b| b == b'/')
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

    #[test]
    fn made_paths_spare_their_parents_and_nothing_else() {
        let mut made = Made::default();
        for name in ["d/n", "d.x", "d/a/b", "e"] {
            made.add(&path(name));
        }
        made.sort();
        for kept in ["d", "d/n", "d/a", "d/a/b", "d.x", "e"] {
            assert!(made.has_at_or_below(&path(kept)), "{kept}");
        }
        for gone in ["d/a/c", "d/a/b/c", "d.", "f", "d/n/x", "c"] {
            assert!(!made.has_at_or_below(&path(gone)), "{gone}");
        }
    }

    /// podman's order: "A /d/n" in the tar, then "D /d" for the directory that was removed and made again.
    #[test]
    fn a_directory_that_was_made_again_keeps_only_what_is_new() {
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

    /// containerd's form. The order in a layer is not given: a whiteout may stand before or behind what it spares.
    #[test]
    fn whiteouts_of_a_layer_delete_what_the_layer_does_not_make() {
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
    fn a_deletion_through_a_link_is_noticed_and_not_done() {
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
