//! Walks both trees and reports each change.

use std::ffi::CString;

use tartree::{Error, Kind, Notice, Notices, Result, SourceTree, Status, TarPath};

use super::content::Buffers;
use super::entry::{entry, has_default_acl, loses_xattrs};
use super::hard_links::{HardLinks, LinkedName};
use super::metadata::same_metadata;
use super::options::Options;
use super::orphans::{self, Orphans};
use super::other_names::OtherNames;
use super::pending::PendingEntry;
use super::unchanged::is_unchanged;
use crate::change::{Change, Changes};
use crate::trees::{Inode, Listing, Trees, UpperEntry, is_absent, union};

/// Compares the two trees.
///
/// # Errors
/// Returns an error if a file cannot be read. A file that vanishes during the walk is only a
/// notice.
pub fn compare(
    trees: &mut Trees,
    options: &Options,
    changes: &mut dyn Changes,
    notices: &mut dyn Notices,
) -> Result<()> {
    let only_upper = trees.upper.is_some();
    let mut walk = Walk {
        trees,
        options,
        changes,
        notices,
        hard_links: HardLinks::new(only_upper, options.self_contained),
        other_names: OtherNames::default(),
        orphans: Orphans::default(),
        frames: Vec::new(),
        buffers: Buffers::new(),
    };
    walk.root()?;
    while let Some(frame) = walk.frames.last_mut() {
        match frame.names.pop() {
            Some(name) => {
                let path = frame.path.child(name.to_bytes());
                match walk.visit(path.clone()) {
                    // Files of a tree in use may vanish while the tree is read.
                    Err(Error::Io { source, .. }) if is_absent(&source) => {
                        walk.notices.notice(Notice::Changed { path, how: "vanished" });
                    }
                    visited => visited?,
                }
            }
            None => {
                walk.frames.pop();
            }
        }
    }
    walk.report_hard_links()
}

/// The trees in which the names of a directory are listed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ListFrom {
    /// The upper directory. A name that is not in the upper directory has not changed.
    Upper,
    /// The old tree and the new tree.
    Both,
    /// Only the new tree, since the directory is not in the old tree.
    New,
}

/// A directory between the root and the current path.
struct Frame {
    path: TarPath,
    list_from: ListFrom,
    /// Names that have not been visited yet, in reverse order.
    names: Vec<CString>,
    /// See [`Listing::same_as_view`].
    upper_is_same_as_view: bool,
    /// The directory's own entry, if no change in the directory has taken it yet.
    own: PendingEntry,
    /// True if new files in the directory inherit an ACL.
    default_acl: bool,
}

struct Walk<'a> {
    trees: &'a mut Trees,
    options: &'a Options,
    changes: &'a mut dyn Changes,
    notices: &'a mut dyn Notices,
    hard_links: HardLinks,
    other_names: OtherNames,
    orphans: Orphans,
    frames: Vec<Frame>,
    buffers: Buffers,
}

impl Walk<'_> {
    /// Compares the root directory. The root always has an entry, since CRIU checks the mode of the
    /// root before it restores.
    fn root(&mut self) -> Result<()> {
        let path = TarPath::root();
        let not_a_directory = || Error::Malformed { object: "/".into(), what: "not a directory".into() };
        let status = self.trees.new.status(&path)?.ok_or_else(not_a_directory)?;
        let new = self.trees.new.inode(&path, &status)?.ok_or_else(not_a_directory)?;
        let old = match self.trees.old.status(&path)? {
            Some(status) => self.trees.old.inode(&path, &status)?,
            None => None,
        };
        let (list_from, listing) = self.list_from(&path);
        // Any other directory is removed and made again in this case, but the root cannot be
        // removed.
        if old.as_ref().is_some_and(|old| loses_xattrs(&new.meta, &old.meta)) {
            let why = "the removal of an extended attribute of the root directory";
            self.notices.notice(Notice::Skipped { path: path.clone(), why });
        }
        let same = self.is_same_directory(&new, old.as_ref());
        let default_acl = has_default_acl(&new) || old.as_ref().is_some_and(has_default_acl);
        let entry = entry(path.clone(), new, old.as_ref(), false);
        let change = if same { Change::Touched } else { Change::Modified };
        self.changes.entry(entry, status.identity().ino, SourceTree::Primary, change);
        self.push(path, list_from, listing, PendingEntry::default(), default_acl)
    }

    /// Compares one path.
    fn visit(&mut self, path: TarPath) -> Result<()> {
        if self.options.exclude.matches(&path) {
            self.notices.notice(Notice::LeftOut { path, why: "excluded" });
            return Ok(());
        }
        let list_from = self.frames.last().map_or(ListFrom::Both, |frame| frame.list_from);
        let old = if list_from == ListFrom::New { None } else { self.trees.old.status(&path)? };
        // The upper directory does not show which names share an inode, so a hard link is read from
        // the merged view.
        let has_one_name = old.is_none_or(|old| old.links() == 1);
        let is_new_dir = !old.is_some_and(|old| old.is_dir());
        let (new, upper_inode) = match self.upper_entry(&path) {
            Some(UpperEntry::File(status, inode)) if has_one_name => (Some(status), Some(inode)),
            Some(UpperEntry::Dir(status, listing)) if is_new_dir || !listing.hides_lower => {
                return self.directory(path, status, old, Some(listing));
            }
            Some(UpperEntry::Whiteout) => (None, None),
            _ => (self.trees.new.status(&path)?, None),
        };
        let Some(status) = new else {
            if let Some(old) = old {
                self.removed(path, &old)?;
            }
            return Ok(());
        };
        if upper_inode.is_none() && !status.is_dir() && self.trees.new.is_mount_point(&status) {
            // The view shows a file from outside of the root file system. Its content does not
            // belong to the diff, and its type says nothing about the file that the mount covers.
            self.notices.notice(Notice::Skipped { path, why: "the file below a mount" });
            return Ok(());
        }
        if status.is_socket() {
            if let Some(old) = old.filter(|old| !old.is_socket()) {
                self.removed(path.clone(), &old)?;
            }
            // A tar cannot hold a socket, and CRIU binds the socket again when it restores the
            // owning process.
            self.notices.notice(Notice::Skipped { path, why: "socket" });
            return Ok(());
        }
        let has_one_name = status.links() == 1 && !status.is_dir();
        if has_one_name
            && old.is_some_and(|old| old.links() == 1 && self.trees.same_inode.holds(&status, &old))
        {
            return Ok(());
        }
        if status.is_dir() {
            self.directory(path, status, old, None)
        } else {
            self.leaf(path, status, old, upper_inode)
        }
    }

    /// Returns the entry that the view shows at `path`, if the upper directory alone determines it.
    fn upper_entry(&mut self, path: &TarPath) -> Option<UpperEntry> {
        let is_same = self.frames.last().is_some_and(|frame| frame.upper_is_same_as_view);
        self.trees.upper.as_mut().filter(|_| is_same)?.entry(path)
    }

    /// Compares a directory. If `upper` is given, `status` is the status of the upper directory,
    /// which the view shows unchanged.
    fn directory(
        &mut self,
        path: TarPath,
        status: Status,
        old: Option<Status>,
        upper: Option<Listing>,
    ) -> Result<()> {
        let source_tree = if upper.is_some() { SourceTree::Secondary } else { SourceTree::Primary };
        let is_mount_point = source_tree == SourceTree::Primary && self.trees.new.is_mount_point(&status);
        let old = match old.filter(Status::is_dir) {
            Some(old) => self.trees.old.inode(&path, &old)?,
            None => None,
        };
        let list_from = self.frames.last().map_or(ListFrom::Both, |frame| frame.list_from);
        let (mut list_from, mut listing) = match &old {
            Some(_) if upper.is_some() => (ListFrom::Upper, upper),
            Some(_) if list_from == ListFrom::Upper && !is_mount_point => self.list_from(&path),
            Some(_) => (list_from, None),
            None => (ListFrom::New, upper),
        };
        let new = match &listing {
            Some(listing) if listing.has_no_xattrs => {
                Inode { kind: Kind::Dir, meta: status.meta(Vec::new()) }
            }
            _ => match self.trees.new_at(source_tree).inode(&path, &status)? {
                Some(inode) => inode,
                None => return Ok(()),
            },
        };
        let mut is_made_anew = old.is_none();
        // The root of a mount says nothing about the xattrs of the directory below the mount, and the
        // unchanged files in that directory must be kept.
        if !is_mount_point && old.as_ref().is_some_and(|old| loses_xattrs(&new.meta, &old.meta)) {
            self.changes.replaced(&path);
            (is_made_anew, list_from, listing) = (true, ListFrom::New, None);
        }
        let same = self.is_same_directory(&new, old.as_ref());
        let default_acl = has_default_acl(&new) || old.as_ref().is_some_and(has_default_acl);
        let entry = entry(path.clone(), new, old.as_ref(), self.inherits_acl());
        let own = PendingEntry::new(entry, status.identity().ino);
        if is_made_anew {
            self.touch_parent();
        }
        if is_made_anew || (!same && !is_mount_point) {
            let change = if old.is_none() { Change::Added } else { Change::Modified };
            self.emit(&own, change);
        }
        if is_mount_point {
            // The mount could not be cloned without its submounts, so the directory that this
            // submount covers is not visible.
            self.notices.notice(Notice::Skipped { path, why: "the directory below a mount" });
            return Ok(());
        }
        if self.options.mount_points.contains(&path) {
            return Ok(());
        }
        self.push(path, list_from, listing, own, default_acl)
    }

    fn is_same_directory(&self, new: &Inode, old: Option<&Inode>) -> bool {
        !self.trees.owners_unmapped && old.is_some_and(|old| same_metadata(new, old))
    }

    /// Compares a path that is not a directory in the new tree. `upper` is the inode, if it was
    /// read in the upper directory.
    fn leaf(
        &mut self,
        path: TarPath,
        status: Status,
        old: Option<Status>,
        upper: Option<Inode>,
    ) -> Result<()> {
        let source_tree = if upper.is_some() { SourceTree::Secondary } else { SourceTree::Primary };
        let same = match &old {
            Some(old) if self.trees.same_inode.holds(&status, old) => true,
            Some(old) => {
                let check = self.options.content;
                is_unchanged(self.trees, &path, source_tree, (old, &status), check, &mut self.buffers)?
            }
            None => false,
        };
        let is_linked = status.links() > 1 || old.is_some_and(|old| old.links() > 1);
        if same && !is_linked {
            return Ok(());
        }
        let new = match upper {
            Some(inode) => inode,
            None => match self.trees.new.inode(&path, &status)? {
                Some(inode) => inode,
                None => return Ok(()),
            },
        };
        let parent = self.frames.last().map(|frame| frame.own.clone()).unwrap_or_default();
        let entry = entry(path, new, None, self.inherits_acl());
        let change = if old.is_some() { Change::Modified } else { Change::Added };
        if is_linked {
            let (seen, names) = (status.identity(), status.links());
            let upper = self.trees.upper.as_mut();
            let id = upper.and_then(|upper| upper.inode_without_overlay_xattrs(&entry.path, &status));
            let id = id.unwrap_or(seen);
            if let Some(old) = old.filter(|_| self.trees.is_indexed(&entry.path)) {
                self.other_names.add_indexed(old.identity(), &entry, id, same);
            }
            let old = old.map(|old| (old.identity(), old.links()));
            self.hard_links.add(LinkedName { entry, id, names, old, same, change, parent });
        } else {
            self.touch_parent();
            self.changes.entry(entry, status.identity().ino, source_tree, change);
        }
        Ok(())
    }

    fn removed(&mut self, path: TarPath, was: &Status) -> Result<()> {
        self.touch_parent();
        self.hard_links.add_removed(was);
        if self.trees.may_lose_index {
            self.orphans.removed(&mut self.trees.old, &path, was)?;
        }
        self.changes.removed(path, was);
        Ok(())
    }

    /// Reports the entry of the current directory, so that its times are set again after a change
    /// in the directory is applied.
    fn touch_parent(&mut self) {
        if let Some(own) = self.frames.last().map(|frame| frame.own.clone()) {
            self.emit(&own, Change::Touched);
        }
    }

    fn emit(&mut self, own: &PendingEntry, change: Change) {
        if let Some((entry, ino)) = own.take() {
            self.changes.entry(entry, ino, SourceTree::Primary, change);
        }
    }

    /// Returns whether new files in the current directory inherit an ACL.
    fn inherits_acl(&self) -> bool {
        self.frames.last().is_some_and(|frame| frame.default_acl)
    }

    /// Enters a directory.
    fn push(
        &mut self,
        path: TarPath,
        list_from: ListFrom,
        listing: Option<Listing>,
        own: PendingEntry,
        default_acl: bool,
    ) -> Result<()> {
        let upper_is_same_as_view = listing.as_ref().is_some_and(|listing| listing.same_as_view);
        let names = match (list_from, listing) {
            (ListFrom::Upper | ListFrom::New, Some(listing)) => listing.into_names(),
            (ListFrom::New, None) => self.trees.new.names(&path)?,
            _ => union(self.trees.new.names(&path)?, self.trees.old.names(&path)?),
        };
        self.frames.push(Frame { path, list_from, names, upper_is_same_as_view, own, default_acl });
        Ok(())
    }

    /// Decides where the directory at `path` is listed: in the upper directory, unless this
    /// directory hides the lower directories or shows a lower directory from another path. When
    /// unsure, lists both trees: slower, but always correct.
    fn list_from(&mut self, path: &TarPath) -> (ListFrom, Option<Listing>) {
        let listing = self.trees.upper.as_mut().and_then(|upper| upper.list(path).ok());
        match listing {
            Some(listing) if !listing.hides_lower => (ListFrom::Upper, Some(listing)),
            _ => (ListFrom::Both, None),
        }
    }

    /// Reports the hard links. Hard links come last, because only then is it known which names of
    /// an inode need no entry.
    fn report_hard_links(mut self) -> Result<()> {
        self.other_names.add_partly_seen(self.hard_links.partly_seen());
        for name in std::mem::take(&mut self.other_names).find(self.trees)? {
            self.hard_links.add_found(name);
        }
        for path in std::mem::take(&mut self.orphans).possible(|id| self.hard_links.compared(id)) {
            self.notices.notice(Notice::Skipped { path, why: orphans::WHY });
        }
        for link in std::mem::take(&mut self.hard_links).into_entries() {
            self.emit(&link.parent, Change::Touched);
            self.changes.entry(link.entry, link.ino, SourceTree::Primary, link.change);
        }
        Ok(())
    }
}
