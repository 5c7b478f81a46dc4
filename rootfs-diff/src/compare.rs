//! Two trees compared: which paths need an entry, which are gone.
//!
//! The rules (R1 to R15) are those of a diff that stays right under podman's order, tar first and then
//! deletions, under ours, and when it is applied twice. They are told where they are followed.

use std::cell::Cell;
use std::ffi::CString;
use std::rc::Rc;

use tartree::{
    Entry, Error, Exclude, Kind, Meta, Notice, Notices, Place, Result, RootName, Status, TarPath, Xattr,
};

use crate::aliases::Aliases;
use crate::content::{Buffers, attributes, same_attributes, same_metadata, same_status};
use crate::links::{Candidate, Links};
use crate::orphans::{self, Orphans};
use crate::source::Source;
use crate::tree::is_absent;
use crate::upper::{Listing, Shown};

const ACCESS_ACL: &[u8] = b"system.posix_acl_access";
const DEFAULT_ACL: &[u8] = b"system.posix_acl_default";
/// A version header without entries: set, it removes the ACL (linux/posix_acl_xattr.h).
const NO_ACL: &[u8] = &[2, 0, 0, 0];

/// What is left out of a comparison.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Not looked at, with all that is in them.
    pub exclude: Exclude,
    /// Destinations of mounts: the place itself counts, what is in it was hidden and cannot have changed.
    pub mount_points: Vec<TarPath>,
    /// What is done where everything but the content of a file is the same.
    pub content: Content,
    /// No link to a file that has not changed: an image layer is unpacked where such a file is not.
    pub self_contained: bool,
}

/// What tells whether content has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Content {
    /// Both files are read.
    #[default]
    Read,
    /// Equal size and time, as for podman and rsync. A write that keeps both is not seen.
    TrustMtime,
}

/// How a path differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Not there before.
    Added,
    /// There before, and different now.
    Modified,
    /// Different only in that something in it was added, changed or removed (R4): a tar must say its times again.
    Touched,
}

/// Takes the result, in an order in which a tar can be written.
pub trait Changes {
    /// A path that needs an entry; `ino` is its inode in the tree as it is, `place` where that is read
    /// (see [`Source::into_new`]).
    fn entry(&mut self, entry: Entry, ino: u64, place: Place, change: Change);
    /// A path that is gone; it comes with what it was.
    fn removed(&mut self, path: TarPath, was: &Status);
    /// A directory that must be made anew, since a tar cannot take attributes away from one (R15). Its entry and
    /// those of everything in it follow.
    fn replaced(&mut self, path: &TarPath);
}

/// Compares the two trees of `source`.
///
/// # Errors
/// When an object cannot be read.
pub fn compare(
    source: &mut Source,
    options: &Options,
    changes: &mut dyn Changes,
    notices: &mut dyn Notices,
) -> Result<()> {
    let hinted = source.upper.is_some();
    let mut compare = Compare {
        source,
        options,
        changes,
        notices,
        links: Links::new(hinted, options.self_contained),
        aliases: Aliases::default(),
        orphans: Orphans::default(),
        frames: Vec::new(),
        buffers: Buffers::new(),
    };
    compare.root()?;
    while let Some(frame) = compare.frames.last_mut() {
        match frame.names.pop() {
            Some(name) => {
                let path = frame.path.child(name.to_bytes());
                match compare.visit(path.clone()) {
                    // A tree in use loses files while it is read.
                    Err(Error::Io { source, .. }) if is_absent(&source) => {
                        compare.notices.notice(Notice::Changed { path, how: "vanished" });
                    }
                    visited => visited?,
                }
            }
            None => {
                compare.frames.pop();
            }
        }
    }
    compare.links()
}

/// Where the names of a directory come from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    /// The upper directory: what is not in it has not changed.
    Upper,
    /// Both trees.
    Both,
    /// Only the new tree: the directory was not there before.
    New,
}

struct Frame {
    path: TarPath,
    look: Look,
    names: Vec<CString>,
    /// What stands in it in the upper directory is what is seen, see [`Upper::shows`](crate::upper::Upper::shows).
    shown: bool,
    /// The directory's own entry while nothing has asked for it (R4).
    own: Pending,
    /// New objects in it inherit an ACL unless told otherwise (R14).
    default_acl: bool,
}

/// An entry that is wanted at most once, by whichever change comes first.
pub(crate) type Pending = Rc<Cell<Option<(Entry, u64)>>>;

struct Compare<'a> {
    source: &'a mut Source,
    options: &'a Options,
    changes: &'a mut dyn Changes,
    notices: &'a mut dyn Notices,
    links: Links,
    aliases: Aliases,
    orphans: Orphans,
    frames: Vec<Frame>,
    buffers: Buffers,
}

/// An object as the comparison sees it.
struct Object {
    kind: Kind,
    meta: Meta,
}

impl Compare<'_> {
    /// The root always has an entry: CRIU checks its mode before it restores.
    fn root(&mut self) -> Result<()> {
        let path = TarPath::root();
        let gone = || Error::Malformed { object: "/".into(), what: "not a directory".into() };
        let status = self.source.new.status(&path)?.ok_or_else(gone)?;
        let (kind, meta) = self.source.new.object(&path, &status)?.ok_or_else(gone)?;
        let base = match self.source.base.status(&path)? {
            Some(status) => self.base(&path, status)?,
            None => None,
        };
        let (look, listing) = self.look_into(&path);
        let new = Object { kind, meta };
        // Any other directory is removed for that and made again (R15).
        if base.as_ref().is_some_and(|base| loses_attributes(&new.meta, &base.meta)) {
            let why = "an attribute of the root directory that is gone";
            self.notices.notice(Notice::Skipped { path: path.clone(), why });
        }
        let same = !self.source.unmapped
            && base
                .as_ref()
                .is_some_and(|base| same_metadata((&new.kind, &new.meta), (&base.kind, &base.meta)));
        let default_acl = has_default_acl(&new) || base.as_ref().is_some_and(has_default_acl);
        let entry = entry(path.clone(), new, base.as_ref(), false);
        self.changes.entry(
            entry,
            status.identity().ino,
            Place::Source,
            if same { Change::Touched } else { Change::Modified },
        );
        self.push(path, look, listing, Rc::default(), default_acl)
    }

    fn visit(&mut self, path: TarPath) -> Result<()> {
        if self.options.exclude.matches(&path) {
            self.notices.notice(Notice::LeftOut { path, why: "excluded" });
            return Ok(());
        }
        let look = self.frames.last().map_or(Look::Both, |frame| frame.look);
        let base = if look == Look::New { None } else { self.source.base.status(&path)? };
        // Which names share an inode is a matter of the view alone.
        let single = base.is_none_or(|base| base.links() == 1);
        let new_dir = !base.is_some_and(|base| base.is_dir());
        let (new, plain) = match self.in_upper(&path) {
            Some(Shown::File(status, kind, meta)) if single => (Some(status), Some(Object { kind, meta })),
            Some(Shown::Dir(status, listing)) if new_dir || !listing.hides => {
                return self.directory(path, status, base, Some(listing));
            }
            Some(Shown::Nothing) => (None, None),
            _ => (self.source.new.status(&path)?, None),
        };
        let Some(status) = new else {
            if let Some(base) = base {
                self.removed(path, &base)?;
            }
            return Ok(());
        };
        if status.is_socket() {
            if let Some(base) = base.filter(|base| !base.is_socket()) {
                self.removed(path.clone(), &base)?;
            }
            // No tar has a form for it, and CRIU binds a socket anew when it restores its owner.
            self.notices.notice(Notice::Skipped { path, why: "socket" });
            return Ok(());
        }
        let single = status.links() == 1 && !status.is_dir();
        if single
            && base.is_some_and(|base| base.links() == 1 && self.source.same_inode.holds(&status, &base))
        {
            return Ok(());
        }
        if status.is_dir() {
            self.directory(path, status, base, None)
        } else {
            self.leaf(path, status, base, plain)
        }
    }

    /// What the upper directory has at `path`, where that is what is seen.
    fn in_upper(&mut self, path: &TarPath) -> Option<Shown> {
        let shown = self.frames.last().is_some_and(|frame| frame.shown);
        self.source.upper.as_mut().filter(|_| shown)?.shows(path)
    }

    /// With a listing, `status` is that of the directory in the upper one, which is what is seen.
    fn directory(
        &mut self,
        path: TarPath,
        status: Status,
        base: Option<Status>,
        plain: Option<Listing>,
    ) -> Result<()> {
        let place = if plain.is_some() { Place::Beside } else { Place::Source };
        let mounted = place == Place::Source && self.source.new.is_mount_point(&status);
        let base = match base.filter(Status::is_dir) {
            Some(base) => self.base(&path, base)?,
            None => None,
        };
        let look = self.frames.last().map_or(Look::Both, |frame| frame.look);
        let (mut look, mut listing) = match &base {
            Some(_) if plain.is_some() => (Look::Upper, plain),
            Some(_) if look == Look::Upper && !mounted => self.look_into(&path),
            Some(_) => (look, None),
            None => (Look::New, plain),
        };
        let (kind, meta) = match &listing {
            Some(listing) if listing.plain => (Kind::Dir, status.meta(Vec::new())),
            _ => match self.source.new_at(place).object(&path, &status)? {
                Some(object) => object,
                None => return Ok(()),
            },
        };
        let new = Object { kind, meta };
        let mut added = base.is_none();
        if base.as_ref().is_some_and(|base| loses_attributes(&new.meta, &base.meta)) {
            self.changes.replaced(&path);
            (added, look, listing) = (true, Look::New, None);
        }
        let same = !self.source.unmapped
            && base
                .as_ref()
                .is_some_and(|base| same_metadata((&new.kind, &new.meta), (&base.kind, &base.meta)));
        let default_acl = has_default_acl(&new) || base.as_ref().is_some_and(has_default_acl);
        let inherits = self.inherits();
        let entry = entry(path.clone(), new, base.as_ref(), inherits);
        let own = Rc::new(Cell::new(Some((entry, status.identity().ino))));
        if added {
            self.touch_parent();
        }
        if added || (!same && !mounted) {
            let change = if base.is_none() { Change::Added } else { Change::Modified };
            self.emit(&own, change);
        }
        if mounted {
            // Only where the mounts could not be cloned away: what is under this one cannot be seen.
            self.notices.notice(Notice::Skipped { path, why: "something is mounted here, what is below it" });
            return Ok(());
        }
        if self.options.mount_points.contains(&path) {
            return Ok(());
        }
        self.push(path, look, listing, own, default_acl)
    }

    /// `plain` is the object, where it was read from the upper directory.
    fn leaf(
        &mut self,
        path: TarPath,
        status: Status,
        base: Option<Status>,
        plain: Option<Object>,
    ) -> Result<()> {
        let place = if plain.is_some() { Place::Beside } else { Place::Source };
        let same = match &base {
            Some(base) if self.source.same_inode.holds(&status, base) => true,
            Some(base) => self.is_same(&path, place, &status, base)?,
            None => false,
        };
        let linked = status.links() > 1 || base.is_some_and(|base| base.links() > 1);
        if same && !linked {
            return Ok(());
        }
        let new = match plain {
            Some(plain) => plain,
            None => match self.source.new.object(&path, &status)? {
                Some((kind, meta)) => Object { kind, meta },
                None => return Ok(()),
            },
        };
        let parent = self.frames.last().map(|frame| frame.own.clone()).unwrap_or_default();
        let inherits = self.inherits();
        let entry = entry(path, new, None, inherits);
        let change = if base.is_some() { Change::Modified } else { Change::Added };
        if linked {
            let (shown, names) = (status.identity(), status.links());
            let upper = self.source.upper.as_mut();
            let id = upper.and_then(|upper| upper.unmarked(&entry.path, &status)).unwrap_or(shown);
            if let Some(base) = base.filter(|_| self.source.is_indexed(&entry.path)) {
                self.aliases.add(base.identity(), &entry, id, same);
            }
            let base = base.map(|base| (base.identity(), base.links()));
            self.links.add(Candidate { entry, id, names, base, same, change, parent });
        } else {
            self.touch_parent();
            self.changes.entry(entry, status.identity().ino, place, change);
        }
        Ok(())
    }

    /// R1: a path has changed when anything of it differs. Equal size and time prove nothing about content.
    fn is_same(&mut self, path: &TarPath, place: Place, new: &Status, base: &Status) -> Result<bool> {
        if self.source.unmapped || !same_status(new, base) {
            return Ok(false);
        }
        let io = |source| Error::Io { object: path.to_string(), source };
        if new.is_file() && new.size() > 0 && self.options.content == Content::Read {
            let mut was = self.source.base.open(path).map_err(io)?;
            let view = self.source.new_at(place);
            let mut is = match view.open(path) {
                Err(e) if is_absent(&e) => return Ok(false),
                opened => opened.map_err(io)?,
            };
            // By descriptor: no name is looked up for them.
            let now = view.xattrs(&is).map_err(io)?;
            let same = same_attributes(&now, &self.source.base.xattrs(&was).map_err(io)?);
            return Ok(same && self.buffers.same_content(&mut was, &mut is, new.size()).map_err(io)?);
        }
        if new.is_symlink() {
            let objects = (self.source.new.object(path, new)?, self.source.base.object(path, base)?);
            let (Some((kind, meta)), Some((old_kind, old))) = objects else { return Ok(false) };
            return Ok(same_metadata((&kind, &meta), (&old_kind, &old)));
        }
        let now = self.source.new_at(place).xattrs_at(path).map_err(io)?;
        Ok(same_attributes(&now, &self.source.base.xattrs_at(path).map_err(io)?))
    }

    fn base(&mut self, path: &TarPath, status: Status) -> Result<Option<Object>> {
        let object = self.source.base.object(path, &status)?;
        Ok(object.map(|(kind, meta)| Object { kind, meta }))
    }

    fn removed(&mut self, path: TarPath, was: &Status) -> Result<()> {
        self.touch_parent();
        self.links.removed(was);
        if self.source.lost_index {
            self.orphans.removed(&mut self.source.base, &path, was)?;
        }
        self.changes.removed(path, was);
        Ok(())
    }

    /// R4: whoever applies a change to a directory's content sets its times again afterwards.
    fn touch_parent(&mut self) {
        if let Some(own) = self.frames.last().map(|frame| frame.own.clone()) {
            self.emit(&own, Change::Touched);
        }
    }

    fn emit(&mut self, own: &Pending, change: Change) {
        if let Some((entry, ino)) = own.take() {
            self.changes.entry(entry, ino, Place::Source, change);
        }
    }

    fn inherits(&self) -> bool {
        self.frames.last().is_some_and(|frame| frame.default_acl)
    }

    fn push(
        &mut self,
        path: TarPath,
        look: Look,
        listing: Option<Listing>,
        own: Pending,
        default_acl: bool,
    ) -> Result<()> {
        let shown = listing.as_ref().is_some_and(|listing| listing.shown);
        let names = match (look, listing) {
            (Look::Upper | Look::New, Some(listing)) => listing.places(),
            (Look::New, None) => self.source.new.names(&path)?,
            _ => merged(self.source.new.names(&path)?, self.source.base.names(&path)?),
        };
        self.frames.push(Frame { path, look, names, shown, own, default_acl });
        Ok(())
    }

    /// How the merged directory at `path` is to be listed: from the upper directory unless that one hides what is below it or
    /// shows something from elsewhere. Where in doubt both views are listed, which is always right.
    fn look_into(&mut self, path: &TarPath) -> (Look, Option<Listing>) {
        let listing = self.source.upper.as_mut().and_then(|upper| upper.list(path).ok());
        match listing {
            Some(listing) if !listing.hides => (Look::Upper, Some(listing)),
            _ => (Look::Both, None),
        }
    }

    /// Hard links last (R5): only now is known which names of an inode stay.
    fn links(mut self) -> Result<()> {
        self.aliases.moved(self.links.moved());
        for alias in std::mem::take(&mut self.aliases).find(self.source)? {
            self.links.found(alias);
        }
        for path in std::mem::take(&mut self.orphans).left(|id| self.links.seen(id)) {
            self.notices.notice(Notice::Skipped { path, why: orphans::WHY });
        }
        for emission in std::mem::take(&mut self.links).resolve() {
            self.emit(&emission.parent, Change::Touched);
            self.changes.entry(emission.entry, emission.ino, Place::Source, emission.change);
        }
        Ok(())
    }
}

/// The entry of `new`, with R14's records: an ACL that is not there any more, or that would be inherited,
/// is taken away by an empty one.
fn entry(path: TarPath, new: Object, base: Option<&Object>, inherits: bool) -> Entry {
    let Object { kind, mut meta } = new;
    if !matches!(kind, Kind::Symlink { .. }) {
        let is_dir = matches!(kind, Kind::Dir);
        for name in [ACCESS_ACL, DEFAULT_ACL] {
            let had = base.is_some_and(|base| base.meta.xattr(name).is_some());
            let gets = inherits && (is_dir || name == ACCESS_ACL);
            if (had || gets) && meta.xattr(name).is_none() {
                meta.xattrs.push(Xattr { name: name.to_vec(), value: NO_ACL.to_vec() });
            }
        }
        meta.xattrs.sort();
    }
    Entry { path, kind, meta }
}

fn has_default_acl(object: &Object) -> bool {
    object.meta.xattr(DEFAULT_ACL).is_some()
}

/// Whether a directory has lost an attribute other than an ACL, which alone a tar can take away.
fn loses_attributes(new: &Meta, base: &Meta) -> bool {
    attributes(&base.xattrs).any(|xattr| {
        xattr.name != ACCESS_ACL && xattr.name != DEFAULT_ACL && new.xattr(&xattr.name).is_none()
    })
}

/// Both lists as one, in reverse order, each name once.
pub(crate) fn merged(mut a: Vec<CString>, b: Vec<CString>) -> Vec<CString> {
    a.extend(b);
    // Two runs that are in order already: the stable sort merges them.
    a.sort_by(|a, b| b.cmp(a));
    a.dedup();
    a
}

/// How the root is named in a diff that podman shall apply.
pub const ROOT_NAME: RootName = RootName::Slash;
