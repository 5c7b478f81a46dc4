//! Entries to inodes: the twin of [`Walk`](crate::Walk).
//!
//! Order on each object: owner, attributes, mode, times (chown clears setuid and capabilities, so it comes first).
//! Directories get theirs at the end, deepest first, since making a file changes the times of its directory
//! and a default ACL would be inherited.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat};
use nix::sys::stat::{
    FchmodatFlags, Mode, SFlag, UtimensatFlags, fchmod, fchmodat, futimens, makedev, mkdirat, mknodat,
    utimensat,
};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, fchown, fchownat, geteuid, linkat, symlinkat};
use rustix::fs::{XattrFlags, fsetxattr};

use crate::acl;
use crate::capture::{Status, proc_path};
use crate::deferred::Deferred;
use crate::entry::{Entry, Kind, Meta, SparseMap, Timestamp};
use crate::error::{Error, Result};
use crate::idmap::IdMaps;
use crate::notice::{Notice, Notices};
use crate::path::TarPath;
use crate::read::{Item, Reader};
use crate::remove::{Keep, remove_tree};
use crate::root::{Root, parent_error};
use crate::zeros::write_sparse;

const COPY_BUFFER: usize = 256 << 10;

/// How entries become inodes.
#[derive(Clone, Debug, Default)]
pub struct ExtractOptions {
    /// Container ids of the archive to ids of this host.
    pub ids: IdMaps,
    /// Do not set owners; the objects belong to who extracts.
    pub no_same_owner: bool,
    /// What becomes of device nodes.
    pub devices: Devices,
    /// What becomes of the zeros in files.
    pub zeros: Zeros,
}

/// What becomes of pages of zeros in the data of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Zeros {
    /// They are written: a program may have allocated the blocks so as not to meet a full disk later.
    #[default]
    Written,
    /// They become holes, but for a single page between data. The images of a process's memory are full of them, and
    /// nobody writes into these again.
    Holes,
}

/// What becomes of the device nodes of a tar. One in the wrong place is a way to the disks and the memory of the host for
/// whoever can open it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Devices {
    /// They are made.
    #[default]
    Make,
    /// They are left out and noticed, for this reason.
    LeaveOut(&'static str),
}

impl Devices {
    /// For a root file system: images have devices.
    pub fn in_rootfs(no_devices: bool) -> Devices {
        if no_devices { Devices::LeaveOut("left out, as asked") } else { Devices::Make }
    }

    /// For a volume, of which an ordinary user may have all the rest.
    pub fn in_volume(no_devices: bool) -> Devices {
        match Devices::in_rootfs(no_devices) {
            Devices::Make if !geteuid().is_root() => Devices::LeaveOut("only root may make devices"),
            devices => devices,
        }
    }
}

/// Makes the objects of a tar below a root.
pub struct Extractor {
    root: Root,
    options: ExtractOptions,
    /// Directories whose metadata is set at the end, in archive order.
    dirs: Deferred,
    /// The parent that was asked last, and whether it hands down a default ACL.
    inherits: Option<(Vec<u8>, bool)>,
    buffer: Box<[u8]>,
    privileged: bool,
    /// Objects whose owner could not be set, the first of them by name.
    disowned: Option<(TarPath, u64)>,
    /// Objects that lost their setuid or setgid bit with their owner, likewise.
    unset: Option<(TarPath, u64)>,
}

impl Extractor {
    /// Extracts below `root`.
    pub fn new(root: Root, options: ExtractOptions) -> Extractor {
        Extractor {
            root,
            options,
            dirs: Deferred::default(),
            inherits: None,
            buffer: vec![0; COPY_BUFFER].into_boxed_slice(),
            privileged: geteuid().is_root(),
            disowned: None,
            unset: None,
        }
    }

    /// Makes the object of `entry`, replacing what is there; a directory that is there stays and gets the entry's metadata.
    /// `content` gives a file's bytes.
    ///
    /// # Errors
    /// When it cannot be made; what stood at its place may be gone then.
    pub fn apply(&mut self, entry: &Entry, content: &mut impl Read, notices: &mut dyn Notices) -> Result<()> {
        let path = &entry.path;
        if path.is_root() {
            return match entry.kind {
                Kind::Dir => self.dirs.push(entry, false),
                _ => Err(Error::malformed(path, "the root is not a directory")),
            };
        }
        match &entry.kind {
            Kind::Dir => {
                let made =
                    self.create(path, |dir, name| mkdirat(dir, name, Mode::S_IRWXU), Existing::KeepDir)?;
                let inherited = made && self.inherits_acl(path)?;
                self.dirs.push(entry, inherited)
            }
            Kind::File { size, map } => {
                let mut file = None;
                let flags =
                    OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
                let mode = first_mode(&entry.meta);
                self.create(
                    path,
                    |dir, name| openat(dir, name, flags, mode).map(|fd| file = Some(File::from(fd))),
                    Existing::Replace,
                )?;
                let Some(mut file) = file else { return Ok(()) };
                self.fill(&mut file, path, *size, map.as_ref(), content)?;
                self.finish_file(&file, entry, notices)
            }
            Kind::Symlink { target } => {
                let target = OsStr::from_bytes(target);
                self.create(path, |dir, name| symlinkat(target, dir, name), Existing::Replace)?;
                self.finish_node(entry, notices)
            }
            Kind::HardLink { target } => self.link(path, target),
            Kind::Char { major, minor } => self.node(entry, SFlag::S_IFCHR, (*major, *minor), notices),
            Kind::Block { major, minor } => self.node(entry, SFlag::S_IFBLK, (*major, *minor), notices),
            Kind::Fifo => self.node(entry, SFlag::S_IFIFO, (0, 0), notices),
        }
    }

    /// Removes what is at `path`, except what `keep` spares; gives whether all of it is gone. A parent that is
    /// missing, or is no directory, means it is gone already.
    ///
    /// # Errors
    /// [`Error::ThroughLink`] where the parent is reached through a symbolic link, and the kernel's for the removal.
    pub fn remove(&mut self, path: &TarPath, keep: &mut dyn FnMut(&TarPath) -> Keep) -> Result<bool> {
        self.root.forget(path);
        self.inherits = None;
        match self.root.parent(path) {
            Ok((_, name)) if name.is_empty() => Err(Error::malformed(path, "the root cannot be removed")),
            Ok((dir, name)) => remove_tree(dir, name, path, keep).map_err(|e| Error::io(path, e)),
            Err(e) => match e.raw_os_error().map(Errno::from_raw) {
                Some(Errno::ENOENT | Errno::ENOTDIR) => Ok(true),
                _ => Err(parent_error(path, e)),
            },
        }
    }

    /// Sets the metadata of the directories. Without it they lack owners, modes and times.
    ///
    /// # Errors
    /// When one of them cannot be set.
    pub fn finish(mut self, notices: &mut dyn Notices) -> Result<()> {
        for (entry, inherited) in std::mem::take(&mut self.dirs).deepest_first() {
            let path = &entry.path;
            let fd = match self.root.dir(path.as_bytes()).and_then(|fd| fd.try_clone_to_owned()) {
                Ok(fd) => fd,
                // Replaced by a later entry, or removed by the deletion list.
                Err(e) if crate::walk::is_gone(&e) => continue,
                Err(e) => return Err(Error::io(path, e)),
            };
            self.finish_pinned(&fd, &entry, inherited, notices)?;
        }
        let lost = [
            (self.disowned.take(), "owner", "only root may give files away"),
            (self.unset.take(), "setuid or setgid", "it belongs to another user than in the archive"),
        ];
        for (first, what, why) in lost {
            let Some((path, count)) = first else { continue };
            let what =
                if count == 1 { what.into() } else { format!("{what} (here and at {} more)", count - 1) };
            notices.notice(Notice::NotApplied { path, what, why: why.into() });
        }
        Ok(())
    }

    /// Runs `make`; where something is in the way, deals with it and runs it again. Gives whether it was made.
    fn create(
        &mut self,
        path: &TarPath,
        mut make: impl FnMut(BorrowedFd<'_>, &OsStr) -> nix::Result<()>,
        existing: Existing,
    ) -> Result<bool> {
        let (dir, name) = self.root.make_parent(path)?;
        match make(dir, name) {
            Ok(()) => return Ok(true),
            Err(Errno::EEXIST) => {}
            Err(e) => return Err(Error::io(path, e)),
        }
        if existing == Existing::KeepDir && Status::at(dir, name).is_ok_and(|status| status.is_dir()) {
            return Ok(false);
        }
        self.remove(path, &mut |_| Keep::Remove)?;
        let (dir, name) = self.root.make_parent(path)?;
        make(dir, name).map_err(|e| Error::io(path, e))?;
        Ok(true)
    }

    fn fill(
        &mut self,
        file: &mut File,
        path: &TarPath,
        size: u64,
        map: Option<&SparseMap>,
        content: &mut impl Read,
    ) -> Result<()> {
        let whole = [(0, size)];
        let segments = map.map_or(&whole[..], |map| &map.0);
        for &(offset, len) in segments {
            if map.is_some() {
                file.seek(SeekFrom::Start(offset)).map_err(|e| Error::io(path, e))?;
            }
            let mut left = len;
            while left > 0 {
                let room = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
                let mut got = 0;
                while got < room {
                    match content.read(&mut self.buffer[got..room]) {
                        Ok(0) => return Err(Error::Truncated { object: path.to_string() }),
                        Ok(n) => got += n,
                        Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                        Err(e) => return Err(Error::Stream(e)),
                    }
                }
                let data = &self.buffer[..got];
                match self.options.zeros {
                    Zeros::Written => file.write_all(data),
                    Zeros::Holes => write_sparse(file, data),
                }
                .map_err(|e| Error::io(path, e))?;
                left -= got as u64;
            }
        }
        if map.is_some() || self.options.zeros == Zeros::Holes {
            file.set_len(size).map_err(|e| Error::io(path, e))?;
        }
        Ok(())
    }

    fn link(&mut self, path: &TarPath, target: &TarPath) -> Result<()> {
        if target.is_root() || path == target {
            return Err(Error::malformed(path, format!("hard link to {target}")));
        }
        let (target_dir, target_name) = self.root.parent(target).map_err(|e| parent_error(target, e))?;
        let target_dir = target_dir.try_clone_to_owned().map_err(|e| Error::io(target, e))?;
        let aim = Status::at(target_dir.as_fd(), target_name)
            .map_err(|e| Error::io(format!("{path}: hard link to {target}"), e))?;
        if aim.is_dir() {
            return Err(Error::malformed(path, format!("hard link to {target}, which is a directory")));
        }
        let already = self.root.parent(path).is_ok_and(|(dir, name)| {
            Status::at(dir, name).is_ok_and(|status| status.identity() == aim.identity())
        });
        if already {
            return Ok(());
        }
        let make = |dir: BorrowedFd<'_>, name: &OsStr| {
            linkat(target_dir.as_fd(), target_name, dir, name, AtFlags::empty())
        };
        // The metadata is the inode's, which its first name has set.
        self.create(path, make, Existing::Replace)?;
        Ok(())
    }

    fn node(
        &mut self,
        entry: &Entry,
        kind: SFlag,
        (major, minor): (u32, u32),
        notices: &mut dyn Notices,
    ) -> Result<()> {
        if let (Devices::LeaveOut(why), SFlag::S_IFCHR | SFlag::S_IFBLK) = (self.options.devices, kind) {
            let what = format!("device {major}:{minor}");
            notices.notice(Notice::NotMade { path: entry.path.clone(), what, why });
            return Ok(());
        }
        let device = makedev(u64::from(major), u64::from(minor));
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        self.create(&entry.path, |dir, name| mknodat(dir, name, kind, mode, device), Existing::Replace)?;
        self.finish_node(entry, notices)
    }

    /// Metadata of a regular file, through its descriptor.
    fn finish_file(&mut self, file: &File, entry: &Entry, notices: &mut dyn Notices) -> Result<()> {
        let path = &entry.path;
        let inherited = self.inherits_acl(path)?;
        // To ask costs less than to set what is so already, which mostly it is.
        let is = Status::at(file.as_fd(), OsStr::new("")).map_err(|e| Error::io(path, e))?;
        let owned = self.own(path, &entry.meta, |uid, gid| {
            let is_theirs = uid.is_some_and(|uid| uid.as_raw() == is.uid())
                && gid.is_some_and(|gid| gid.as_raw() == is.gid());
            if is_theirs { Ok(()) } else { fchown(file, uid, gid) }
        })?;
        if inherited {
            drop_inherited_acl(&proc_path(file.as_fd(), OsStr::new("")), &entry.meta);
        }
        set_xattrs(path, &entry.meta, notices, |name, value| {
            Ok(fsetxattr(file, name, value, XattrFlags::empty())?)
        })?;
        let mode = self.mode_of(entry, owned);
        // Attributes may have changed it: an ACL sets the bits of the group.
        if inherited || !entry.meta.xattrs.is_empty() || is.mode() != mode.bits() {
            fchmod(file, mode).map_err(|e| Error::io(path, e))?;
        }
        futimens(file, &TimeSpec::UTIME_OMIT, &timespec(entry.meta.mtime)).map_err(|e| Error::io(path, e))
    }

    /// Metadata of a link, device or FIFO. It must not be opened for reading, so an `O_PATH` descriptor stands for it; once
    /// that is held, nobody can put another object in its place.
    fn finish_node(&mut self, entry: &Entry, notices: &mut dyn Notices) -> Result<()> {
        let path = &entry.path;
        let inherited = self.inherits_acl(path)?;
        let (dir, name) = self.root.parent(path).map_err(|e| Error::io(path, e))?;
        let node = openat(dir, name, OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())
            .map_err(|e| Error::io(path, e))?;
        let status = Status::at(node.as_fd(), OsStr::new("")).map_err(|e| Error::io(path, e))?;
        if !status.is(&entry.kind) {
            return Err(Error::malformed(path, "something else took its place while it was made"));
        }
        self.finish_pinned(&node, entry, inherited, notices)
    }

    /// Metadata through an `O_PATH` descriptor.
    fn finish_pinned(
        &mut self,
        fd: &OwnedFd,
        entry: &Entry,
        inherited: bool,
        notices: &mut dyn Notices,
    ) -> Result<()> {
        let (path, meta) = (&entry.path, &entry.meta);
        let is_link = matches!(entry.kind, Kind::Symlink { .. });
        let owned = self.own(path, meta, |uid, gid| fchownat(fd, "", uid, gid, AtFlags::AT_EMPTY_PATH))?;
        // The magic link leads to the very object, and not on from there where that is a link itself.
        let proc = proc_path(fd.as_fd(), OsStr::new(""));
        if inherited && !is_link {
            drop_inherited_acl(&proc, meta);
        }
        set_xattrs(path, meta, notices, |name, value| xattr::set_deref(&proc, name, value))?;
        if !is_link {
            // fchmod refuses O_PATH descriptors; fchmodat2 with AT_EMPTY_PATH came with Linux 6.6.
            fchmodat(AT_FDCWD, &proc, self.mode_of(entry, owned), FchmodatFlags::FollowSymlink)
                .map_err(|e| Error::io(path, e))?;
        }
        let mtime = timespec(meta.mtime);
        utimensat(AT_FDCWD, &proc, &TimeSpec::UTIME_OMIT, &mtime, UtimensatFlags::FollowSymlink)
            .map_err(|e| Error::io(path, e))
    }

    /// Gives the object to its owner. `false` when that was not possible or not asked for: its setuid and setgid bits must go then.
    fn own(
        &mut self,
        path: &TarPath,
        meta: &Meta,
        chown: impl FnOnce(Option<Uid>, Option<Gid>) -> nix::Result<()>,
    ) -> Result<bool> {
        if self.options.no_same_owner {
            return Ok(false);
        }
        let unmapped = |kind, id| Error::malformed(path, format!("{kind} {id} is not in the id map"));
        let uid = self.options.ids.uid.to_host(meta.uid).ok_or_else(|| unmapped("uid", meta.uid))?;
        let gid = self.options.ids.gid.to_host(meta.gid).ok_or_else(|| unmapped("gid", meta.gid))?;
        match chown(Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))) {
            Ok(()) => Ok(true),
            Err(Errno::EPERM) if !self.privileged => {
                self.disowned.get_or_insert_with(|| (path.clone(), 0)).1 += 1;
                Ok(false)
            }
            Err(e) => Err(Error::io(path, e)),
        }
    }

    /// A setuid file that belongs to somebody else than it did must not be one.
    fn mode_of(&mut self, entry: &Entry, owned: bool) -> Mode {
        let mode = entry.meta.mode;
        if !owned && !self.options.no_same_owner && mode & 0o6000 != 0 {
            self.unset.get_or_insert_with(|| (entry.path.clone(), 0)).1 += 1;
        }
        Mode::from_bits_truncate(if owned { mode } else { mode & 0o1777 })
    }

    /// Whether new objects beside `path` inherit an ACL they must not keep.
    fn inherits_acl(&mut self, path: &TarPath) -> Result<bool> {
        let Some((parent, _)) = path.split() else { return Ok(false) };
        if let Some((known, inherits)) = &self.inherits {
            if known == parent {
                return Ok(*inherits);
            }
        }
        let dir = self.root.dir(parent).map_err(|e| Error::io(path, e))?;
        let acl = xattr::get_deref(proc_path(dir, OsStr::new("")), OsStr::from_bytes(acl::DEFAULT));
        let inherits = matches!(acl, Ok(Some(_)));
        self.inherits = Some((parent.to_vec(), inherits));
        Ok(inherits)
    }
}

/// What happens to something that stands where an object is to be made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Existing {
    Replace,
    KeepDir,
}

/// Extracts a whole tar: entries are made, removals carried out, each entry is handed to `made`.
///
/// # Errors
/// At the first entry that is malformed or cannot be made. Call [`Extractor::finish`] only after success.
pub fn extract_tar<R: Read>(
    reader: &mut Reader<R>,
    extractor: &mut Extractor,
    notices: &mut dyn Notices,
    mut made: impl FnMut(&Entry),
) -> Result<()> {
    while let Some(item) = reader.next()? {
        match item {
            Item::Entry(entry) => {
                extractor.apply(&entry, &mut reader.content(), notices)?;
                made(&entry);
            }
            Item::Removal(path) => {
                extractor.remove(&path, &mut |_| Keep::Remove)?;
            }
        }
    }
    Ok(())
}

/// The mode a file is made with: its own where that gives nobody more than it will, whoever owns it for now; else 0600 until
/// it has its owner, since the bytes may be secret. A group gets its file only later, a wrong one may have it first.
fn first_mode(meta: &Meta) -> Mode {
    let (special, group, others) = (meta.mode & 0o7000, meta.mode >> 3 & 7, meta.mode & 7);
    let harmless = special == 0 && group & !others == 0;
    Mode::from_bits_truncate(if harmless { meta.mode & 0o777 } else { 0o600 })
}

fn timespec(t: Timestamp) -> TimeSpec {
    TimeSpec::new(t.sec, i64::from(t.nsec))
}

/// `proc` is the object's entry in `/proc/self/fd`.
fn drop_inherited_acl(proc: &Path, meta: &Meta) {
    for name in [acl::ACCESS, acl::DEFAULT] {
        if meta.xattr(name).is_none() {
            // It fails where there is none, which is what is wanted.
            let _ = xattr::remove_deref(proc, OsStr::from_bytes(name));
        }
    }
}

/// Sets the attributes of an object by `set`.
fn set_xattrs(
    path: &TarPath,
    meta: &Meta,
    notices: &mut dyn Notices,
    set: impl Fn(&OsStr, &[u8]) -> io::Result<()>,
) -> Result<()> {
    for attribute in &meta.xattrs {
        let Err(e) = set(OsStr::from_bytes(&attribute.name), &attribute.value) else {
            continue;
        };
        match e.raw_os_error().map(Errno::from_raw) {
            // The file system has none, the namespace is not ours to set, or the policy does not know the label.
            Some(Errno::EOPNOTSUPP | Errno::EPERM | Errno::EACCES | Errno::EINVAL | Errno::ERANGE) => {
                let what = format!("attribute {}", crate::path::Shown(&attribute.name));
                notices.notice(Notice::NotApplied { path: path.clone(), what, why: e.to_string() });
            }
            _ => return Err(Error::io(path, e)),
        }
    }
    Ok(())
}
